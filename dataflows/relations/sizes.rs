//! `sizes`: how many members each audience has.

use super::{Held, LookUp, Place, Relation, Scan, Slice, Snapshot, in_the_list};
use crate::definitions::AudienceId;

/// How many members each audience has. An audience without any has no row.
#[derive(Debug)]
pub enum Sizes {}

impl Relation for Sizes {
    const NAME: &'static str = "sizes";
    type Key = AudienceId;
    type Row = u64;

    fn add_share(size: &mut u64, other: u64) {
        *size += other;
    }
}

impl LookUp for Sizes {
    type By = AudienceId;

    fn place(_: &AudienceId) -> Place {
        Place::Everywhere
    }

    fn look_up(audience: &AudienceId, at: &mut Snapshot<'_>) -> Option<u64> {
        Some(at.size(*audience)).filter(|size| *size > 0)
    }

    in_the_list!(LookUp, Sizes);
}

impl Scan for Sizes {
    const HOLDS: Held = Held::Nothing;

    fn scan(at: &mut Snapshot<'_>, slice: &mut Slice<AudienceId, u64>) {
        let first = slice.first().map_or(0, |audience| audience.index());
        for audience in (first..at.audiences()).map(AudienceId::new) {
            if !slice.visit(audience, at, |at| Some(at.size(audience)).filter(|size| *size > 0)) {
                break;
            }
        }
    }

    fn bytes(_: &AudienceId, _: &u64) -> usize {
        size_of::<(AudienceId, u64)>()
    }

    in_the_list!(Scan, Sizes);
}
