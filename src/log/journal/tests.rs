//! Journals that the storage itself wrote: read batch for batch, cut at every byte, and changed at every byte.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use proptest::prelude::*;
use tempfile::TempDir;

use super::seal::{JournalSeal, JournalSealer, boot};
use super::*;

/// A store with one journal of so many batches, and what is noted of it.
struct JournalWorld {
    folder: TempDir,
    /// Where each batch ends.
    ends: Vec<u64>,
}

impl JournalWorld {
    /// The last sync is after `synced` batches.
    fn new(batches: u64, synced: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let database = Database::builder(&store).worker_threads(1).open().unwrap();
        let keyspace = database.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
        let mut sealer = JournalSealer::begin(folder.path(), &store).unwrap();
        let mut ends = vec![0];
        for n in 1..=batches {
            let mut batch = database.batch().durability(Some(PersistMode::Buffer));
            for row in 0..n % 4 + 1 {
                batch.insert(&keyspace, [n as u8, row as u8], vec![7; (n * row) as usize]);
            }
            if n % 3 == 0 {
                batch.remove(&keyspace, [n as u8 - 1, 0]);
            }
            batch.commit().unwrap();
            sealer.note(n == synced);
            ends.push(end_of_writes(&store.join("0.jnl")).unwrap());
        }
        drop((keyspace, database));
        let world = JournalWorld { folder, ends };
        // Without what is set aside, so that copies are small.
        world.change(|bytes| bytes.truncate(world.end() as usize));
        world
    }

    fn journal(&self) -> Journal {
        let store = self.folder.path().join("store");
        journals(&store).unwrap().pop().unwrap()
    }

    fn end(&self) -> u64 {
        *self.ends.last().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.journal().path;
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn read(&self) -> JournalContent {
        read(&self.journal(), None).unwrap()
    }

    /// What is noted, compared with what is there.
    fn wrong(&self, boot: Option<&str>) -> Vec<(String, u64, String)> {
        let seal = JournalSeal::read(self.folder.path()).unwrap().unwrap();
        seal.check(boot, &[(self.journal(), self.read())]).unwrap()
    }
}

#[test]
fn what_the_storage_wrote_is_read() {
    for batches in [0, 1, 40] {
        let world = JournalWorld::new(batches, 0);
        let content = world.read();
        assert_eq!((content.batches, content.bytes, &content.rest), (batches, world.end(), &Rest::Nothing));
        assert_eq!(world.wrong(boot().as_deref()), []);
        assert_eq!(world.wrong(None), []);
    }
}

#[test]
fn a_journal_that_was_cut_has_what_was_whole() {
    let world = JournalWorld::new(6, 3);
    let whole = fs::read(world.journal().path).unwrap();
    for cut in 0..whole.len() {
        world.change(|bytes| *bytes = whole[..cut].to_vec());
        let content = world.read();
        let end = *world.ends.iter().rev().find(|end| **end <= cut as u64).unwrap();
        assert_eq!(content.bytes, end, "cut at {cut}");
        let is_whole = end == cut as u64;
        assert!(matches!((&content.rest, is_whole), (Rest::Nothing, true) | (Rest::Torn(..), false)), "cut at {cut}");
        // With the machine up, all that was written has to be there; else what was synced.
        assert_eq!(world.wrong(boot().as_deref()).len(), 1, "cut at {cut}");
        assert_eq!(world.wrong(Some("another boot")).is_empty(), end >= world.ends[3], "cut at {cut}");
    }
}

#[test]
fn a_changed_bit_anywhere_is_told() {
    let world = JournalWorld::new(6, 3);
    let (mut parsed, mut noted) = (0, 0);
    for at in 0..world.end() as usize {
        for bit in [0, 3, 7] {
            world.change(|bytes| bytes[at] ^= 1 << bit);
            let is_whole = world.read().rest == Rest::Nothing;
            let is_told = !world.wrong(boot().as_deref()).is_empty();
            assert!(is_told, "bit {bit} of byte {at}");
            *(if is_whole { &mut noted } else { &mut parsed }) += 1;
            world.change(|bytes| bytes[at] ^= 1 << bit);
        }
    }
    // Sequence numbers that still grow are what the journal itself says nothing of.
    assert!(parsed > 0 && noted > 0, "{parsed} {noted}");
}

#[test]
fn without_a_note_damage_in_the_middle_is_told_from_a_torn_end() {
    let world = JournalWorld::new(8, 0);
    let (second, third) = (world.ends[2] as usize, world.ends[3] as usize);
    world.change(|bytes| bytes[second + 3..third].fill(0));
    assert_eq!(world.read().bytes, second as u64);
    assert!(matches!(world.read().rest, Rest::Damaged(_, next) if next == third as u64), "{:?}", world.read());

    // A batch in the place of another.
    let world = JournalWorld::new(8, 0);
    world.change(|bytes| {
        let (first, second) = (bytes[..world.ends[1] as usize].to_vec(), world.ends[1] as usize);
        bytes.splice(second..second, first);
    });
    assert!(matches!(world.read().rest, Rest::Damaged(Why::Order { .. }, _)), "{:?}", world.read());
}

#[test]
fn a_journal_that_is_gone_is_told() {
    let world = JournalWorld::new(3, 0);
    let seal = JournalSeal::read(world.folder.path()).unwrap().unwrap();
    assert_eq!(seal.check(boot().as_deref(), &[]).unwrap()[0].0, "0.jnl");
    // The storage drops the oldest when all of them is in tables.
    let next = Journal { id: 1, path: world.journal().path };
    let nothing = JournalContent { bytes: 0, batches: 0, last: None, rest: Rest::Nothing };
    assert_eq!(seal.check(boot().as_deref(), &[(next, nothing)]).unwrap(), []);
}

#[test]
fn one_copy_of_what_is_noted_is_enough() {
    let world = JournalWorld::new(5, 2);
    let path = world.folder.path().join("SEAL");
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(17) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(world.wrong(boot().as_deref()), [], "byte {at}");
    }
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"?", 5).unwrap();
    file.write_all_at(b"?", 4096 + 5).unwrap();
    assert!(JournalSeal::read(world.folder.path()).is_err());
}

#[test]
fn a_journal_that_follows_is_noted_too() {
    let folder = tempfile::tempdir().unwrap();
    for id in [3, 4] {
        fs::write(folder.path().join(format!("{id}.jnl")), []).unwrap();
    }
    let write = |id: u64, bytes: &[u8]| fs::write(folder.path().join(format!("{id}.jnl")), bytes).unwrap();
    write(4, b"abc");
    let mut sealer = JournalSealer::begin(folder.path(), folder.path()).unwrap();
    write(4, b"abcdef\0\0");
    write(5, b"gh\0");
    sealer.note(true);
    let seal = JournalSeal::read(folder.path()).unwrap().unwrap();
    let content = |bytes| JournalContent { bytes, batches: 1, last: None, rest: Rest::Nothing };
    let found = |name| Journal { id: name, path: folder.path().join(format!("{name}.jnl")) };
    let all = [(found(3), content(0)), (found(4), content(6)), (found(5), content(2))];
    assert_eq!(seal.check(None, &all).unwrap(), []);
    write(4, b"abcdeg\0\0");
    assert_eq!(seal.check(None, &all).unwrap().len(), 1);
    let [first, _, last] = all;
    assert_eq!(seal.check(None, &[first, last]).unwrap()[0].2, "it is missing");
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(0u8..5, 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal { id: 0, path: folder.path().join("0.jnl") };
        fs::write(&journal.path, bytes).unwrap();
        read(&journal, None).unwrap();
    }
}
