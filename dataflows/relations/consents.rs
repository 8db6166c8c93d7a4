//! `consents`: which persons consent to which purpose.

use compact_str::CompactString;

use super::{LookUp, Place, Relation, Snapshot, in_the_list};
use crate::model::{IdentifierId, ProfileId, Topic, Value};

/// Who consents to what. A person that is not known does not.
#[derive(Debug)]
pub enum Consents {}

impl Relation for Consents {
    const NAME: &'static str = "consents";
    type Key = (ProfileId, CompactString);
    type Row = ();
}

impl LookUp for Consents {
    /// An identifier of the person, and the purpose.
    type By = (IdentifierId, CompactString);

    fn place((id, _): &Self::By) -> Place {
        Place::OfIdentifier(*id)
    }

    fn look_up((_, purpose): &Self::By, at: &mut Snapshot<'_>) -> Option<()> {
        let record = at.record(at.profile());
        (record.get(&Topic::Consent(purpose.clone())) == Some(Value::Bool(true))).then_some(())
    }

    in_the_list!(LookUp, Consents);
}
