//! Histories in real folders, compared with plain lists of what was written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dataflows::model::{Event, Identifier, IdentifierKey, Position, Tick};
use tempfile::TempDir;

use super::*;
use crate::log::Stored;

/// 2026-11-25, noon.
const START_MS: u64 = 1_795_608_000_000;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A sequence of numbers that looks random, from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn identifier(user: u64) -> Identifier {
    Identifier::new(&IdentifierKey::from_secret("history"), "user_id", &format!("u{user}"))
}

/// The user of a stored event.
fn user(stored: &Stored) -> u64 {
    let text = std::str::from_utf8(&stored.raw).unwrap();
    text[2..].split(',').next().unwrap().parse().unwrap()
}

/// What the project makes of a stored event: of each tenth nothing.
fn reading(placed: &Placed) -> Option<Reading> {
    let user = user(&placed.stored);
    let event = Event {
        timestamp: Tick::from_ms(START_MS),
        name: "Seen".into(),
        identifiers: vec![identifier(user), identifier(user + 1_000)].into(),
        attributes: [("age".into(), dataflows::model::Value::number(7.0)), ("gone".into(), None)].into(),
        consent: [("ads".into(), true)].into(),
        ..Event::default()
    };
    let origin = Origin { call: "track", source: Some("app".into()), name: Some("Seen".into()) };
    (!user.is_multiple_of(10)).then_some(Reading { event, origin })
}

/// Random ticks with random events, after `after`.
fn portions(numbers: &mut Numbers, after: Tick, ticks: u64) -> Vec<Portion> {
    let mut tick = after;
    let portion = |_| {
        tick = tick.after_ms(1 + numbers.below(1_000));
        let is_known = numbers.below(5) > 0;
        let events = (0..1 + numbers.below(20)).map(|index| {
            let (user, message) = (numbers.below(100), u128::from(numbers.below(u64::MAX)) << 64);
            let filler = "ä".repeat(numbers.below(50) as usize);
            let raw = Bytes::from(format!("[ {user},\"{filler}\"]"));
            let position = Position { tick, process: 3, index: index as u32 * 2 };
            Placed {
                position: if is_known { position } else { Position::UNKNOWN },
                stored: Stored { message, source: Some("app".into()), raw },
            }
        });
        Portion { tick, events: events.collect() }
    };
    (0..ticks).map(portion).collect()
}

fn write(archive: &mut Archive, portions: &[Portion]) -> Result<(), HistoryError> {
    let mut recorder = archive.record()?;
    for portion in portions {
        recorder.add(portion, &portion.events.iter().map(reading).collect::<Vec<_>>())?;
    }
    recorder.commit(portions.last().map_or(Tick::default(), |portion| portion.tick))
}

fn read(archive: &Archive, after: Tick, until: Tick) -> Result<Vec<Portion>, HistoryError> {
    archive.portions(after, until).collect()
}

fn all(archive: &Archive) -> Vec<Portion> {
    read(archive, Tick::default(), Tick::MAX).unwrap()
}

/// A history in a folder.
struct HistoryWorld {
    folder: TempDir,
}

impl HistoryWorld {
    fn new() -> Self {
        HistoryWorld { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn place(&self) -> Arc<dyn HistoryFiles> {
        Arc::new(Folder::new(self.root()))
    }

    fn open(&self) -> Archive {
        Archive::open(self.place(), "key".to_owned()).unwrap()
    }

    /// The same in another folder.
    fn copy(&self) -> HistoryWorld {
        let world = HistoryWorld::new();
        for name in self.files().into_iter().chain(["MANIFEST".to_owned()]) {
            let to = world.root().join(&name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.root().join(&name), to).unwrap();
        }
        world
    }

    /// Which files of events are there, whatever the manifest says.
    fn files(&self) -> BTreeSet<String> {
        self.place().names().unwrap().into_iter().collect()
    }
}

fn named(archive: &Archive) -> BTreeSet<String> {
    archive.files().iter().map(DataFile::name).collect()
}

#[test]
fn what_is_written_is_read_in_its_order() {
    for seed in [1, 2, 3] {
        println!("seed {seed}");
        let (world, mut numbers) = (HistoryWorld::new(), Numbers(seed));
        let mut expected = Vec::new();
        let mut after = Tick::from_ms(START_MS);
        for _ in 0..40 {
            let more = portions(&mut numbers, after, 30);
            let mut archive = world.open();
            write(&mut archive, &more).unwrap();
            // What an archive has already is not written once more: a checkpoint that failed begins again where it began.
            write(&mut archive, &more).unwrap();
            after = archive.until();
            expected.extend(more);
            assert_eq!(named(&archive), world.files());
        }
        let archive = world.open();
        assert_eq!(all(&archive), expected);
        assert!(archive.files().len() < 20, "small files are made one");
        let events: usize = expected.iter().map(|portion| portion.events.len()).sum();
        assert_eq!(archive.files().iter().map(|file| file.rows).sum::<u64>(), events as u64);
        for _ in 0..50 {
            let mut tick = || Tick::from_ms(START_MS + numbers.below(after.as_ms() - START_MS + 1_000));
            let (from, to) = (tick(), tick());
            let wanted = expected.iter().filter(|portion| portion.tick > from && portion.tick <= to);
            assert_eq!(read(&archive, from, to).unwrap(), wanted.cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn files_are_of_one_day_each() {
    let (world, mut numbers) = (HistoryWorld::new(), Numbers(4));
    let mut archive = world.open();
    let mut expected = Vec::new();
    for day in 0..4 {
        expected.extend(portions(&mut numbers, Tick::from_ms(START_MS + day * DAY_MS), 5));
    }
    write(&mut archive, &expected).unwrap();
    let days: Vec<String> = named(&archive).iter().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(days, ["day=2026-11-25", "day=2026-11-26", "day=2026-11-27", "day=2026-11-28"]);
    assert_eq!(all(&world.open()), expected);

    // What is older goes by files, and the history begins after it.
    let third = archive.files()[2].clone();
    assert_eq!(archive.drop_before(third.last).unwrap(), 2);
    assert_eq!(world.files().len(), 2);
    let archive = world.open();
    assert_eq!(archive.begins(), expected[9].tick);
    assert_eq!(all(&archive), expected[10..]);
}

#[test]
fn large_histories_have_several_row_groups() {
    let world = HistoryWorld::new();
    let mut archive = world.open();
    let mut numbers = Numbers(5);
    let expected = portions(&mut numbers, Tick::from_ms(START_MS), 12_000);
    assert!(expected.iter().map(|portion| portion.events.len()).sum::<usize>() > 100_000);
    write(&mut archive, &expected).unwrap();
    assert_eq!(archive.files().len(), 1);
    assert_eq!(all(&archive), expected);
}

#[test]
fn the_files_of_a_person_are_found_and_rewritten() {
    let (world, mut numbers) = (HistoryWorld::new(), Numbers(6));
    let mut archive = world.open();
    let mut expected = Vec::new();
    for day in 0..10 {
        // Users of a day are of this day alone, but for user 5, who is there on each third.
        let mut of_day = portions(&mut numbers, Tick::from_ms(START_MS + day * DAY_MS), 20);
        for (place, placed) in of_day.iter_mut().flat_map(|portion| &mut portion.events).enumerate() {
            let user = if place == 3 && day % 3 == 0 { 5 } else { 10_001 + day * 10 + place as u64 % 9 };
            placed.stored.raw = format!("[ {user},1]").into();
        }
        write(&mut archive, &of_day).unwrap();
        expected.extend(of_day);
    }
    let person = identifier(5).id();
    let has = |placed: &Placed| reading(placed).is_some_and(|r| r.event.identifiers.iter().any(|i| i.id() == person));
    let days =
        |files: &[DataFile]| files.iter().map(|file| (file.first.as_ms() - START_MS) / DAY_MS).collect::<Vec<_>>();
    let found = archive.files_that_may_hold(person).unwrap();
    for day in [0, 3, 6, 9] {
        assert!(days(&found).contains(&day), "{:?}", days(&found));
    }
    assert!(found.len() < 7, "a filter that says yes to everything is none: {:?}", days(&found));
    assert!(archive.files_that_may_hold(identifier(77).id()).unwrap().len() < 3);

    for file in &found {
        archive.rewrite(file, &reading, &mut |placed, _| !has(placed)).unwrap();
    }
    for portion in &mut expected {
        portion.events.retain(|placed| !has(placed));
    }
    expected.retain(|portion| !portion.events.is_empty());
    let archive = world.open();
    assert_eq!(all(&archive), expected);
    assert_eq!(named(&archive), world.files());
    let left = archive.files_that_may_hold(person).unwrap();
    assert!(left.len() < 3, "the filters are made anew: {:?}", days(&left));
}

#[test]
fn whose_events_nobody_could_read_is_not_known() {
    let world = HistoryWorld::new();
    let mut archive = world.open();
    let stored = Stored { message: 1, source: Some("web".into()), raw: "[ 10,1]".into() };
    let placed = Placed { position: Position::UNKNOWN, stored };
    write(&mut archive, &[Portion { tick: Tick::from_ms(START_MS), events: vec![placed] }]).unwrap();
    assert_eq!(archive.files()[0].unread, 1);
    assert_eq!(archive.files_that_may_hold(identifier(5).id()).unwrap().len(), 1);
    let other = Archive::open(world.place(), "another key".to_owned()).unwrap();
    assert_eq!(other.files_that_may_hold(identifier(5).id()).unwrap().len(), 1);
}

/// A place that fails for ever after so many writes; the last one may be half done.
#[derive(Debug)]
struct Failing {
    folder: Folder,
    writes: AtomicUsize,
}

impl Failing {
    fn write(&self, done: impl FnOnce() -> io::Result<()>, half: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(0) => {
                half()?;
                Err(io::Error::other("out of order"))
            }
            Ok(_) => done(),
            Err(_) => Err(io::Error::other("out of order")),
        }
    }
}

impl HistoryFiles for Failing {
    fn title(&self) -> String {
        self.folder.title()
    }

    fn manifest(&self) -> io::Result<Option<Bytes>> {
        self.folder.manifest()
    }

    fn replace_manifest(&self, content: Bytes) -> io::Result<()> {
        let half = content.slice(..content.len() / 2);
        self.write(|| self.folder.replace_manifest(content), || self.folder.write("day=2026-11-25/MANIFEST.new", half))
    }

    fn write(&self, name: &str, content: Bytes) -> io::Result<()> {
        let half = content.slice(..content.len() / 2);
        Failing::write(self, || self.folder.write(name, content), || self.folder.write(name, half))
    }

    fn read(&self, name: &str, start: u64, bytes: usize) -> io::Result<Bytes> {
        self.folder.read(name, start, bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.write(|| self.folder.remove(name), || Ok(()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.folder.names()
    }
}

/// Changes an archive, whatever fails.
type HistoryChange<'a> = &'a dyn Fn(&mut Archive) -> Result<(), HistoryError>;

/// Does `change` and fails after each number of writes: what is there then must be what was there before, or after.
#[track_caller]
fn check_crashes(prepared: &HistoryWorld, change: HistoryChange<'_>, writes_min: usize) {
    let before = all(&prepared.open());
    let world = prepared.copy();
    change(&mut world.open()).unwrap();
    let after = all(&world.open());
    for steps in 0.. {
        let world = prepared.copy();
        let failing = Arc::new(Failing { folder: Folder::new(world.root()), writes: AtomicUsize::new(steps) });
        let done = change(&mut Archive::open(failing.clone(), "key".to_owned()).unwrap());
        // A start, after which nothing is left over.
        let mut archive = world.open();
        archive.sweep().unwrap();
        assert_eq!(named(&archive), world.files(), "{steps} steps");
        let found = all(&archive);
        assert!(found == after || (found == before && done.is_err()), "{steps} steps");
        change(&mut archive).unwrap();
        assert_eq!(all(&world.open()), after, "{steps} steps, and once more");
        // It went through with a step to spare.
        if failing.writes.load(Ordering::SeqCst) > 0 {
            assert!(done.is_ok() && steps > writes_min, "only {steps} steps");
            return;
        }
    }
}

#[test]
fn a_crash_leaves_what_was_there_before_or_after() {
    let (world, mut numbers) = (HistoryWorld::new(), Numbers(7));
    let first = portions(&mut numbers, Tick::from_ms(START_MS), 30);
    write(&mut world.open(), &first).unwrap();
    let more = portions(&mut numbers, Tick::from_ms(START_MS + DAY_MS), 30);
    check_crashes(&world, &|archive| write(archive, &more), 2);
    let without = |archive: &mut Archive| {
        let Some(file) = archive.files().first().cloned() else { return Ok(()) };
        archive.rewrite(&file, &reading, &mut |placed, _| user(&placed.stored) != 5).map(drop)
    };
    check_crashes(&world, &without, 3);
    let nobody = |archive: &mut Archive| {
        let Some(file) = archive.files().first().cloned() else { return Ok(()) };
        archive.rewrite(&file, &reading, &mut |_, _| false).map(drop)
    };
    check_crashes(&world, &nobody, 2);
    check_crashes(&world, &|archive| archive.drop_before(Tick::MAX).map(drop), 2);
    // With the sixteenth file, all of them are made one.
    let mut after = world.open().until();
    for _ in 1..15 {
        let more = portions(&mut numbers, after, 2);
        write(&mut world.open(), &more).unwrap();
        after = world.open().until();
    }
    let last = portions(&mut numbers, after, 2);
    check_crashes(&world, &|archive| write(archive, &last), 15);
}

#[test]
fn damage_is_told_with_the_file() {
    let (world, mut numbers) = (HistoryWorld::new(), Numbers(8));
    write(&mut world.open(), &portions(&mut numbers, Tick::from_ms(START_MS), 100)).unwrap();
    let archive = world.open();
    let name = archive.files()[0].name();
    let path = world.root().join(&name);
    let whole = fs::read(&path).unwrap();
    for _ in 0..200 {
        let mut damaged = whole.clone();
        damaged[numbers.below(whole.len() as u64) as usize] ^= 1 << numbers.below(8);
        fs::write(&path, damaged).unwrap();
        let error = read(&archive, Tick::default(), Tick::MAX).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("restore it from a copy"), "{error}");
    }
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(read(&archive, Tick::default(), Tick::MAX).unwrap_err().to_string().contains("fewer than"));
    fs::remove_file(&path).unwrap();
    assert!(read(&archive, Tick::default(), Tick::MAX).unwrap_err().to_string().contains("it is gone"));
    assert!(archive.files_that_may_hold(identifier(1).id()).is_err() || archive.files()[0].unread > 0);
    fs::write(&path, &whole).unwrap();

    let manifest = world.root().join("MANIFEST");
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let error = Archive::open(world.place(), "key".to_owned()).unwrap_err().to_string();
    assert!(error.contains("has files but no MANIFEST"), "{error}");
    assert!(path.exists(), "what is refused is not touched");
    for at in 0..text.len() {
        let mut damaged = text.clone();
        damaged[at] ^= 1;
        fs::write(&manifest, damaged).unwrap();
        let error = Archive::open(world.place(), "key".to_owned()).unwrap_err().to_string();
        assert!(error.contains("manifest") && error.contains("line"), "{error}");
    }
}

/// Files that say of themselves what cannot be, under a manifest that believes them.
#[test]
fn forged_files_are_an_error_and_no_panic() {
    let (world, mut numbers) = (HistoryWorld::new(), Numbers(9));
    write(&mut world.open(), &portions(&mut numbers, Tick::from_ms(START_MS), 100)).unwrap();
    let archive = world.open();
    let file = archive.files()[0].clone();
    let path = world.root().join(file.name());
    let whole = fs::read(&path).unwrap();
    let mut errors = 0;
    for _ in 0..300 {
        let mut forged = whole.clone();
        // Mostly in the footer, where sizes and places are.
        let at = whole.len() - 1 - numbers.below(1 + numbers.0 % whole.len() as u64) as usize;
        forged[at] = numbers.below(256) as u8;
        let tail = file.bytes - file.tail_bytes;
        fs::write(&path, &forged).unwrap();
        let believed = DataFile {
            sum: manifest::checksum(&forged),
            tail_sum: manifest::checksum(&forged[tail as usize..]),
            unread: 0,
            ..file.clone()
        };
        errors += usize::from(portions::may_hold(&*world.place(), &believed, identifier(1).id()).is_err());
        let portions: Result<Vec<_>, _> =
            Portions::new(world.place(), vec![believed], Tick::default(), Tick::MAX).collect();
        errors += usize::from(portions.is_err());
    }
    assert!(errors > 0);
}
