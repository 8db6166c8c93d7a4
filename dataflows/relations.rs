//! Relations: what the engine shows of what it maintains. Each is a named, typed collection of rows, every row found by its key.
//!
//! | | what one asks | what one gets |
//! |---|---|---|
//! | [`LookUp`] | for keys | the row of each, if there is one |
//! | [`Scan`] | for a range of keys | rows in the order of their keys, a slice at a time |
//! | [`Subscribe`] | for what changes | the changes of each tick, when it is complete |
//!
//! All of it is as of a tick. Reads over HTTP, events on their way to destinations, deliveries and replays are users of relations.
//!
//! # To add one
//!
//! Write a file here, and name it in the list at the end of this one. The file says where its rows are ([`Place`]) and how they are read
//! from a [`Snapshot`] of what one worker holds, or which collection has its changes. All questions take one way through the
//! dataflow ([`crate::reads`]), whichever relation they are for; so one more relation is no operator more, but for its changes, and costs nothing
//! until somebody asks.

use std::fmt::Debug;

use differential_dataflow::{ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::model::{IdentifierId, ProfileId, Tick};

mod collections;
mod consents;
mod desired;
mod firings;
mod identifiers;
mod identity_changes;
mod identity_limits;
mod limits_reached;
mod looked_at;
mod members;
mod membership_audit;
mod memberships;
mod profiles;
mod query;
mod scanning;
mod sizes;
pub(crate) mod snapshot;
mod told;

pub use collections::Collections;
pub use consents::Consents;
pub use desired::DesiredRows;
pub use firings::{FiringChange, Firings};
pub use identifiers::ProfileIdentifiers;
pub use identity_changes::IdentityChanges;
pub use identity_limits::IdentityLimits;
pub use limits_reached::LimitsReached;
pub use members::Members;
pub use membership_audit::{AuditShare, MembershipAudit};
pub use memberships::Memberships;
pub use profiles::{ProfileRef, Profiles};
pub use query::{Answer, Found, Query, Question};
pub use scanning::{ListPage, ScanFrom, ScanOf, ScanPage, Slice, SliceMax};
pub use sizes::Sizes;
pub use snapshot::Snapshot;
pub use told::{RelationReceiver, Told};

/// A named, typed collection of rows.
pub trait Relation: Sized + 'static {
    /// Its name, as users know it.
    const NAME: &'static str;
    /// What tells a row from all others.
    type Key: ExchangeData;
    /// What else there is of a row.
    type Row: ExchangeData;

    /// What rows of one key come to, where each worker has a share of it: `row`, to which `other` is added.
    fn add_share(_row: &mut Self::Row, _other: Self::Row) {}
}

/// A relation whose rows are looked up.
pub trait LookUp: Relation {
    /// By what: the key, or whatever leads to it.
    type By: ExchangeData;

    /// Where the row is.
    fn place(by: &Self::By) -> Place;

    /// The row, or this worker's share of it.
    fn look_up(by: &Self::By, at: &mut Snapshot<'_>) -> Option<Self::Row>;

    /// Keys of this relation among those of all. Written by `in_the_list!`.
    fn into_any(keys: Vec<Self::By>) -> AnyLookUp;

    /// The row, if it is one of this relation. Written by `in_the_list!`.
    fn row_of(any: AnyRow) -> Option<Option<Self::Row>>;
}

/// A relation that is read in the order of its keys.
pub trait Scan: Relation {
    /// What the past is kept of while a scan of it goes on.
    const HOLDS: Held;

    /// Has `slice` [visit](Slice::visit) what this worker holds, in the order of keys, from [`Slice::first`] on, as long as it says so.
    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<Self::Key, Self::Row>);

    /// About how many bytes of memory a row takes.
    fn bytes(key: &Self::Key, row: &Self::Row) -> usize;

    /// A question of this relation among those of all. Written by `in_the_list!`.
    fn into_any(of: ScanOf<Self::Key>) -> AnyScan;

    /// The page, if it is one of this relation. Written by `in_the_list!`.
    fn page_of(any: AnyPage) -> Option<PageOf<Self>>;
}

/// A relation whose changes are told.
pub trait Subscribe: Relation {
    /// A row, as changes say it.
    type Change: ExchangeData;

    /// The collection that has them.
    fn changes<'scope>(of: &Collections<'scope>) -> VecCollection<'scope, Tick, Self::Change, i64>;

    /// The worker at which a change arrives: that of those who hear of it.
    fn host(_change: &Self::Change, _layout: &Layout) -> u64 {
        0
    }

    /// Changes of this relation among those of all. Written by `in_the_list!`.
    fn into_any(changes: Vec<(Self::Change, i64)>) -> AnyChanges;

    /// The changes, if they are of this relation. Written by `in_the_list!`.
    fn changes_of(any: AnyChanges) -> Option<Vec<(Self::Change, i64)>>;

    /// The same, looked at. Written by `in_the_list!`.
    fn changes_in(any: &AnyChanges) -> Option<&[(Self::Change, i64)]>;
}

/// A page of a relation.
pub type PageOf<R> = ScanPage<<R as Relation>::Key, <R as Relation>::Row>;

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the profile that this identifier belongs to, which is [`Snapshot::profile`] there.
    OfIdentifier(IdentifierId),
    /// With this profile, or the one that it is by now, likewise.
    OfProfile(ProfileId),
    /// Everywhere: each worker has a share.
    Everywhere,
}

/// What is held of the past for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Nothing: it is so small that it is read in one go.
    Nothing,
    /// Who is a member of what, and the parts of profiles.
    Members,
    /// That, and all that is derived.
    Everything,
}

/// The list, as types: one for what is asked of any relation, one for what is found. Timely sends them from worker to worker, so they are plain
/// data.
macro_rules! relations {
    (look up: $($look_up:ident),*; scan: $($scan:ident),*; subscribe: $($subscribe:ident),*;) => {
        /// Keys that are looked up in one of the relations.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AnyLookUp {
            $(#[doc = concat!("In [`", stringify!($look_up), "`].")] $look_up(Vec<<$look_up as LookUp>::By>),)*
        }

        /// What was looked up for one key.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AnyRow {
            $(#[doc = concat!("In [`", stringify!($look_up), "`].")] $look_up(Option<<$look_up as Relation>::Row>),)*
        }

        /// A range of one of the relations.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AnyScan {
            $(#[doc = concat!("Of [`", stringify!($scan), "`].")] $scan(ScanOf<<$scan as Relation>::Key>),)*
        }

        /// What one worker has of a slice of that range.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AnyPage {
            $(#[doc = concat!("Of [`", stringify!($scan), "`].")] $scan(PageOf<$scan>),)*
        }

        /// What changed in one of the relations, sorted, each row once.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyChanges {
            $(#[doc = concat!("In [`", stringify!($subscribe), "`].")] $subscribe(Vec<(<$subscribe as Subscribe>::Change, i64)>),)*
        }

        impl AnyLookUp {
            /// How many answers there are from so many workers.
            pub fn answers(&self, workers: usize) -> usize {
                let answers = |place| if place == Place::Everywhere { workers } else { 1 };
                match self {
                    $(AnyLookUp::$look_up(keys) => {
                        keys.iter().map(|by| answers(<$look_up as LookUp>::place(by))).sum()
                    })*
                }
            }

            /// How many keys there are.
            pub fn keys(&self) -> usize {
                match self {
                    $(AnyLookUp::$look_up(keys) => keys.len(),)*
                }
            }

            /// Where the row of the first key is.
            pub(crate) fn place(&self) -> Option<Place> {
                match self {
                    $(AnyLookUp::$look_up(keys) => keys.first().map(<$look_up as LookUp>::place),)*
                }
            }

            /// The keys one by one.
            pub(crate) fn one_by_one(self) -> Vec<AnyLookUp> {
                match self {
                    $(AnyLookUp::$look_up(keys) => keys.into_iter().map(|by| AnyLookUp::$look_up(vec![by])).collect(),)*
                }
            }

            /// What there is of the first key.
            pub(crate) fn answer(&self, at: &mut Snapshot<'_>) -> AnyRow {
                match self {
                    $(AnyLookUp::$look_up(keys) => {
                        AnyRow::$look_up(keys.first().and_then(|by| <$look_up as LookUp>::look_up(by, at)))
                    })*
                }
            }
        }

        impl AnyScan {
            /// Which page of which list it is, and what is held for that.
            pub(crate) fn list(&self) -> (ListPage, Held) {
                match self {
                    $(AnyScan::$scan(of) => (of.list, <$scan as Scan>::HOLDS),)*
                }
            }

            /// What this worker has.
            pub(crate) fn answer(&self, at: &mut Snapshot<'_>) -> AnyPage {
                match self {
                    $(AnyScan::$scan(of) => AnyPage::$scan(scanning::slice::<$scan>(of, at)),)*
                }
            }
        }

        impl AnyChanges {
            /// The relation's name.
            pub fn relation(&self) -> &'static str {
                match self {
                    $(AnyChanges::$subscribe(_) => <$subscribe as Relation>::NAME,)*
                }
            }

            /// Takes in changes of the same relation and tick, of another worker; gives back those of another relation.
            pub fn append(&mut self, other: AnyChanges) -> Option<AnyChanges> {
                match (self, other) {
                    $((AnyChanges::$subscribe(changes), AnyChanges::$subscribe(more)) => {
                        changes.extend(more);
                        None
                    })*
                    (_, other) => Some(other),
                }
            }
        }

        /// Has all changes that somebody is told of handed over.
        pub(crate) fn deliver_changes<'scope>(
            told: &Told,
            collections: &Collections<'scope>,
            layout: &Layout,
        ) -> Vec<crate::operators::HandedOver<'scope>> {
            let mut handed_over = Vec::new();
            $(handed_over.extend(told::told::<$subscribe>(told, collections, layout));)*
            handed_over
        }
    };
}

/// What the list writes of a relation, within its file.
macro_rules! in_the_list {
    (LookUp, $relation:ident) => {
        fn into_any(keys: Vec<Self::By>) -> $crate::relations::AnyLookUp {
            $crate::relations::AnyLookUp::$relation(keys)
        }

        fn row_of(any: $crate::relations::AnyRow) -> Option<Option<Self::Row>> {
            match any {
                $crate::relations::AnyRow::$relation(row) => Some(row),
                _ => None,
            }
        }
    };
    (Scan, $relation:ident) => {
        fn into_any(of: $crate::relations::ScanOf<Self::Key>) -> $crate::relations::AnyScan {
            $crate::relations::AnyScan::$relation(of)
        }

        fn page_of(any: $crate::relations::AnyPage) -> Option<$crate::relations::PageOf<Self>> {
            match any {
                $crate::relations::AnyPage::$relation(page) => Some(page),
                _ => None,
            }
        }
    };
    (Subscribe, $relation:ident) => {
        fn into_any(changes: Vec<(Self::Change, i64)>) -> $crate::relations::AnyChanges {
            $crate::relations::AnyChanges::$relation(changes)
        }

        fn changes_of(any: $crate::relations::AnyChanges) -> Option<Vec<(Self::Change, i64)>> {
            match any {
                $crate::relations::AnyChanges::$relation(changes) => Some(changes),
                _ => None,
            }
        }

        fn changes_in(any: &$crate::relations::AnyChanges) -> Option<&[(Self::Change, i64)]> {
            match any {
                $crate::relations::AnyChanges::$relation(changes) => Some(changes),
                _ => None,
            }
        }
    };
}
use in_the_list;

relations! {
    look up: Profiles, Consents, Memberships, Sizes, MembershipAudit;
    scan: Profiles, ProfileIdentifiers, Memberships, Members, Sizes, DesiredRows, IdentityLimits;
    subscribe: Memberships, DesiredRows, IdentityChanges, LimitsReached, Firings;
}
