//! What is read of relations, and what it is to be by the oracle.

use std::collections::BTreeSet;
use std::time::Duration;

use dataflows::definitions::{AudienceId, Definitions};
use dataflows::limits::Limit;
use dataflows::model::{Desired, Identifier, IdentifierId, Profile, ProfileId, Text, Tick};
use dataflows::relations::{
    AuditShare, Consents, DesiredRows, IdentityLimits, Members, MembershipAudit, Memberships, ProfileIdentifiers,
    ProfileRef, Profiles, Relation, Scan, Sizes, SliceMax,
};
use deltaic::engine::{Handle, ReadAnswer, ReadOptions, ScanOptions};

use crate::oracle::{OracleState, consents};

/// The purpose that people are asked for.
const PURPOSE: &str = "marketing";

/// What is read.
#[derive(Clone, Debug)]
pub enum RelationRead {
    /// Whose an identifier is.
    Profile(IdentifierId),
    /// The profile whose root it is, or was before an alias.
    ById(ProfileId),
    /// Who consents, of the persons of all these, at one tick.
    Consents(Vec<IdentifierId>),
    /// The size of an audience.
    Size(AudienceId),
    /// Whether a profile is in an audience.
    IsMember(AudienceId, ProfileId),
    /// What the consistency audit looks at.
    Audit(u8),
    /// All sizes.
    Sizes,
    /// The members of an audience, with their identifiers.
    Members(AudienceId),
    /// All of the other relations.
    Profiles,
    Identifiers,
    Memberships,
    Desired,
    IdentityLimits,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum RelationRows {
    Profile(Option<Box<Profile>>),
    Consents(Vec<bool>),
    Size(Option<u64>),
    IsMember(bool),
    Audit(AuditShare),
    Sizes(Vec<(AudienceId, u64)>),
    Members(Vec<(ProfileId, Vec<Text>)>),
    Profiles(Vec<Profile>),
    Identifiers(Vec<(ProfileId, Text)>),
    Memberships(Vec<(AudienceId, ProfileId)>),
    Desired(BTreeSet<Desired>),
    IdentityLimits(Vec<(Limit, IdentifierId)>),
}

/// So little at a time that nearly everything takes several slices.
pub const SMALL_SLICE: SliceMax = SliceMax { rows: 3, visits: 4, bytes: 400 };

/// All of a relation, in small slices.
pub fn small_slices<K>(read: ReadOptions) -> ScanOptions<K> {
    // What is tested goes by ticks, however long a loaded machine takes for them.
    ScanOptions { slice: SMALL_SLICE, time_max: Duration::from_secs(3_600), ..ScanOptions::all(read) }
}

/// Reads all of a relation; its keys come in their order, each once.
async fn scan<R: Scan>(handle: &Handle, of: ScanOptions<R::Key>) -> (Tick, Vec<(R::Key, R::Row)>) {
    let ReadAnswer { as_of, found } = handle.scan::<R>(of).await.unwrap().collect().await.unwrap();
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "{}: {found:?}", R::NAME);
    (as_of, found)
}

fn keys<K>(rows: Vec<(K, ())>) -> Vec<K> {
    rows.into_iter().map(|(key, ())| key).collect()
}

impl RelationRead {
    /// Reads it.
    pub async fn read(self, handle: &Handle, read: ReadOptions) -> (Tick, RelationRows) {
        let profile = async |of| {
            let ReadAnswer { as_of, found } = handle.look_up::<Profiles>(of, read).await.unwrap();
            (as_of, RelationRows::Profile(found.map(Box::new)))
        };
        match self {
            RelationRead::Profile(id) => profile(ProfileRef::Identifier(id)).await,
            RelationRead::ById(id) => profile(ProfileRef::Id(id)).await,
            RelationRead::Consents(of) => {
                let of = of.into_iter().map(|id| (id, PURPOSE.into())).collect();
                let ReadAnswer { as_of, found } = handle.look_up_all::<Consents>(of, read).await.unwrap();
                (as_of, RelationRows::Consents(found.iter().map(Option::is_some).collect()))
            }
            RelationRead::Size(audience) => {
                let ReadAnswer { as_of, found } = handle.look_up::<Sizes>(audience, read).await.unwrap();
                (as_of, RelationRows::Size(found))
            }
            RelationRead::IsMember(audience, profile) => {
                let found = handle.look_up::<Memberships>((audience, profile), read).await.unwrap();
                (found.as_of, RelationRows::IsMember(found.found.is_some()))
            }
            RelationRead::Audit(part) => {
                let ReadAnswer { as_of, found } = handle.look_up::<MembershipAudit>(part, read).await.unwrap();
                (as_of, RelationRows::Audit(found.expect("all workers have a share")))
            }
            RelationRead::Sizes => {
                let (as_of, rows) = scan::<Sizes>(handle, small_slices(read)).await;
                (as_of, RelationRows::Sizes(rows))
            }
            RelationRead::Members(audience) => {
                let all = |audience| (audience, ProfileId::default());
                let end = Some(all(AudienceId::new(audience.index() + 1)));
                let of = ScanOptions { slice: SMALL_SLICE, ..ScanOptions::range(all(audience), end, read) };
                let (as_of, rows) = scan::<Members>(handle, of).await;
                (as_of, RelationRows::Members(rows.into_iter().map(|((_, id), texts)| (id, texts)).collect()))
            }
            RelationRead::Profiles => {
                let (as_of, rows) = scan::<Profiles>(handle, small_slices(read)).await;
                (as_of, RelationRows::of_profiles(rows))
            }
            RelationRead::Identifiers => {
                let (as_of, rows) = scan::<ProfileIdentifiers>(handle, small_slices(read)).await;
                (as_of, RelationRows::Identifiers(keys(rows)))
            }
            RelationRead::Memberships => {
                let (as_of, rows) = scan::<Memberships>(handle, small_slices(read)).await;
                (as_of, RelationRows::Memberships(keys(rows)))
            }
            RelationRead::Desired => {
                let (as_of, rows) = scan::<DesiredRows>(handle, small_slices(read)).await;
                (as_of, RelationRows::of_desired(rows))
            }
            RelationRead::IdentityLimits => {
                let (as_of, rows) = scan::<IdentityLimits>(handle, small_slices(read)).await;
                (as_of, RelationRows::IdentityLimits(keys(rows)))
            }
        }
    }

    /// What it is to be.
    pub fn expected(&self, definitions: &Definitions, identifiers: &[Identifier], state: &OracleState) -> RelationRows {
        let text = |id: &IdentifierId| identifiers.iter().find(|of| of.id() == *id).expect("it is asked for").text();
        let person = |id: &IdentifierId| state.owners.get(text(id)).map(|owner| &state.profiles[owner]);
        let audiences = || (0..definitions.audiences.len()).map(AudienceId::new);
        let members =
            |audience| state.profiles.values().filter(move |profile: &&Profile| profile.audiences.contains(&audience));
        let size = |audience| members(audience).count() as u64;
        match self {
            RelationRead::Profile(id) => RelationRows::Profile(person(id).cloned().map(Box::new)),
            // An exclusive identifier's own profile, or the one that an alias leads to: as by the identifier.
            RelationRead::ById(id) => RelationRows::Profile(person(&id.root()).cloned().map(Box::new)),
            RelationRead::Consents(of) => {
                let consents = |id| person(id).is_some_and(|person| consents(&person.record, PURPOSE));
                RelationRows::Consents(of.iter().map(consents).collect())
            }
            RelationRead::Size(audience) => RelationRows::Size(Some(size(*audience)).filter(|size| *size > 0)),
            RelationRead::IsMember(audience, profile) => {
                RelationRows::IsMember(person(&profile.root()).is_some_and(|of| of.audiences.contains(audience)))
            }
            RelationRead::Audit(part) => {
                let listed = |audience| members(audience).filter(|member| member.id.part() == *part).count() as u64;
                RelationRows::Audit(AuditShare {
                    sizes: audiences().map(size).collect(),
                    listed: audiences().map(listed).collect(),
                })
            }
            RelationRead::Sizes => {
                let sizes = audiences().map(|audience| (audience, size(audience)));
                RelationRows::Sizes(sizes.filter(|(_, size)| *size > 0).collect())
            }
            RelationRead::Members(audience) => RelationRows::Members(
                members(*audience).map(|member| (member.id, member.identifiers.clone())).collect(),
            ),
            RelationRead::Profiles => RelationRows::Profiles(state.profiles.values().cloned().collect()),
            RelationRead::Identifiers => {
                let mut all: Vec<_> = state.owners.iter().map(|(text, owner)| (*owner, text.clone())).collect();
                all.sort_unstable();
                RelationRows::Identifiers(all)
            }
            RelationRead::Memberships => {
                let of = |audience| members(audience).map(move |member| (audience, member.id));
                RelationRows::Memberships(audiences().flat_map(of).collect())
            }
            RelationRead::Desired => RelationRows::Desired(state.desired.clone()),
            RelationRead::IdentityLimits => RelationRows::IdentityLimits(state.at_limits.iter().copied().collect()),
        }
    }
}

impl RelationRows {
    pub fn of_profiles(rows: Vec<(ProfileId, Profile)>) -> Self {
        assert!(rows.iter().all(|(id, profile)| profile.id == *id));
        RelationRows::Profiles(rows.into_iter().map(|(_, profile)| profile).collect())
    }

    pub fn of_desired(rows: Vec<(<DesiredRows as Relation>::Key, <DesiredRows as Relation>::Row)>) -> Self {
        let row = |((profile, destination, audience, identifier), traits)| Desired {
            destination,
            audience,
            identifier,
            traits,
            profile,
        };
        RelationRows::Desired(rows.into_iter().map(row).collect())
    }
}
