//! What the tests of this module build with: a small project, and rows of its desired collections.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::definitions::{Audience, AudienceId, Definitions, DestinationId};
use dataflows::expression::Expression;
use dataflows::model::{Desired, Identifier, IdentifierKey, ProfileId, Traits, Value};

use super::destinations::{DestinationKind, Pace, WebhookSettings};
use crate::limits::Limits;
use crate::project::{Clock, Destination, Project, Replay, Sending};

/// Names of audiences, by id.
pub const AUDIENCES: [&str; 2] = ["cart_abandoners", "vips"];

/// Definitions with those audiences.
pub fn definitions() -> Definitions {
    let condition = Expression::Literal(Some(Value::Bool(true)));
    let audiences = AUDIENCES.map(|name| Audience { name: name.into(), condition: condition.clone() });
    Definitions { audiences: audiences.to_vec(), ..Definitions::default() }
}

/// A project with these destinations.
pub fn project(folder: &Path, destinations: Vec<Destination>) -> Project {
    let second = Duration::from_secs(1);
    Project {
        name: "test".into(),
        folder: folder.into(),
        identifier_key: key(),
        definitions: Arc::new(definitions()),
        origins: Vec::new(),
        purposes: Vec::new(),
        attribute_types: BTreeMap::new(),
        merged_attributes: Vec::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        trusted_proxies: Vec::new(),
        sources: Vec::new(),
        read_tokens: Vec::new(),
        admin_tokens: Vec::new(),
        cluster_token: None,
        clock: Clock { heartbeat: second, dedupe_window: second, ..Clock::default() },
        limits: Limits::default(),
        destinations,
        replay: Replay::default(),
        storage: None,
        history: None,
        instance: "default".into(),
        log: None,
        dataflow_log: true,
    }
}

/// A webhook with short waits.
pub fn webhook(url: String) -> WebhookSettings {
    let pace = Pace {
        timeout: Duration::from_secs(60),
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        attempts_max: 3,
        retry_deletes: Duration::from_secs(3_600),
        ..Pace::default()
    };
    WebhookSettings { url, secrets: Vec::new(), pace, confirm: None }
}

/// The destination `crm`, of this kind.
pub fn crm(webhook: WebhookSettings) -> Destination {
    Destination { name: "crm".into(), kind: DestinationKind::new(webhook), sending: Sending::default() }
}

/// Traits, which must be sorted.
pub fn traits<const N: usize>(traits: [(&str, Value); N]) -> Arc<Traits> {
    Arc::new(traits.map(|(name, value)| (name.into(), value)).to_vec())
}

/// A trait `n`, to tell rows apart.
pub fn numbered(n: u32) -> Arc<Traits> {
    traits([("n", Value::Number(n.into()))])
}

/// A row of destination 0: a person's `user_id`, who has no other identifier.
pub fn row(audience: usize, user: &str, traits: Arc<Traits>) -> Desired {
    row_of(user, audience, &format!("user_id:{user}"), traits)
}

/// A row of destination 0: an identifier of the person with this user id.
pub fn row_of(user: &str, audience: usize, identifier: &str, traits: Arc<Traits>) -> Desired {
    Desired {
        destination: DestinationId::new(0),
        audience: AudienceId::new(audience),
        identifier: identifier.into(),
        traits,
        profile: ProfileId::of_root(Identifier::new(&key(), "user_id", user).id()),
    }
}

pub fn key() -> IdentifierKey {
    IdentifierKey::from_secret("test")
}
