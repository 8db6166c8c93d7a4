//! What do codecs cost on the records that cross workers, and on those that go to the log?
//!
//! The records are those that the first stage makes of the shop's events; what is measured is mirrors of them (`mirrors.rs`).
//! Records cross workers by bytes only between processes: threads of one process hand over vectors.

#[path = "../../shop/mod.rs"]
mod shop;

mod best;
mod codecs;
mod given;
mod mirrors;

use abomonation::Abomonation;
use best::best;
use codecs::{Cost, abomonation, bincode, columnar};
use dataflows::model::Tick;
use dataflows::observer::{Observation, Observer};
use deltaic::ingest::segment::Extractor;
use deltaic::log::codec;
use given::given;
use mirrors::{HolderMirror, Id, LinkMirror, PartMirror, SightingMirror};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shop::{BenchArguments, ShopStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type LinkRow = ((Id, LinkMirror), u64, i64);
type SightingRow = ((Id, SightingMirror), u64, i64);
type PartRow = (((HolderMirror, PartMirror), u64), u64, Id);
/// The two halves of the hash of the message, and the event as JSON.
type EventRow = (Id, Vec<u8>);

fn main() {
    let events = BenchArguments::of_command_line().number("events", 5_000);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let project = shop::project(folder.path());
    let (extractor, observer) = (Extractor::new(&project), Observer::new(project.definitions.clone()));
    let mut stream = ShopStream::new(1, 100_000);
    let (mut links, mut sightings, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut raws, mut line) = (Vec::new(), String::new());
    for number in 0..events {
        line.clear();
        stream.next_event(&mut line);
        let tick = Tick::from_ms(shop::START_MS + number * 20);
        let Ok(arrival) = extractor.accept(line.as_bytes(), &given(&tick.into())) else {
            panic!("the shop's events are in order")
        };
        raws.push((arrival.accepted.message, line.clone().into_bytes()));
        observer.observe(arrival.accepted.event, tick, &mut |observation| match observation {
            Observation::Link(id, link) => links.push(mirror::<_, LinkRow>(&((id, link), tick, 1i64))),
            Observation::Sighting(id, sighting) => {
                sightings.push(mirror::<_, SightingRow>(&((id, sighting), tick, 1i64)));
            }
            Observation::Part(holder, part, at, weight) => {
                parts.push(mirror::<_, PartRow>(&(((holder, part), at), tick, weight)));
            }
            Observation::Candidate(..) => {}
        });
    }
    println!("codecs: rows of {events} events of the shop, one thread; ns and bytes a row, the best of 0.3 s");
    println!("records              codec            encode   in place  to records    bytes  with lz4");
    compare("links", &links);
    compare("sightings", &sightings);
    compare("parts", &parts);
    let stored: Vec<EventRow> =
        raws.iter().map(|(message, raw)| (((message >> 64) as u64, *message as u64), raw.clone())).collect();
    compare("events of the log", &stored);
    ours(&raws);
}

/// The mirror of a record; it must be written as the record is.
fn mirror<T: Serialize, M: Serialize + DeserializeOwned>(record: &T) -> M {
    let written = bincode::serialize(record).expect("a vector takes all");
    let mirror = bincode::deserialize(&written).expect("the mirror has the shape of the record");
    assert_eq!(bincode::serialize(&mirror).expect("a vector takes all"), written);
    mirror
}

fn compare<T>(records: &str, rows: &Vec<T>)
where
    T: Serialize + DeserializeOwned + Abomonation + Clone + ::columnar::Columnar,
    ::columnar::ContainerOf<T>: ::columnar::ContainerBytes + for<'a> ::columnar::Push<&'a T>,
{
    let records = format!("{records} ({})", rows.len());
    print(&records, "bincode", &bincode(rows));
    print("", "abomonation", &abomonation(rows));
    print("", "columnar", &columnar(rows));
}

/// The log's own codec, as it is: bincode with variable integers, LZ4 and a checksum.
fn ours(raws: &[(u128, Vec<u8>)]) {
    let tick = Tick::from_ms(shop::START_MS);
    let encode = || {
        let events = raws.iter().map(|(message, raw)| (*message, raw.as_slice()));
        codec::encode(tick, Tick::default(), events).expect("it is small enough")
    };
    let entry = encode();
    let raw_bytes = codec::envelope(tick, &entry).expect("it was written so").raw_bytes;
    let cost = Cost {
        encode_ns: best(raws.len(), || _ = std::hint::black_box(encode())),
        view_ns: None,
        own_ns: best(raws.len(), || _ = std::hint::black_box(codec::decode(tick, &entry))),
        bytes: f64::from(raw_bytes) / raws.len() as f64,
        lz4_bytes: entry.len() as f64 / raws.len() as f64,
    };
    print("", "the log's, lz4 incl.", &cost);
}

fn print(records: &str, codec: &str, cost: &Cost) {
    let view = cost.view_ns.map_or("-".to_owned(), |ns| format!("{ns:.1}"));
    println!(
        "{records:<26} {codec:<20} {:>8.1} {view:>10} {:>11.1} {:>8.1} {:>9.1}",
        cost.encode_ns, cost.own_ns, cost.bytes, cost.lz4_bytes,
    );
}
