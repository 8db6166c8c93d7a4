//! Retrying, under other limits and after a restart.

use super::super::retry::Retry;
use super::*;
use crate::ingest::BatchDecoder;
use crate::ingest::KnownNames;
use crate::log::Store;

#[tokio::test]
async fn a_retry_is_what_the_event_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let day_later = Tick::from_ms(NOW.as_ms() + 86_400_000);
    {
        let mut project = project();
        project.limits.event_bytes_max = 20;
        project.limits.identifier_bytes_max = 2;
        project.limits.batch_events_max = 1;
        let setup =
            start(project, Box::new(DurableQuarantineStore::new(Store::open(folder.path()).unwrap())), NOW).await;
        let batch =
            r#"{"sentAt":"2024-01-01T00:00:01Z","batch":[{"userId":"ann","type":"page","timestamp":"2024-01-01"}]}"#;
        setup.post("/v1/batch", batch).await;
        setup.post("/v1/page", r#"{"userId":"ann"}"#).await;
        setup.post("/v1/page", r#"{"userId":"bob","messageId":"m"}"#).await;
        setup
            .post(
                "/v1/batch",
                r#"{"batch":[{"type":"page","userId":"e"},{"type":"page","userId":"f","messageId":"n"}]}"#,
            )
            .await;
        let expected = "1 event event_too_large cut, 2 event identifier_too_long, 3 event event_too_large cut, 4 request too_many_events";
        assert_eq!(setup.list().await, expected);
        assert_eq!(setup.retry(r#"{"all":true}"#).await, [0, 0, 0, 4]);
        assert_eq!(setup.list().await, expected, "they stay");
    }
    // The folder is closed with the thread, which ends after the server.
    let store = loop {
        match Store::open(folder.path()) {
            Ok(store) => break Box::new(DurableQuarantineStore::new(store)),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let setup = start(project(), store, day_later).await;
    let batch =
        r#"{"sentAt":"2024-01-01T00:00:01Z","context":{"device":{"id":"d"}},"batch":[{"userId":"eve","type":"nap"}]}"#;
    setup.post("/v1/batch", batch).await;
    assert_eq!(setup.retry(r#"{"ids":[2,5,99]}"#).await, [1, 1, 0, 1]);
    let taken = setup.taken();
    // With the time of its first arrival, the address of the call, and a message id that it will have again.
    let start = r#"{"type":"page","messageId":"deltaic-"#;
    assert!(taken[0].starts_with(start), "{taken:?}");
    assert!(taken[0].ends_with(r#"","receivedAt":"2024-01-01T00:00:00.000Z","userId":"ann"}"#), "{taken:?}");
    assert_eq!(setup.retry(r#"{"all":true,"code":"too_many_events"}"#).await, [1, 2, 0, 0]);
    assert_eq!(setup.taken().len(), 2);
    assert_eq!(setup.list().await, "1 event event_too_large cut, 3 event event_too_large cut, 5 event unknown_type");
}

#[tokio::test]
async fn a_retry_whose_receipt_got_lost_is_the_same_at_the_next_one() {
    let mut small = project();
    small.limits.batch_events_max = 1;
    let setup = in_memory(small).await;
    setup.post("/v1/batch", r#"{"batch":[{"type":"page","userId":"1"},{"type":"page","userId":"1"}]}"#).await;
    let (handle, mut submissions, _, _) = Handle::new(&Limits::default(), Gate::off());
    let (quarantine, decoder) = (setup.quarantine.clone(), BatchDecoder::new(&project()));
    let retry = Retry {
        quarantine,
        decoder,
        handle,
        counters: Arc::new(IngestCounters::new(&example::project(), Arc::new(KnownNames::new(&example::project())))),
        sources: vec!["web".into()],
    };
    let all = || EntryFilter::Range { after: EntryId::default(), until: EntryId::MAX, code: None };
    let mut messages = Vec::new();
    for _ in 0..2 {
        let lose = async {
            let lost = submissions.recv().await.unwrap().events;
            messages.push(lost.iter().map(|event| event.message).collect::<Vec<_>>());
        };
        let (outcome, ()) = tokio::join!(retry.retry(all()), lose);
        assert!(outcome.is_err());
        assert_eq!(setup.list().await, "1 request too_many_events");
    }
    assert_eq!(messages[0], messages[1]);
    assert_ne!(messages[0][0], messages[0][1]);
}
