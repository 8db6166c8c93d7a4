//! Writes a run from its first id to its last.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use dataflows::model::Tick;

use super::group::{self, RunGroup};
use super::{HEAD_BYTES, RunHead, at_group};
use crate::log::preallocate;

/// Bytes that are written before they are synced: were it all of them at once, a sync of the log would wait for them.
const UNSYNCED_BYTES_MAX: usize = 256 * 1024;

/// A run that is being written: no run before it is finished.
pub struct RunWriter {
    file: File,
    groups: u64,
    /// The group that ids are added to.
    number: u64,
    group: RunGroup,
    /// Where its records begin in `records`.
    begin: usize,
    /// Bytes of the index and of the records that are not written yet, and where in the file they belong.
    index: (Vec<u8>, u64),
    records: (Vec<u8>, u64),
    count: u64,
    ticks: Option<(Tick, Tick)>,
    latest: Option<u128>,
    /// Where the room ends that is set aside.
    room: u64,
}

impl RunWriter {
    /// Begins a file for so many ids, or fewer.
    pub fn create(path: &Path, ids_max: u64) -> io::Result<Self> {
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        let groups = ids_max.div_ceil(group::IDS).max(1);
        let records_at = at_group(groups);
        let room = preallocate::set_aside(&file, 0);
        Ok(RunWriter {
            file,
            groups,
            number: 0,
            group: RunGroup::new(0),
            begin: 0,
            index: (Vec::new(), at_group(0)),
            records: (Vec::new(), records_at),
            count: 0,
            ticks: None,
            latest: None,
            room,
        })
    }

    /// Adds an id, which is greater than those before, and the tick at which it counted.
    pub fn push(&mut self, id: u128, counted: Tick) -> io::Result<()> {
        if self.latest.is_some_and(|latest| latest >= id) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "message ids are not in their order"));
        }
        self.latest = Some(id);
        self.close_groups(group::of(id, self.groups))?;
        self.group.add(id);
        self.records.0.extend_from_slice(&group::record(id, counted));
        self.count += 1;
        let (oldest, newest) = self.ticks.unwrap_or((counted, counted));
        self.ticks = Some((oldest.min(counted), newest.max(counted)));
        Ok(())
    }

    /// Ends the file; all of it is on the disk when this returns.
    pub fn finish(mut self) -> io::Result<RunHead> {
        self.close_groups(self.groups)?;
        self.flush()?;
        let (oldest, newest) = self.ticks.unwrap_or_default();
        let head = RunHead { groups: self.groups, records: self.count, oldest, newest };
        self.file.write_all_at(&head.to_bytes(), 0)?;
        // Without the room that was not needed.
        self.file.set_len(self.records.1)?;
        self.file.sync_all()?;
        Ok(head)
    }

    /// Closes the groups before group `number`.
    fn close_groups(&mut self, number: u64) -> io::Result<()> {
        while self.number < number {
            let next = RunGroup::new(self.count);
            let group = std::mem::replace(&mut self.group, next);
            let too_many =
                || io::Error::new(ErrorKind::InvalidInput, "too many message ids begin alike: they are no hashes");
            let bytes = group.to_bytes(self.number, &self.records.0[self.begin..]).ok_or_else(too_many)?;
            self.index.0.extend_from_slice(&bytes);
            self.number += 1;
            self.begin = self.records.0.len();
            if self.index.0.len() + self.records.0.len() >= UNSYNCED_BYTES_MAX {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what waits, which ends with a group.
    fn flush(&mut self) -> io::Result<()> {
        let end = self.records.1 + self.records.0.len() as u64;
        while self.room < end {
            self.room = preallocate::set_aside(&self.file, self.room);
        }
        for (bytes, at) in [&mut self.index, &mut self.records] {
            self.file.write_all_at(bytes, *at)?;
            *at += bytes.len() as u64;
            bytes.clear();
        }
        self.begin = 0;
        self.file.sync_data()
    }
}

const _: () = assert!(HEAD_BYTES == group::BYTES, "groups lie at multiples of their size");
