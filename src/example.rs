//! The project that unit tests use.

use std::sync::Arc;

use dataflows::definitions::{Audience, Definitions, Field, FieldRoot, Trait};
use dataflows::expression::Expression;
use dataflows::model::{IdentifierKey, ValueType};

use crate::ingest::sources::{HttpSettings, SourceKind};
use crate::limits::Limits;
use crate::project::{Clock, ContextTraits, NameLimits, Project, Replay, Secret, Source};

/// Two sources, one reader, a few fields, a trait, two audiences.
pub(crate) fn project() -> Project {
    let field = |root, path: &[&str], kind| Field { root, path: path.iter().map(|key| (*key).into()).collect(), kind };
    let nothing = || Expression::Literal(None);
    let source = |name: &str, key: &str| Source {
        name: name.into(),
        kind: sending_with([Secret::new(key.into())]),
        context_traits: ContextTraits::default(),
        trusted: false,
        names: NameLimits::default(),
    };
    Project {
        name: "example".into(),
        folder: ".".into(),
        identifier_key: IdentifierKey::from_secret("test"),
        definitions: Arc::new(Definitions {
            fields: vec![
                field(FieldRoot::Properties, &["total"], Some(ValueType::Number)),
                field(FieldRoot::Properties, &["total"], None),
                field(FieldRoot::Properties, &["cart", "id"], Some(ValueType::Text)),
                field(FieldRoot::Traits, &["since"], Some(ValueType::Time)),
                field(FieldRoot::Context, &["device", "id"], None),
                field(FieldRoot::Properties, &["cart"], Some(ValueType::Bool)),
            ],
            traits: vec![Trait { name: "orders".into(), expression: nothing() }],
            audiences: ["buyers", "vip"].map(|name| Audience { name: name.into(), condition: nothing() }).to_vec(),
            ..Definitions::default()
        }),
        origins: Vec::new(),
        purposes: ["ads", "marketing", "Statistics"].map(Into::into).to_vec(),
        merged_attributes: Vec::new(),
        attribute_types: [("born".into(), ValueType::Time)].into(),
        listen: ([127, 0, 0, 1], 0).into(),
        trusted_proxies: Vec::new(),
        sources: vec![source("app", "app-key"), source("web", "web-key")],
        read_tokens: vec![Secret::new("read-token".into())],
        admin_tokens: vec![Secret::new("admin-token".into())],
        cluster_token: None,
        clock: Clock::default(),
        limits: Limits { identifiers_per_event_max: 6, identifier_bytes_max: 40, ..Limits::default() },
        destinations: Vec::new(),
        replay: Replay::default(),
        storage: None,
        history: None,
        instance: "default".into(),
        log: None,
        dataflow_log: true,
    }
}

/// The kind of a source that sends with these keys.
pub(crate) fn sending_with(keys: impl IntoIterator<Item = Secret>) -> SourceKind {
    SourceKind::new(HttpSettings::with_keys(keys.into_iter().collect()))
}
