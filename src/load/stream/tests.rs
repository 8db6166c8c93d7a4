//! That streams are repeatable, and mean the same whatever the hashes.

use std::collections::HashSet;

use super::*;

fn shape() -> StreamShape {
    let mix = "page=55,view=25,cart=8,purchase=4,login=8".parse().unwrap();
    StreamShape { seed: 7, people: 100, skew: 1.0, mix, moves: 0.1, lanes: 2, has_regulars: false }
}

fn events(shape: &StreamShape, lane: u32, count: u32) -> Vec<LoadEvent> {
    Stream::new(shape, lane).batch(count, 2_000_000, 1_000_000)
}

#[test]
fn a_seed_gives_the_same_stream() {
    assert_eq!(events(&shape(), 0, 1_000), events(&shape(), 0, 1_000));
    assert_ne!(events(&shape(), 0, 1_000), events(&shape(), 1, 1_000));
    assert_ne!(events(&shape(), 0, 1_000), events(&StreamShape { seed: 8, ..shape() }, 0, 1_000));
}

/// The stream of a seed is the same in every version: figures of two versions are of the same work.
#[test]
fn the_stream_of_a_seed_does_not_change() {
    let lines: Vec<String> = events(&shape(), 0, 6).iter().map(|event| format!("{event:?}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn batches_are_cut_from_one_stream() {
    let mut cut = Stream::new(&shape(), 0);
    let pieces: Vec<LoadEvent> = (1..=10).flat_map(|piece| cut.batch(100, piece * 1_000, 1_000)).collect();
    assert_eq!(pieces, Stream::new(&shape(), 0).batch(1_000, 10_000, 10_000));
}

#[test]
fn nothing_is_linked_twice_in_a_millisecond() {
    let mut seen = HashSet::new();
    let mut links = 0;
    for event in Stream::new(&shape(), 0).batch(20_000, 1_000, 1_000) {
        let Some(user) = event.user else { continue };
        assert!(seen.insert((event.at_ms, "user", user)), "{event:?}");
        assert!(seen.insert((event.at_ms, "device", event.device)), "{event:?}");
        links += 1;
    }
    assert!(links > 100, "{links}");
}

#[test]
fn regulars_are_alone_with_their_one_device() {
    let shape = StreamShape { has_regulars: true, ..shape() };
    let (mut of_regulars, mut moved) = (0, 0);
    for event in Stream::new(&shape, 0).batch(20_000, 1_000_000, 1_000_000) {
        let owner = event.device / DEVICES_PER_PERSON;
        match event.user {
            Some(user) if is_regular(user) => {
                assert_eq!(event.device, device_of_regular(user), "{event:?}");
                of_regulars += 1;
            }
            user => {
                assert!(!is_regular(owner), "{event:?}");
                moved += u32::from(user.is_some_and(|user| user != owner));
            }
        }
    }
    assert!(of_regulars > 5_000 && moved > 10, "{of_regulars} {moved}");
}

/// What people do, and when, is the same with regulars and without.
#[test]
fn regulars_do_what_is_done_without_them() {
    let kinds = |has_regulars| {
        let shape = StreamShape { has_regulars, ..shape() };
        let events = Stream::new(&shape, 0).batch(5_000, 10_000_000, 10_000_000);
        events.into_iter().map(|event| (event.at_ms, std::mem::discriminant(&event.what))).collect::<Vec<_>>()
    };
    assert_eq!(kinds(true), kinds(false));
}
