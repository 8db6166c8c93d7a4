//! How fast events are parsed, on one thread: `cargo bench --bench parse`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::definitions::{Definitions, Field, FieldRoot};
use dataflows::model::{IdentifierKey, Tick, ValueType};
use deltaic::ingest::segment::{EventContext, Extractor};
use deltaic::limits::Limits;
use deltaic::project::{Clock, Project};

fn main() {
    let field = |name: &str, kind| Field { root: FieldRoot::Properties, path: vec![name.into()], kind: Some(kind) };
    let definitions = Definitions {
        fields: vec![field("total", ValueType::Number), field("category", ValueType::Text)],
        ..Definitions::default()
    };
    let project = Project {
        name: "bench".into(),
        folder: ".".into(),
        identifier_key: IdentifierKey::from_secret("bench"),
        definitions: Arc::new(definitions),
        origins: Vec::new(),
        purposes: vec!["marketing".into()],
        attribute_types: Default::default(),
        merged_attributes: Vec::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        trusted_proxies: Vec::new(),
        sources: Vec::new(),
        read_tokens: Vec::new(),
        admin_tokens: Vec::new(),
        cluster_token: None,
        clock: Clock::default(),
        limits: Limits::default(),
        destinations: Vec::new(),
        replay: Default::default(),
        storage: None,
        history: None,
        instance: "default".into(),
        log: None,
        dataflow_log: true,
    };
    let extractor = Extractor::new(&project);
    run("track", &extractor, |i| {
        format!(
            r#"{{"type":"track","event":"Order Completed","userId":"user-{i}","anonymousId":"5a0c34f2-{i:08}","messageId":"ajs-next-{i:016}","timestamp":"2026-01-31T12:00:00.123Z","properties":{{"order_id":"o-{i}","total":{i}.95,"currency":"EUR","category":"shoes"}},"context":{{"ip":"203.0.113.7","locale":"de-DE"}}}}"#
        )
    });
    run("identify", &extractor, |i| {
        format!(
            r#"{{"type":"identify","userId":"user-{i}","messageId":"ajs-next-{i:016}","timestamp":"2026-01-31T12:00:00.123Z","traits":{{"email":"ann-{i}@example.org","name":"Ann Example","plan":"pro","address":{{"city":"Berlin","zip":"10115"}},"age":42,"newsletter":true}},"context":{{"consent":{{"categoryPreferences":{{"marketing":true}}}}}}}}"#
        )
    });
}

fn run(name: &str, extractor: &Extractor, event: impl Fn(u64) -> String) {
    let events: Vec<String> = (0..10_000).map(event).collect();
    let bytes: usize = events.iter().map(String::len).sum();
    let now = Tick::from_ms(1_769_860_800_000).into();
    let given = EventContext {
        source: "bench",
        call: None,
        received: Some(&now),
        sent_at: Some(&now),
        context: None,
        is_historical: false,
        ip: None,
        position: ("", 0),
        is_placed: false,
    };
    // Rounds of all events, for three seconds: the best tells what the code costs, the median what the machine does meanwhile.
    let (mut rounds, start) = (Vec::new(), Instant::now());
    while start.elapsed() < Duration::from_secs(3) {
        let round = Instant::now();
        for event in &events {
            black_box(extractor.accept(event.as_bytes(), &given).is_ok());
        }
        rounds.push(events.len() as f64 / round.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    let (best, median) = (rounds[rounds.len() - 1], rounds[rounds.len() / 2]);
    println!("{name}: {} bytes each, {best:.0} events/s at best, {median:.0} in the median", bytes / events.len());
}
