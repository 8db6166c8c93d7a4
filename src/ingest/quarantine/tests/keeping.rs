//! Entries, the bounds of the quarantine, and what is there after a restart.

use std::path::Path;

use super::*;
use crate::limits::QUARANTINE_QUEUE_BYTES_MAX;
use crate::log::{Store, StoreError};

fn on_disk(folder: &Path) -> Box<dyn QuarantineStore> {
    Box::new(DurableQuarantineStore::new(Store::open(folder).unwrap()))
}

#[tokio::test]
async fn the_oldest_go_first_and_ids_are_not_given_twice() {
    let mut project = project();
    project.limits.quarantine_entries_max = 2;
    let folder = tempfile::tempdir().unwrap();
    let (quarantine, keeper) = Keeper::start(on_disk(folder.path()), Extractor::new(&project), project.limits).unwrap();
    let refused = |raw: &str| RejectedInput {
        at: NOW,
        source: "web".into(),
        what: RejectedPart::Event,
        call: None,
        is_historical: false,
        sent_at: None,
        context: None,
        code: "bad_time".into(),
        message: String::new(),
        raw: raw.into(),
    };
    let all = || EntryFilter::Range { after: EntryId::default(), until: EntryId::MAX, code: None };
    for raw in ["1", "2", "3"] {
        quarantine.keep(vec![refused(raw)]);
    }
    let ids = |ids: (Vec<EntryId>, bool)| ids.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(quarantine.select(all(), 9).await.unwrap()), ["2", "3"]);
    let held = quarantine.held();
    assert_eq!((held.entries, held.kept, held.dropped[3]), (2, 3, ("oldest", 1)));
    let (found, _) = quarantine.select(all(), 9).await.unwrap();
    assert_eq!(quarantine.remove(found).await.unwrap(), 2);
    assert_eq!(quarantine.remove(vec![EntryId::MAX]).await.unwrap(), 0);
    keeper.stop();
    assert!(matches!(quarantine.select(all(), 9).await, Err(QuarantineError::Stopping)));

    project.limits.quarantine_bytes_max = 700;
    let (quarantine, keeper) = Keeper::start(on_disk(folder.path()), Extractor::new(&project), project.limits).unwrap();
    quarantine.keep(vec![refused(&"x".repeat(150)), refused(&"y".repeat(150)), refused(&"z".repeat(150))]);
    assert_eq!(ids(quarantine.select(all(), 9).await.unwrap()), ["5", "6"], "4 is the next, and bytes count too");
    let most = QUARANTINE_QUEUE_BYTES_MAX;
    quarantine.keep(vec![refused(&"x".repeat(most + 1))]);
    assert_eq!(quarantine.held().dropped[0], ("queue_full", 1));
    keeper.stop();
}

#[test]
fn an_entry_reads_as_it_was_written_and_damage_is_no_panic() {
    let project = example::project();
    let refused = RejectedInput {
        at: NOW,
        source: "web".into(),
        what: RejectedPart::Event,
        call: Some(CallType::Track),
        is_historical: false,
        sent_at: Some(NOW),
        context: Some("{}".into()),
        code: "bad_time".into(),
        message: "…".into(),
        raw: r#"{"messageId":"m"}"#.into(),
    };
    let entry = QuarantineEntry::new(EntryId::default(), refused, &Extractor::new(&project));
    let stored = entry.encode();
    assert_eq!(QuarantineEntry::decode(entry.id, &stored), Some(entry.clone()));
    for end in 0..stored.len() - entry.text.len() {
        assert_eq!(QuarantineEntry::decode(entry.id, &stored[..end]), None, "{end}");
    }
    assert_eq!(QuarantineEntry::decode(entry.id, &[2, 0, 0, 0, 0]), None);
}

/// A store on a disk that is full.
#[derive(Default)]
struct Full(MemoryQuarantineStore);

impl QuarantineStore for Full {
    fn each(&self, see: &mut dyn FnMut(EntryId, &[u8])) -> Result<EntryId, StoreError> {
        self.0.each(see)
    }
    fn get(&self, id: EntryId) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(id)
    }
    fn change(&mut self, _: Vec<(EntryId, Vec<u8>)>, _: &[EntryId], _: EntryId) -> Result<(), StoreError> {
        panic!("nothing is written")
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    fn has_room(&self, _: usize) -> bool {
        false
    }
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_and_the_sender_gets_the_same_answer() {
    let setup = start(project(), Box::<Full>::default(), NOW).await;
    assert_eq!(setup.post("/v1/track", r#"{"userId":"1"}"#).await.problem(), (400, "no_event_name".to_owned()));
    assert_eq!(setup.list().await, "");
    assert_eq!(setup.quarantine.held().dropped[1], ("disk_full", 1));
}

#[tokio::test]
async fn what_the_sender_sends_again_is_not_kept_twice() {
    let setup = in_memory(project()).await;
    let batch = r#"{"batch":[{"type":"page","userId":"1"},{"type":"nap"}]}"#;
    // It got no receipt, so it sends the wrong ones again, too.
    setup.stop_engine().await;
    assert_eq!(setup.post("/v1/batch", batch).await.problem(), (503, "stopping".to_owned()));
    assert_eq!(setup.list().await, "");
}

#[tokio::test]
async fn purging_names_what_it_means() {
    let setup = in_memory(project()).await;
    for body in ["{", "7", "{}", "{}", "{}"] {
        setup.post("/v1/page", body).await;
    }
    let removed = async |query: &str| setup.admin("DELETE", query, "").await.json()["removed"].clone();
    assert_eq!(removed("?ids=2,99").await, 1);
    assert_eq!(removed("?before=4").await, 2);
    assert_eq!(removed("?code=no_identifier").await, 2);
    setup.post("/v1/page", "7").await;
    assert_eq!(removed("?all=true").await, 1);
    assert_eq!(setup.list().await, "");
    let bad = async |query: &str| setup.admin("DELETE", query, "").await.problem();
    for query in ["", "?ids=1&all=true"] {
        assert_eq!(bad(query).await, (400, "bad_selection".to_owned()), "{query}");
    }
    for query in ["?ids=", "?ids=a", "?everything=1"] {
        assert_eq!(bad(query).await, (400, "bad_query".to_owned()), "{query}");
    }
    for body in
        ["", "{}", "[]", r#"{"ids":[1],"all":true}"#, r#"{"id":1}"#, &format!(r#"{{"ids":[{}1]}}"#, "1,".repeat(1_000))]
    {
        let problem = setup.admin("POST", "/retry", body).await.problem();
        assert_eq!(problem, (400, "bad_selection".to_owned()), "{body}");
    }
}
