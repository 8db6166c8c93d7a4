//! `membership_audit`: what the consistency audit compares, all of one tick.

use serde::{Deserialize, Serialize};

use super::{LookUp, Place, Relation, Snapshot, in_the_list};
use crate::definitions::AudienceId;

/// The sizes of audiences, and their members counted one by one in one of 256 parts of all profiles.
#[derive(Debug)]
pub enum MembershipAudit {}

/// Figures by audience.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuditShare {
    /// Sizes.
    pub sizes: Vec<u64>,
    /// Members in the part.
    pub listed: Vec<u64>,
}

impl Relation for MembershipAudit {
    const NAME: &'static str = "membership_audit";
    /// The part: the first byte of profiles' ids.
    type Key = u8;
    type Row = AuditShare;

    fn add_share(row: &mut AuditShare, other: AuditShare) {
        let add = |to: &mut Vec<u64>, more: Vec<u64>| to.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        add(&mut row.sizes, other.sizes);
        add(&mut row.listed, other.listed);
    }
}

impl LookUp for MembershipAudit {
    type By = u8;

    fn place(_: &u8) -> Place {
        Place::Everywhere
    }

    fn look_up(part: &u8, at: &mut Snapshot<'_>) -> Option<AuditShare> {
        let audiences = || (0..at.audiences()).map(AudienceId::new);
        let all: Vec<AudienceId> = audiences().collect();
        let sizes = all.iter().map(|audience| at.size(*audience)).collect();
        let listed = all.iter().map(|audience| at.members_in(*part, *audience)).collect();
        Some(AuditShare { sizes, listed })
    }

    in_the_list!(LookUp, MembershipAudit);
}
