//! Scans that go on while the history does, a slice after each arrival: all rows are of the tick at which they began.

use dataflows::limits::{LIST_BEGUN_MS, LIST_KEPT_MS};
use dataflows::model::Tick;
use dataflows::relations::{DesiredRows, Memberships, Profiles, Relation, Scan};
use deltaic::engine::{Handle, ReadOptions, ScanError, Scanning};

use super::relations::{RelationRead, RelationRows, small_slices};
use crate::program::DEADLINE;

/// A scan that has been begun, and what it gave.
pub struct ReadScan<R: Scan> {
    scanning: Scanning<R>,
    rows: Vec<(R::Key, R::Row)>,
    slices: usize,
    /// The last tick at which it must go on.
    until: Tick,
}

/// How scans of a case ended.
#[derive(Debug, Default)]
pub struct ScanEnd {
    /// After several slices.
    pub whole: usize,
    /// Since time had passed.
    pub gone: usize,
}

impl<R: Scan> ReadScan<R> {
    pub async fn begin(handle: &Handle, after: Tick) -> Self {
        let of = small_slices(ReadOptions::within(DEADLINE).after(after));
        let scanning = handle.scan::<R>(of).await.unwrap();
        let until = scanning.as_of().after_ms(LIST_BEGUN_MS);
        ReadScan { scanning, rows: Vec::new(), slices: 0, until }
    }

    /// Takes the next slice, by `now`; gives all rows at the end.
    pub async fn goes_on(
        mut self,
        now: Tick,
        ended: &mut ScanEnd,
    ) -> Result<Self, Option<(Tick, Vec<(R::Key, R::Row)>)>> {
        let as_of = self.scanning.as_of();
        match self.scanning.next().await {
            Ok(Some(slice)) => {
                self.rows.extend(slice);
                self.slices += 1;
                if self.slices > 1 {
                    // The first one was read when it began.
                    self.until = self.until.max(now.after_ms(LIST_KEPT_MS));
                }
                Ok(self)
            }
            Ok(None) => {
                ended.whole += usize::from(self.slices > 1);
                Err(Some((as_of, self.rows)))
            }
            Err(error) => {
                assert_eq!(error, ScanError::Gone);
                assert!(now > self.until, "{} as of {as_of} is gone at {now}", R::NAME);
                ended.gone += 1;
                Err(None)
            }
        }
    }
}

/// Scans of several relations: as many as there may be, less one for other readers.
pub struct ReadScans {
    profiles: Vec<ReadScan<Profiles>>,
    memberships: Vec<ReadScan<Memberships>>,
    desired: Vec<ReadScan<DesiredRows>>,
}

impl ReadScans {
    pub fn none() -> Self {
        ReadScans { profiles: Vec::new(), memberships: Vec::new(), desired: Vec::new() }
    }

    /// Goes on with those that there are, and begins those that there are not; gives what has come to its end.
    pub async fn go_on(
        &mut self,
        handle: &Handle,
        now: Tick,
        ended: &mut ScanEnd,
    ) -> Vec<(RelationRead, Tick, RelationRows)> {
        let mut whole = Vec::new();
        if let Some((as_of, rows)) = step(&mut self.profiles, handle, now, ended).await {
            whole.push((RelationRead::Profiles, as_of, RelationRows::of_profiles(rows)));
        }
        if let Some((as_of, rows)) = step(&mut self.memberships, handle, now, ended).await {
            let keys = rows.into_iter().map(|(key, ())| key).collect();
            whole.push((RelationRead::Memberships, as_of, RelationRows::Memberships(keys)));
        }
        if let Some((as_of, rows)) = step(&mut self.desired, handle, now, ended).await {
            whole.push((RelationRead::Desired, as_of, RelationRows::of_desired(rows)));
        }
        whole
    }
}

/// Rows of a relation, and the tick that they are of.
type ScannedRows<R> = (Tick, Vec<(<R as Relation>::Key, <R as Relation>::Row)>);

async fn step<R: Scan>(
    scans: &mut Vec<ReadScan<R>>,
    handle: &Handle,
    now: Tick,
    ended: &mut ScanEnd,
) -> Option<ScannedRows<R>> {
    let scan = match scans.pop() {
        Some(scan) => scan,
        None => ReadScan::begin(handle, now).await,
    };
    match scan.goes_on(now, ended).await {
        Ok(scan) => {
            scans.push(scan);
            None
        }
        Err(whole) => whole,
    }
}
