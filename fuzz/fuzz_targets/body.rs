//! Bodies, as the HTTP API takes them. The first byte says the address; the others are the body.
//!
//! Nothing panics, whatever comes; the same body gives the same message ids; and what is accepted reads, from the text that
//! the log would have, as the same event.

#![no_main]

use std::sync::LazyLock;

use dataflows::model::Tick;
use deltaic::ingest::{BatchDecoder, Sent};
use deltaic::ingest::segment::{Call, Extractor, Stamp};
use deltaic::project;
use libfuzzer_sys::fuzz_target;

static RIM: LazyLock<(BatchDecoder, Extractor)> = LazyLock::new(|| {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("project");
    let loaded = project::load(&folder, &|_| None).unwrap_or_else(|_| panic!("deltaic check fuzz/project says why"));
    (BatchDecoder::new(&loaded.project), Extractor::of_stored(&loaded.project))
});

fuzz_target!(|input: &[u8]| {
    let Some((address, body)) = input.split_first() else { return };
    let call = Call::ALL.get(usize::from(*address) % (Call::ALL.len() + 1)).copied();
    let (decoder, stored) = &*RIM;
    let Ok(batch) = decoder.open(body, call) else { return };
    let received = Stamp::from(Tick::from_ms(1_704_067_200_000));
    let sent = Sent { source: "web", call, received: &received, ip: None, position: ("", 7), is_placed: false };
    let parsed = decoder.take(&batch, &sent);
    assert_eq!(parsed.accepted.len() + parsed.rejected.len(), batch.events.len());
    let again = decoder.take(&batch, &sent);
    for (accepted, again) in parsed.accepted.iter().zip(&again.accepted) {
        assert_eq!(accepted.message, again.message);
        let text = String::from_utf8_lossy(&accepted.raw);
        match stored.decode_stored(&accepted.source, &accepted.raw) {
            Ok(event) => assert_eq!(event, accepted.event, "{text}"),
            Err(why) => panic!("{why}: {text}"),
        }
    }
    for (index, why) in &parsed.rejected {
        assert!(!why.to_string().is_empty());
        let (_, struck) = decoder.extractor().examine("web", batch.events[*index]);
        // What is JSON may have a property of that name, which is none.
        let is_struck = !struck.contains(r#""writeKey":"fuzz-write-key""#);
        assert!(is_struck || why.code() != "not_json", "{struck}");
    }
});
