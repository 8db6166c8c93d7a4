//! The records that flow, and their ids.

mod decisions;
mod event;
mod event_name;
mod folded;
mod identifier;
mod identifiers;
mod moments;
mod number;
mod order;
mod part;
mod point_in_time;
mod position;
mod profile;
mod record;
mod text;
mod tick;
mod value;
mod weight;

pub use decisions::{Decision, Decisions};
pub use event::Event;
pub use event_name::EventName;
pub use folded::folded;
pub use identifier::{Identifier, IdentifierId, IdentifierKey, IdentityChange, NotAProfileId, ProfileId, kind_of};
pub use identifiers::{Alias, Identifiers, Strength};
pub use moments::Moments;
pub use number::{Addend, Number};
pub use order::EventOrder;
pub use part::{Derived, Desired, Part, ProfilePayload, Sample, Traits};
pub use point_in_time::PointInTime;
pub use position::Position;
pub use profile::Profile;
pub use record::{Record, Setting, Topic};
pub use text::Text;
pub use tick::Tick;
pub use value::{Value, ValueType};
pub use weight::Weight;
