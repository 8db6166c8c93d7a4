//! Reads of relations: look-ups and scans, typed, each as of a tick.

use std::time::{Duration, Instant};

use dataflows::model::Tick;
use dataflows::relations::{
    Found, Held, ListPage, LookUp, PageOf, Question, Relation, Scan, ScanFrom, ScanOf, ScanPage, SliceMax,
};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;

use super::handle::{AskError, Handle, QueryAnswer};
use crate::limits::{SCAN_BYTES_MAX, SCAN_TIME_MAX, SCANS_MAX};

/// Of which tick an answer is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsOf {
    /// Of the one at which it is asked, when that is complete.
    #[default]
    Present,
    /// Of the latest one that is complete already.
    Complete,
    /// Of the present one; where that takes long to be complete, of the latest one that is. A stop of the process waits for no such
    /// answer.
    Soonest,
}

/// How a relation is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Of which tick.
    pub as_of: AsOf,
    /// The answer is of this tick or a later one.
    pub after: Option<Tick>,
    /// How long it may take until that is so.
    pub wait: Duration,
}

impl ReadOptions {
    /// Of the present tick, within that time.
    pub fn within(wait: Duration) -> Self {
        ReadOptions { as_of: AsOf::Present, after: None, wait }
    }

    /// The same of this tick or a later one.
    pub fn after(self, tick: Tick) -> Self {
        ReadOptions { after: Some(tick), ..self }
    }

    /// The same, of another tick.
    pub fn as_of(self, as_of: AsOf) -> Self {
        ReadOptions { as_of, ..self }
    }
}

/// What was found, complete as of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer<T> {
    /// The tick.
    pub as_of: Tick,
    /// What was found.
    pub found: T,
}

/// What is scanned of a relation, and how much that may take.
#[derive(Clone, Debug)]
pub struct ScanOptions<K> {
    /// Where it begins.
    pub from: ScanFrom<K>,
    /// The first key that does not belong to it.
    pub end: Option<K>,
    /// Rows at most.
    pub rows_max: usize,
    /// How much is read at a time.
    pub slice: SliceMax,
    /// The tick of an earlier scan, which is gone on with; without one it begins.
    pub list: Option<Tick>,
    /// How it is read.
    pub read: ReadOptions,
    /// How long all of it may take.
    pub time_max: Duration,
    /// About how many bytes it may have, where all rows are [collected](Scanning::collect).
    pub bytes_max: usize,
}

impl<K> ScanOptions<K> {
    /// All of a relation.
    pub fn all(read: ReadOptions) -> Self {
        let (time_max, bytes_max) = (SCAN_TIME_MAX, SCAN_BYTES_MAX);
        ScanOptions {
            from: ScanFrom::Beginning,
            end: None,
            rows_max: usize::MAX,
            slice: SliceMax::default(),
            list: None,
            read,
            time_max,
            bytes_max,
        }
    }

    /// The rows from one key up to the one before another.
    pub fn range(from: K, end: Option<K>, read: ReadOptions) -> Self {
        ScanOptions { from: ScanFrom::At(from), end, ..ScanOptions::all(read) }
    }
}

/// Why a scan cannot begin or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScanError {
    /// There was no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There are as many scans as there may be.
    #[error("{SCANS_MAX} scans are under way, which is as many as there may be at a time")]
    Busy,
    /// Its tick is not kept any more.
    #[error("the tick that the scan is of is not kept any more")]
    Gone,
    /// It took as long as it may.
    #[error("the scan took longer than {} s", .0.as_secs_f64())]
    OutOfTime(Duration),
    /// It has more rows than fit.
    #[error("the scan has more than {0} bytes of rows")]
    TooLarge(usize),
}

impl Handle {
    /// Looks up a row.
    pub async fn look_up<R: LookUp>(
        &self,
        by: R::By,
        read: ReadOptions,
    ) -> Result<ReadAnswer<Option<R::Row>>, AskError> {
        let ReadAnswer { as_of, mut found } = self.look_up_all::<R>(vec![by], read).await?;
        Ok(ReadAnswer { as_of, found: found.pop().flatten() })
    }

    /// Looks up rows, all as of one tick: as many as there are keys, in the same order.
    pub async fn look_up_all<R: LookUp>(
        &self,
        by: Vec<R::By>,
        read: ReadOptions,
    ) -> Result<ReadAnswer<Vec<Option<R::Row>>>, AskError> {
        let keys = by.len();
        if keys == 0 {
            return Ok(ReadAnswer { as_of: self.last_tick(), found: Vec::new() });
        }
        let QueryAnswer { as_of, shares } = self.ask(Question::LookUp(R::into_any(by)), read).await?;
        Ok(ReadAnswer { as_of, found: rows::<R>(shares, keys) })
    }

    /// Begins to scan a relation, or goes on. All that it gives is as of one tick; it comes in slices, for none of which a worker is
    /// busy for longer than a millisecond or two. While as many others are under way as may be, it waits for its turn.
    pub async fn scan<R: Scan>(&self, of: ScanOptions<R::Key>) -> Result<Scanning<R>, ScanError> {
        let until = Instant::now() + of.time_max;
        let turn = match R::HOLDS {
            Held::Nothing => None,
            Held::Members | Held::Everything => Some(self.turn_to_scan(of.read.wait.min(of.time_max)).await?),
        };
        let mut scanning =
            Scanning { handle: self.clone(), of, turn, until, is_first: true, next: None, given: 0, is_over: false };
        scanning.next = scanning.slice().await?;
        Ok(scanning)
    }
}

/// The rows of each key.
pub(super) fn rows<R: LookUp>(shares: Vec<(usize, Found)>, keys: usize) -> Vec<Option<R::Row>> {
    let mut rows: Vec<Option<R::Row>> = (0..keys).map(|_| None).collect();
    for (key, found) in shares {
        let Found::Row(any) = found else { continue };
        let (Some(place), Some(share)) = (rows.get_mut(key), R::row_of(any).flatten()) else { continue };
        match place {
            Some(row) => R::add_share(row, share),
            None => *place = Some(share),
        }
    }
    rows
}

/// Rows of a scan.
type Rows<R> = Vec<(<R as Relation>::Key, <R as Relation>::Row)>;

/// A scan that goes on.
pub struct Scanning<R: Scan> {
    handle: Handle,
    of: ScanOptions<R::Key>,
    /// Among the scans that may be under way.
    turn: Option<OwnedSemaphorePermit>,
    until: Instant,
    /// Whether nothing was read yet.
    is_first: bool,
    /// The next rows, read ahead.
    next: Option<Rows<R>>,
    given: usize,
    is_over: bool,
}

impl<R: Scan> Scanning<R> {
    /// The tick that all rows are as of.
    pub fn as_of(&self) -> Tick {
        self.of.list.unwrap_or_default()
    }

    /// The next rows, in the order of their keys; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Rows<R>>, ScanError> {
        match self.next.take() {
            Some(rows) => Ok(Some(rows)),
            None => self.slice().await,
        }
    }

    /// All rows that are left.
    pub async fn collect(mut self) -> Result<ReadAnswer<Rows<R>>, ScanError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(slice) = self.next().await? {
            bytes += slice.iter().map(|(key, row)| R::bytes(key, row)).sum::<usize>();
            if bytes > self.of.bytes_max {
                return Err(ScanError::TooLarge(self.of.bytes_max));
            }
            rows.extend(slice);
        }
        Ok(ReadAnswer { as_of: self.as_of(), found: rows })
    }

    /// Has its tick held on, for a scan that goes on with it.
    pub async fn hold_on(&self) -> Result<(), ScanError> {
        let most = SliceMax { rows: 0, ..self.of.slice };
        self.ask(ListPage::Next(self.as_of()), most).await.map(|_| ())
    }

    /// Asks for slices until there is a row, or the end.
    async fn slice(&mut self) -> Result<Option<Rows<R>>, ScanError> {
        while !self.is_over {
            let left = self.of.rows_max - self.given;
            let (list, most) = match (R::HOLDS, self.of.list) {
                (Held::Nothing, _) => (ListPage::Only, SliceMax::UNLIMITED),
                (_, None) => (ListPage::First, self.of.slice),
                (_, Some(as_of)) => (ListPage::Next(as_of), self.of.slice),
            };
            let (as_of, page) = self.ask(list, SliceMax { rows: left.min(most.rows), ..most }).await?;
            self.of.list.get_or_insert(as_of);
            self.is_first = false;
            self.given += page.rows.len();
            match page.reached {
                Some(reached) if self.given < self.of.rows_max => self.of.from = ScanFrom::After(reached),
                _ => self.end(),
            }
            if !page.rows.is_empty() {
                return Ok(Some(page.rows));
            }
        }
        Ok(None)
    }

    fn end(&mut self) {
        self.is_over = true;
        self.turn = None;
    }

    async fn ask(&self, list: ListPage, most: SliceMax) -> Result<(Tick, PageOf<R>), ScanError> {
        let out_of_time = ScanError::OutOfTime(self.of.time_max);
        let left = self.until.saturating_duration_since(Instant::now());
        let read = if self.is_first {
            ReadOptions { wait: self.of.read.wait.min(left), ..self.of.read }
        } else {
            // The tick that it is of is complete: there is nothing to wait for but the workers.
            ReadOptions { as_of: AsOf::Complete, after: None, wait: left }
        };
        if left.is_zero() {
            return Err(out_of_time);
        }
        let ScanOptions { from, end, .. } = &self.of;
        let of = ScanOf { from: from.clone(), end: end.clone(), most, list };
        let asked = self.handle.ask(Question::Scan(R::into_any(of)), read).await;
        let QueryAnswer { as_of, shares } = match asked {
            Err(AskError::NotYet { .. }) if Instant::now() >= self.until => return Err(out_of_time),
            asked => asked?,
        };
        let page = |(_, found)| match found {
            Found::Page(any) => R::page_of(any).ok_or(ScanError::Gone),
            // Some workers may have had to let go of a list that others still have.
            Found::Gone | Found::Row(_) => Err(ScanError::Gone),
        };
        let pages = shares.into_iter().map(page).collect::<Result<Vec<_>, _>>()?;
        Ok((as_of, ScanPage::together::<R>(pages, most.rows)))
    }
}
