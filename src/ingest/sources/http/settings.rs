//! What a project says of a source that sends over HTTP.

use std::num::NonZeroU32;

use crate::ingest::sources::{SourceInput, SourceSettings};
use crate::project::{Secret, SettingsSection};

/// A sender over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The keys with which it sends: at least one, and several while one takes the place of another.
    pub write_keys: Vec<Secret>,
    /// Whether `context.ip` of its events is the address that they come from, where they do not say it themselves.
    pub ip: bool,
    /// How many events a second it may send; as many as there are without.
    pub events_per_second: Option<NonZeroU32>,
    /// How many bytes of requests, as they are without compression.
    pub bytes_per_second: Option<NonZeroU32>,
}

impl HttpSettings {
    /// A sender with these keys, and all else as it is by default.
    pub fn with_keys(write_keys: Vec<Secret>) -> Self {
        HttpSettings { write_keys, ip: true, events_per_second: None, bytes_per_second: None }
    }
}

impl SourceSettings for HttpSettings {
    const TYPE: &'static str = "http";

    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self> {
        let write_keys = section.write_keys("write_key", "the key with which the source sends");
        let ip = section.boolean("ip").unwrap_or(true);
        let events_per_second = section.count("events_per_second", 1..=100_000_000);
        let bytes_per_second = section.bytes("bytes_per_second", 1..=4_000_000_000);
        let bytes_per_second = bytes_per_second.and_then(|bytes| u32::try_from(bytes).ok());
        (!write_keys.is_empty()).then(|| HttpSettings {
            write_keys,
            ip,
            events_per_second: events_per_second.and_then(NonZeroU32::new),
            bytes_per_second: bytes_per_second.and_then(NonZeroU32::new),
        })
    }

    /// Its requests come to the server of the engine, whose routes are [`super::router`]: there is nothing to run.
    async fn run(&self, input: SourceInput) -> Result<(), String> {
        input.stopped().await;
        Ok(())
    }

    fn write_keys(&self) -> &[Secret] {
        &self.write_keys
    }

    fn without_write_keys(&self) -> Self {
        HttpSettings { write_keys: Vec::new(), ..self.clone() }
    }
}
