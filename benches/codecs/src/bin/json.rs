//! What would another JSON parser bring? The members of the shop's events that the engine looks at, by each of three.
//!
//! serde_json and sonic-rs hand out the text of nested objects, which are then read for what is wanted, as the engine does it.
//! simd-json parses in place and knows no raw texts, so it gets a copy of each event, and reads all levels at once. The last
//! line is what the engine takes to make a record of an event, with identifiers, hashes and clocks.

#[path = "../best.rs"]
mod best;
#[path = "../given.rs"]
mod given;
#[path = "../../../shop/mod.rs"]
mod shop;

use std::borrow::Cow;
use std::hint::black_box;

use dataflows::model::Tick;
use deltaic::ingest::segment::Extractor;
use given::given;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use shop::{BenchArguments, ShopStream};
use sonic_rs::LazyValue;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The first level of an event; `P` and `C` are what a parser makes of nested objects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "P: Deserialize<'de>, C: Deserialize<'de>"))]
#[allow(dead_code, reason = "that they are read is what is measured")]
struct JsonEvent<'e, P, C> {
    #[serde(borrow)]
    r#type: Option<Cow<'e, str>>,
    #[serde(borrow)]
    event: Option<Cow<'e, str>>,
    #[serde(borrow)]
    message_id: Option<Cow<'e, str>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'e, str>>,
    #[serde(borrow)]
    anonymous_id: Option<Cow<'e, str>>,
    #[serde(borrow)]
    user_id: Option<Cow<'e, str>>,
    properties: Option<P>,
    context: Option<C>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "that they are read is what is measured")]
struct Properties {
    total: Option<f64>,
    email: Option<IgnoredAny>,
    phone: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "that they are read is what is measured")]
struct Context {
    device: Option<IgnoredAny>,
    external_ids: Option<IgnoredAny>,
    consent: Option<IgnoredAny>,
    traits: Option<IgnoredAny>,
}

fn main() {
    let count = BenchArguments::of_command_line().number("events", 5_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let project = shop::project(folder.path());
    let mut stream = ShopStream::new(1, 100_000);
    let events: Vec<String> = std::iter::repeat_with(|| {
        let mut line = String::new();
        stream.next_event(&mut line);
        line
    })
    .take(count as usize)
    .collect();
    let bytes = events.iter().map(String::len).sum::<usize>() / events.len();
    println!("json: {count} events of the shop, {bytes} bytes each, one thread; ns an event, the best of 0.3 s");
    let measure = |name: &str, parse: &mut dyn FnMut(&str)| {
        let ns = best::best(events.len(), || events.iter().for_each(|event| parse(event)));
        println!("{name:<28} {ns:>8.0}");
    };
    measure("serde_json", &mut |event| {
        let event: JsonEvent<'_, &RawValue, &RawValue> =
            serde_json::from_str(event).expect("the shop's events are in order");
        black_box(event.properties.map(|raw| serde_json::from_str::<Properties>(raw.get()).is_ok()));
        black_box(event.context.map(|raw| serde_json::from_str::<Context>(raw.get()).is_ok()));
        black_box(event.message_id);
    });
    measure("sonic-rs", &mut |event| {
        let event: JsonEvent<'_, LazyValue<'_>, LazyValue<'_>> =
            sonic_rs::from_str(event).expect("the shop's events are in order");
        black_box(event.properties.map(|raw| sonic_rs::from_str::<Properties>(raw.as_raw_str()).is_ok()));
        black_box(event.context.map(|raw| sonic_rs::from_str::<Context>(raw.as_raw_str()).is_ok()));
        black_box(event.message_id);
    });
    let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::default());
    measure("simd-json, with its copy", &mut |event| {
        copy.clear();
        copy.extend_from_slice(event.as_bytes());
        let event: JsonEvent<'_, Properties, Context> =
            simd_json::serde::from_slice_with_buffers(&mut copy, &mut buffers).expect("the shop's events are in order");
        black_box(event.message_id);
    });
    let extractor = Extractor::new(&project);
    let now = Tick::from_ms(shop::START_MS).into();
    let given = given(&now);
    measure("the engine, to its record", &mut |event| {
        black_box(extractor.accept(event.as_bytes(), &given).is_ok());
    });
}
