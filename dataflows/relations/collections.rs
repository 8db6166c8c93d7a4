//! What relations are read from: the collections that the stages maintain.

use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::Arranged;

use crate::aliases::AliasesTrace;
use crate::audiences::{MembersTrace, SizesTrace};
use crate::definitions::AudienceId;
use crate::identity::AtLimitsTrace;
use crate::limits::Limit;
use crate::model::{ProfileId, Tick};
use crate::operators::AtOnce;
use crate::profiles::{MovesTrace, PartsTrace};
use crate::traits::DerivedTrace;

/// The collections of one worker.
#[derive(Clone)]
pub struct Collections<'scope> {
    /// Roots by identifier.
    pub moves: Arranged<'scope, MovesTrace>,
    /// What profiles are by now that are another one.
    pub aliases: Arranged<'scope, AliasesTrace>,
    /// Parts by profile.
    pub parts: Arranged<'scope, PartsTrace>,
    /// What parts there are more, or less, for aliases.
    pub corrections: Arranged<'scope, PartsTrace>,
    /// What is derived, by profile.
    pub derived: Arranged<'scope, DerivedTrace>,
    /// Who is in which audience.
    pub memberships: VecCollection<'scope, Tick, (AudienceId, ProfileId), i64>,
    /// The same, arranged by audience.
    pub members: Arranged<'scope, MembersTrace>,
    /// Sizes of audiences.
    pub sizes: Arranged<'scope, SizesTrace>,
    /// Identifiers at a limit of identity.
    pub at_limits: Arranged<'scope, AtLimitsTrace>,
    /// Limits, as often as an identifier has reached them.
    pub limits: VecCollection<'scope, Tick, Limit, i64>,
    /// Whether it is of interest who enters audiences, or leaves them.
    pub has_crossings: bool,
    /// How much is worked off at a time.
    pub at_once: AtOnce,
}
