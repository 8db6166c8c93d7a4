//! Segments on real folders, against a list in memory: written, torn, damaged, and after a loss of power.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tempfile::TempDir;

use super::frame::{FRAME_HEAD, FRAMES_AT};
use super::*;
use crate::limits::LOG_SEGMENT_BYTES_MIN;

struct SegmentChance(TestRng);

impl SegmentChance {
    fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        SegmentChance(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    fn body(&mut self, bytes_max: u64) -> Vec<u8> {
        let bytes = self.below(bytes_max);
        (0..bytes).map(|_| self.0.next_u32() as u8).collect()
    }
}

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let first = std::env::var("DELTAIC_SEGMENTS_SEED").map_or(1, |text| text.parse().unwrap());
    println!("DELTAIC_SEGMENTS_SEED={first} and the next {}", count - 1);
    first..first + count
}

/// A folder for a log.
struct SegmentWorld(TempDir);

impl SegmentWorld {
    fn new() -> Self {
        SegmentWorld(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn tail(&self) -> PathBuf {
        self.0.path().join("TAIL")
    }

    fn try_open(&self) -> Result<Segments, SegmentError> {
        Segments::open(&self.folder(), &self.tail())
    }

    fn open(&self) -> Segments {
        self.try_open().unwrap()
    }

    fn writer(&self, disk: impl Disk + 'static, safety: Safety) -> SegmentWriter {
        SegmentWriter::open(self.open(), Arc::new(disk), safety).unwrap()
    }

    /// One with entries at the ticks 10, 20, …, of which `per_segment` are in each segment.
    fn with(entries: u64, per_segment: u64) -> Self {
        let world = SegmentWorld::new();
        let mut writer = world.writer(RealDisk, Safety::Sync);
        for n in 1..=entries {
            writer.append(Tick::from_ms(n * 10), &body(n), u64::MAX).unwrap();
            if n % per_segment == 0 {
                writer.segments.end_segment();
            }
        }
        world
    }

    /// The segments' files, in their order.
    fn files(&self) -> Vec<PathBuf> {
        numbers(&self.folder()).unwrap().into_iter().map(|number| number.path(&self.folder())).collect()
    }

    /// All files, as they are.
    fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path()).collect();
        files.push(self.tail());
        files.into_iter().filter(|file| file.exists()).map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    }
}

fn body(n: u64) -> Vec<u8> {
    format!("the entry {n}, {}", "x".repeat(n as usize * 7 % 50)).into_bytes()
}

/// The ticks from `first` on and all damage, in their order.
fn read(segments: &Segments, first: u64) -> Vec<Result<u64, String>> {
    let entries = segments.entries(Tick::from_ms(first));
    entries.map(|entry| entry.map(|entry| entry.tick.as_ms()).map_err(|error| error.to_string())).collect()
}

fn ticks(segments: &Segments) -> Vec<u64> {
    read(segments, 0).into_iter().map(Result::unwrap).collect()
}

fn append(writer: &mut SegmentWriter, tick: u64, body: &[u8]) {
    assert_eq!(writer.append(Tick::from_ms(tick), body, u64::MAX).unwrap(), Appended::Done);
}

#[test]
fn a_log_reads_as_it_was_written_over_restarts_segments_and_drops() {
    for seed in seeds(8) {
        let (mut chance, world) = (SegmentChance::of(seed), SegmentWorld::new());
        let mut model: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut tick = 0;
        let mut safety = Safety::Os;
        let mut writer = world.writer(RealDisk, safety);
        for _ in 0..150 {
            match chance.below(20) {
                0 => {
                    drop(writer);
                    safety = if safety == Safety::Os { Safety::Sync } else { Safety::Os };
                    writer = world.writer(RealDisk, safety);
                }
                1 => writer.segments.end_segment(),
                2 if !model.is_empty() => {
                    let up_to = model[chance.below(model.len() as u64) as usize].0;
                    let (dropped, last) = writer.segments.drop_up_to(Tick::from_ms(up_to));
                    let gone: Vec<_> = model.drain(..dropped as usize).collect();
                    assert_eq!(gone.last().map(|(tick, _)| Tick::from_ms(*tick)), last, "seed {seed}");
                    assert!(last <= Some(Tick::from_ms(up_to)) && !model.is_empty(), "seed {seed}");
                }
                _ => {
                    tick += 1 + chance.below(5);
                    // Some are larger than what is set aside for a segment.
                    let bytes_max = [100, 5_000, 2 * LOG_SEGMENT_BYTES_MIN][(chance.below(40) / 19) as usize];
                    let body = chance.body(bytes_max);
                    append(&mut writer, tick, &body);
                    model.push((tick, body));
                }
            }
            if chance.below(4) > 0 {
                continue;
            }
            let first = chance.below(tick + 2);
            let expected: Vec<_> = model.iter().filter(|(tick, _)| *tick >= first).cloned().collect();
            let entries = writer.segments.entries(Tick::from_ms(first)).map(Result::unwrap);
            let found: Vec<_> = entries.map(|entry| (entry.tick.as_ms(), entry.bytes.to_vec())).collect();
            assert_eq!(found, expected, "seed {seed}, from {first}");
            assert_eq!(writer.segments.last().map(|last| last.tick.as_ms()), model.last().map(|(tick, _)| *tick));
        }
    }
}

#[test]
fn what_is_read_stays_until_it_is_read() {
    let world = SegmentWorld::with(9, 3);
    let segments = world.open();
    let mut entries = segments.entries(Tick::default());
    assert_eq!(entries.next().unwrap().unwrap().tick, Tick::from_ms(10));
    assert_eq!(segments.drop_up_to(Tick::from_ms(65)), (6, Some(Tick::from_ms(60))));
    assert_eq!(entries.map(|entry| entry.unwrap().tick.as_ms()).collect::<Vec<_>>(), [20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!(ticks(&segments), [70, 80, 90]);
    assert_eq!((world.files().len(), ticks(&world.open())), (1, vec![70, 80, 90]));
}

/// Where the last segment that has entries ends, by its bytes.
fn end_of(file: &Path) -> usize {
    fs::read(file).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_torn_end_is_left_alone_until_something_is_written() {
    let whole = SegmentWorld::with(3, 100);
    let file = whole.files().remove(0);
    let (bytes, end) = (fs::read(&file).unwrap(), end_of(&file));
    let third = (FRAMES_AT as usize..end).rev().find(|at| bytes[*at..].starts_with(&frame::FRAME_MARK)).unwrap();
    // The third write was cut off after so many bytes; or they are all that is there of it.
    for (cut, keeps_begin) in (third + 1..end).flat_map(|cut| [(cut, true), (cut, false)]) {
        let mut torn = bytes.clone();
        if keeps_begin {
            torn[cut..end].fill(0)
        } else {
            torn[third..cut].fill(0)
        }
        fs::write(&file, torn).unwrap();
        fs::write(whole.tail(), "20\n").unwrap();
        let before = whole.bytes();
        let segments = whole.open();
        assert_eq!((ticks(&segments), segments.damage()), (vec![10, 20], None), "{cut} {keeps_begin}");
        assert_eq!(segments.torn().len(), usize::from(before[&file][third..].iter().any(|byte| *byte != 0)));
        assert!(whole.bytes() == before, "a look changed something");
    }
    let mut writer = whole.writer(RealDisk, Safety::Sync);
    assert_eq!(whole.open().torn(), []);
    append(&mut writer, 35, b"in its place");
    assert_eq!((ticks(&whole.open()), ticks(&writer.segments)), (vec![10, 20, 35], vec![10, 20, 35]));
}

#[test]
fn any_changed_byte_is_told_or_does_no_harm() {
    let world = SegmentWorld::with(7, 3);
    for file in world.files() {
        // Without most of the room that is set aside.
        File::options().write(true).open(&file).unwrap().set_len(end_of(&file) as u64 + 64).unwrap();
    }
    let (files, all) = (world.files(), vec![10, 20, 30, 40, 50, 60, 70]);
    let mut told = 0;
    for file in &files {
        let whole = fs::read(file).unwrap();
        for place in (0..end_of(file) + 40).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            fs::write(file, bytes).unwrap();
            let before = world.bytes();
            let segments = world.open();
            let found = read(&segments, 0);
            let lost = segments.last().map(|last| last.tick) < segments.safe();
            if found.iter().any(Result::is_err) || lost {
                told += 1;
                let ticks: Vec<u64> = found.iter().flatten().copied().collect();
                assert_eq!(ticks.len(), all.len() - 1, "byte {place} takes one entry: {found:?}");
                let damage = found.iter().find_map(|found| found.as_ref().err());
                let says = damage.is_none_or(|damage| damage.contains(file.to_str().unwrap()));
                assert!(says && (damage.is_some() || lost), "byte {place}: {found:?}");
            } else {
                assert_eq!(found.into_iter().map(Result::unwrap).collect::<Vec<_>>(), all, "byte {place}");
            }
            assert!(world.bytes() == before, "a look changed something");
        }
        fs::write(file, whole).unwrap();
    }
    assert!(told > 7 * FRAME_HEAD, "{told}");
}

#[track_caller]
fn check_damage(world: &SegmentWorld, expected: &[&str]) {
    let found = read(&world.open(), 0);
    let damage: Vec<&String> = found.iter().filter_map(|found| found.as_ref().err()).collect();
    assert_eq!(damage.len(), 1, "{found:?}");
    expected.iter().for_each(|part| assert!(damage[0].contains(part), "{damage:?}"));
}

#[test]
fn what_is_missing_is_named() {
    // 512 bytes of zeros in the middle: all frames of it, but the last one.
    let world = SegmentWorld::with(20, 100);
    let file = world.files().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096 + 300..4096 + 812].fill(0);
    fs::write(&file, &bytes).unwrap();
    check_damage(&world, &["000000000000.seg, byte 4", "wrong checksum; lost: 7 entries after tick 30 up to tick 100"]);
    let damage = world.open().damage().unwrap().to_string();
    assert!(damage.contains("7 entries after tick 30 up to tick 100"), "{damage}");

    let world = SegmentWorld::with(9, 3);
    fs::remove_file(&world.files()[1]).unwrap();
    check_damage(
        &world,
        &["000000000000.seg, byte 4", "no entry where one should be; lost: 3 entries after tick 30 up to tick 60"],
    );

    // Both heads of a segment: what it has cannot be recognised.
    let mut bytes = fs::read(&world.files()[1]).unwrap();
    bytes[..4096].fill(0);
    fs::write(&world.files()[1], bytes).unwrap();
    let error = world.try_open().err().unwrap().to_string();
    assert!(error.contains("000000000002.seg, byte 0: the head of the file"), "{error}");
}

#[test]
fn what_somebody_put_into_an_event_is_no_frame() {
    let world = SegmentWorld::with(1, 100);
    let file = world.files().remove(0);
    // A frame as it would be behind the torn one, of a segment whose salt one has to guess.
    let mut hostile = vec![0; 16];
    let head = SegmentHead { number: SegmentNumber(0), salt: 0 };
    let frame = FrameHead::new(0, Safety::Sync, 2, Tick::from_ms(30), Tick::from_ms(20), b"").unwrap();
    let place = end_of(&file).next_multiple_of(8) as u64 + FRAME_HEAD as u64 + 16;
    hostile.extend_from_slice(&frame.encode(head, place));
    let mut writer = world.writer(RealDisk, Safety::Sync);
    append(&mut writer, 20, &hostile);
    drop(writer);
    let mut bytes = fs::read(&file).unwrap();
    bytes[place as usize - FRAME_HEAD - 16] ^= 1;
    fs::write(&file, bytes).unwrap();
    let segments = world.open();
    assert_eq!((ticks(&segments), segments.damage(), segments.torn().len()), (vec![10], None, 1));
}

#[test]
fn an_answer_is_given_when_all_of_it_is_synced() {
    for (safety, is_synced) in [(Safety::Sync, true), (Safety::Os, false)] {
        let (world, disk) = (SegmentWorld::new(), UnsyncedDisk::default());
        let mut writer = world.writer(disk.clone(), safety);
        append(&mut writer, 1, b"the first, for which a file is made");
        for tick in 2..20 {
            let before = disk.syncs();
            append(&mut writer, tick, b"more");
            assert_eq!((disk.syncs() - before, disk.is_synced()), (usize::from(is_synced), is_synced), "{safety:?}");
        }
    }
}

#[test]
fn a_loss_of_power_takes_nothing_that_was_safe() {
    let (mut torn, mut lost) = (0, 0);
    for seed in seeds(150) {
        let (mut chance, world, disk) = (SegmentChance::of(seed), SegmentWorld::new(), UnsyncedDisk::default());
        let safety = if chance.below(2) == 0 { Safety::Sync } else { Safety::Os };
        let (mut appended, mut safe) = (Vec::new(), 0);
        let mut writer = world.writer(disk.clone(), safety);
        for tick in 1..=chance.below(40) {
            if chance.below(12) == 0 {
                writer.segments.end_segment();
            }
            append(&mut writer, tick, &chance.body(3_000));
            appended.push(tick);
            safe = if safety == Safety::Sync || chance.below(10) == 0 {
                writer.sync().unwrap();
                tick
            } else {
                safe
            };
        }
        if chance.below(2) == 0 {
            // In the middle of a write.
            let tick = appended.len() as u64 + 1;
            disk.fail_sync();
            let body = chance.body(3_000);
            let failed = writer.append(Tick::from_ms(tick), &body, u64::MAX).is_err();
            assert!(failed || safety == Safety::Os);
            appended.push(tick);
        }
        drop(writer);
        disk.lose_power(&mut || chance.below(2) == 0);
        let segments = world.open();
        assert_eq!(segments.damage(), None, "seed {seed}");
        let found = ticks(&segments);
        assert!(appended.starts_with(&found) && found.len() as u64 >= safe, "seed {seed}: {safe} of {found:?}");
        assert!(segments.safe() <= segments.last().map(|last| last.tick), "seed {seed}");
        torn += usize::from(!segments.torn().is_empty());
        lost += appended.len() - found.len();
        // And on it goes.
        let mut writer = world.writer(RealDisk, Safety::Sync);
        append(&mut writer, 1_000, b"after it");
        assert_eq!(ticks(&world.open()), [&found[..], &[1_000]].concat(), "seed {seed}");
    }
    assert!(torn > 10 && lost > 10, "{torn} {lost}");
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_write_leaves_a_torn_end() {
    for bytes in [0, 1, 47, 48, 60] {
        let (world, disk) = (SegmentWorld::with(2, 100), UnsyncedDisk::default());
        let mut writer = world.writer(disk.clone(), Safety::Sync);
        disk.fill_after(bytes);
        writer.append(Tick::from_ms(30), &body(30), u64::MAX).unwrap_err();
        writer.append(Tick::from_ms(40), &body(40), u64::MAX).unwrap_err();
        drop(writer);
        let segments = world.open();
        assert_eq!((ticks(&segments), segments.damage()), (vec![10, 20], None), "{bytes}");
        assert_eq!(segments.torn().len(), usize::from(bytes > 0));
        append(&mut world.writer(RealDisk, Safety::Sync), 30, &body(3));
        assert_eq!(ticks(&world.open()), [10, 20, 30]);
    }
}

#[test]
fn where_there_is_no_room_for_a_file_nothing_is_written_and_later_it_goes_on() {
    let (world, disk) = (SegmentWorld::new(), UnsyncedDisk::default());
    let mut writer = world.writer(disk.clone(), Safety::Sync);
    let lacking = writer.append(Tick::from_ms(1), b"one", LOG_SEGMENT_BYTES_MIN - 1).unwrap();
    assert_eq!(lacking, Appended::NoRoom(LOG_SEGMENT_BYTES_MIN));
    // The disk may be fuller than it looked.
    disk.fill_after(100);
    assert_eq!(writer.append(Tick::from_ms(1), b"one", u64::MAX).unwrap(), Appended::NoRoom(LOG_SEGMENT_BYTES_MIN));
    assert_eq!(fs::read_dir(world.folder()).unwrap().count(), 0);
    append(&mut writer, 2, b"two");
    assert_eq!(ticks(&world.open()), [2]);
}

#[test]
fn nobody_else_may_read_the_log() {
    let world = SegmentWorld::with(1, 100);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&world.folder()), mode(&world.files()[0]), mode(&world.tail())), (0o700, 0o600, 0o600));
}

#[test]
fn what_was_being_made_or_removed_goes() {
    let world = SegmentWorld::with(1, 100);
    for left in ["000000000007.new", "000000000000.old"] {
        fs::write(world.folder().join(left), "half").unwrap();
    }
    let before = world.bytes();
    assert_eq!(ticks(&world.open()), [10]);
    assert!(world.bytes() == before, "a look changed something");
    drop(world.writer(RealDisk, Safety::Sync));
    assert_eq!(fs::read_dir(world.folder()).unwrap().count(), 1);
}
