//! The corpus of the fuzzer (`fuzz/`), at each run of the tests: what it has found once is not to come back.

use std::path::Path;

use dataflows::model::Tick;
use deltaic::ingest::segment::{CallType, Extractor, Stamp};
use deltaic::ingest::{BatchDecoder, Sent};
use deltaic::{log, project};

/// Calls `each` with the files of a target's corpus; gives how many there are.
fn corpus(target: &str, mut each: impl FnMut(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.iter().for_each(|file| each(&std::fs::read(file).unwrap()));
    files.len()
}

#[test]
fn bodies_are_events_that_read_again_or_rejections() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/project");
    let project = project::load(&folder, &|_| None).map_err(|_| "see `deltaic check fuzz/project`").unwrap().project;
    let (decoder, stored) = (BatchDecoder::new(&project), Extractor::of_stored(&project));
    let received = Stamp::from(Tick::from_ms(1_704_067_200_000));
    let mut accepted = 0;
    let files = corpus("body", |input| {
        let Some((address, body)) = input.split_first() else { return };
        let call = CallType::ALL.get(usize::from(*address) % (CallType::ALL.len() + 1)).copied();
        let Ok(batch) = decoder.open(body, call) else { return };
        let sent = Sent { source: "web", call, received: &received, ip: None, position: ("", 7), is_placed: false };
        for event in decoder.take(&batch, &sent).accepted {
            assert_eq!(
                stored.decode_stored(&event.source, &event.raw).unwrap(),
                event.event,
                "{}",
                String::from_utf8_lossy(&event.raw)
            );
            accepted += 1;
        }
    });
    assert!(files >= 20 && accepted >= 10, "{accepted} of {files}");
}

#[test]
fn entries_of_the_log_are_entries_or_errors() {
    let files = corpus("log_entry", |input| {
        _ = log::codec::decode(Tick::from_ms(7), input);
        _ = log::codec::decode_row(input);
    });
    assert!(files >= 5, "{files}");
}
