//! Which kinds of sources and destinations a project may have: the one place that names them.
//!
//! A program that uses the library adds kinds of its own ([`Connectors::with_source`],
//! [`Connectors::with_destination`]) and loads its project with them
//! ([`crate::project::load_with`]); nothing else has to know.

use crate::egress::destinations::{DestinationSettings, DestinationType, FileSettings, WebhookSettings};
use crate::ingest::sources::{HttpSettings, SourceSettings, SourceType};
use crate::project::ConnectorType;

/// The kinds that a project may have. By default those that are built in.
#[derive(Clone, Debug)]
pub struct Connectors {
    sources: Vec<SourceType>,
    destinations: Vec<DestinationType>,
}

impl Default for Connectors {
    fn default() -> Self {
        let destinations = vec![DestinationType::of::<WebhookSettings>(), DestinationType::of::<FileSettings>()];
        Connectors { sources: vec![SourceType::of::<HttpSettings>()], destinations }
    }
}

impl Connectors {
    /// These, and sources of one more kind. It takes the place of one with the same name.
    pub fn with_source<S: SourceSettings>(mut self) -> Self {
        with(&mut self.sources, SourceType::of::<S>());
        self
    }

    /// These, and destinations of one more kind. It takes the place of one with the same name.
    pub fn with_destination<S: DestinationSettings>(mut self) -> Self {
        with(&mut self.destinations, DestinationType::of::<S>());
        self
    }

    /// The kinds of sources.
    pub(crate) fn sources(&self) -> &[SourceType] {
        &self.sources
    }

    /// What `type` of a source is where a project does not say it.
    pub(crate) fn usual_source(&self) -> &'static str {
        HttpSettings::TYPE
    }

    /// The kinds of destinations.
    pub(crate) fn destinations(&self) -> &[DestinationType] {
        &self.destinations
    }
}

fn with<T: ConnectorType>(types: &mut Vec<T>, new: T) {
    types.retain(|of| of.name() != new.name());
    types.push(new);
}
