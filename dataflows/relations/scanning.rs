//! Scans: a relation in the order of its keys, a slice at a time.
//!
//! A slice is a question of its own, so nobody waits long for a worker that answers one, and whoever scans a large relation takes it as fast as
//! they can use it. All slices of a scan are as of one tick, which is held for as long as the scan goes on ([`ListPage`]). Each
//! worker answers for its share, and says how far it came: up to the least of these all that there is has been said.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{PageOf, Relation, Scan, Snapshot};
use crate::limits::{SLICE_BYTES_MAX, SLICE_VISITS_MAX};
use crate::model::Tick;

/// A range of a relation, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScanOf<K> {
    /// Where it begins.
    pub from: ScanFrom<K>,
    /// The first key that does not belong to it; all the others do where there is none.
    pub end: Option<K>,
    /// How much is read at a time.
    pub most: SliceMax,
    /// Whether it goes on.
    pub list: ListPage,
}

/// Where a scan begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScanFrom<K> {
    /// At the first row.
    Beginning,
    /// At this key.
    At(K),
    /// After this key.
    After(K),
}

/// How much a slice has at most. It ends before more than this; but the first row belongs to it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceMax {
    /// Rows.
    pub rows: usize,
    /// Updates that are looked at for them.
    pub visits: usize,
    /// Bytes, as [`Scan::bytes`] has them.
    pub bytes: usize,
}

impl Default for SliceMax {
    /// As much as a worker does in a millisecond or two.
    fn default() -> Self {
        SliceMax { rows: usize::MAX, visits: SLICE_VISITS_MAX, bytes: SLICE_BYTES_MAX }
    }
}

impl SliceMax {
    /// Everything, where nobody else waits for the worker.
    pub const UNLIMITED: SliceMax = SliceMax { rows: usize::MAX, visits: usize::MAX, bytes: usize::MAX };
}

/// Which page of a list a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListPage {
    /// The only one: nothing is held.
    Only,
    /// The first one, of the tick at which it is answered. That is held for a while.
    First,
    /// Another one of the list of this tick, which is held for longer.
    Next(Tick),
}

/// Rows, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScanPage<K, V> {
    /// The rows.
    pub rows: Vec<(K, V)>,
    /// The key up to which, and with which, these are all that there are; nothing where the range is at its end.
    pub reached: Option<K>,
}

impl<K, V> Default for ScanPage<K, V> {
    fn default() -> Self {
        ScanPage { rows: Vec::new(), reached: None }
    }
}

impl<K: Ord + Clone, V> ScanPage<K, V> {
    /// What the pages of several workers come to: all rows up to where the slowest of them came, at most `rows_max`. Shares of one row are
    /// added up as the relation says.
    pub fn together<R: Relation<Key = K, Row = V>>(pages: Vec<Self>, rows_max: usize) -> Self {
        let reached = pages.iter().filter_map(|page| page.reached.clone()).min();
        let is_known = |key: &K| reached.as_ref().is_none_or(|reached| key <= reached);
        let mut rows: Vec<(K, V)> =
            pages.into_iter().flat_map(|page| page.rows).filter(|(key, _)| is_known(key)).collect();
        // Each is sorted already: merging runs is what this sort does best.
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut page = ScanPage { rows: Vec::with_capacity(rows.len()), reached };
        for (key, row) in rows {
            if let Some((last, share)) = page.rows.last_mut()
                && *last == key
            {
                R::add_share(share, row);
            } else if page.rows.len() < rows_max {
                page.rows.push((key, row));
            } else {
                page.reached = page.rows.last().map(|(last, _)| last.clone());
                break;
            }
        }
        page
    }
}

/// A slice, while it is read.
pub struct Slice<K, V> {
    of: ScanOf<K>,
    /// About how many bytes a row takes.
    bytes_of: fn(&K, &V) -> usize,
    page: ScanPage<K, V>,
    bytes: usize,
    /// How much had been looked at when it began.
    begin: usize,
    /// Whether it ended before the range did.
    is_cut: bool,
}

impl<K: Ord + Clone, V> Slice<K, V> {
    /// The key from which on keys are to be visited, or from the first one on. To visit earlier ones costs time and nothing else.
    pub fn first(&self) -> Option<&K> {
        match &self.of.from {
            ScanFrom::Beginning => None,
            ScanFrom::At(key) | ScanFrom::After(key) => Some(key),
        }
    }

    /// Takes the next key, whose row is as `row` says, if there is one. Says whether to go on.
    pub fn visit<'t>(
        &mut self,
        key: K,
        at: &mut Snapshot<'t>,
        row: impl FnOnce(&mut Snapshot<'t>) -> Option<V>,
    ) -> bool {
        if self.of.end.as_ref().is_some_and(|end| key >= *end) {
            return false;
        }
        let is_before = match &self.of.from {
            ScanFrom::Beginning => false,
            ScanFrom::At(first) => key < *first,
            ScanFrom::After(last) => key.cmp(last) != Ordering::Greater,
        };
        if is_before {
            return true;
        }
        let SliceMax { rows, visits, bytes } = self.of.most;
        let is_full = self.page.rows.len() >= rows || at.visits() - self.begin >= visits || self.bytes >= bytes;
        if is_full && self.page.reached.is_some() {
            self.is_cut = true;
            return false;
        }
        if let Some(row) = row(at) {
            self.bytes += (self.bytes_of)(&key, &row);
            self.page.rows.push((key.clone(), row));
        }
        self.page.reached = Some(key);
        true
    }
}

/// Reads a slice of what one worker holds.
pub(super) fn slice<R: Scan>(of: &ScanOf<R::Key>, at: &mut Snapshot<'_>) -> PageOf<R> {
    if of.most.rows == 0 {
        return ScanPage::default();
    }
    let (of, begin) = (of.clone(), at.visits());
    let mut slice = Slice { of, bytes_of: R::bytes, page: ScanPage::default(), bytes: 0, begin, is_cut: false };
    R::scan(at, &mut slice);
    let Slice { page, is_cut, .. } = slice;
    ScanPage { reached: page.reached.filter(|_| is_cut), ..page }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::AudienceId;
    use crate::relations::Sizes;

    fn page(rows: &[(usize, u64)], reached: Option<usize>) -> PageOf<Sizes> {
        let rows = rows.iter().map(|(audience, size)| (AudienceId::new(*audience), *size)).collect();
        ScanPage { rows, reached: reached.map(AudienceId::new) }
    }

    #[track_caller]
    fn check(pages: &[PageOf<Sizes>], rows_max: usize, expected: PageOf<Sizes>) {
        let mut pages = pages.to_vec();
        assert_eq!(ScanPage::together::<Sizes>(pages.clone(), rows_max), expected);
        pages.reverse();
        assert_eq!(ScanPage::together::<Sizes>(pages, rows_max), expected, "whoever answers first");
    }

    #[test]
    fn pages_of_all_workers_are_one_page() {
        let all = usize::MAX;
        check(&[page(&[], None), page(&[], None)], all, page(&[], None));
        // Shares of one row are added up.
        let (one, other) = (page(&[(0, 5), (2, 7)], None), page(&[(0, 1), (1, 2)], None));
        check(&[one.clone(), other.clone()], all, page(&[(0, 6), (1, 2), (2, 7)], None));
        check(&[one.clone(), other.clone()], 3, page(&[(0, 6), (1, 2), (2, 7)], None));
        check(&[one.clone(), other.clone()], 2, page(&[(0, 6), (1, 2)], Some(1)));
        // What lies behind where the slowest came may lack rows of it.
        check(&[page(&[(0, 5), (2, 7)], Some(3)), other], all, page(&[(0, 6), (1, 2), (2, 7)], Some(3)));
        check(&[one.clone(), page(&[(0, 1)], Some(1))], all, page(&[(0, 6)], Some(1)));
        // It has looked at rows that are not there any more, and found none.
        check(&[one, page(&[], Some(0))], all, page(&[(0, 5)], Some(0)));
    }
}
