//! Where a destination is, as far as that tells it from another one: by what it was told what is on record.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::destinations::DestinationKind;

/// The address of a destination, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Address {
    /// The type of destination.
    kind: String,
    /// The SHA-256 of where it is: a URL may hold a token.
    place: String,
}

impl Address {
    /// Where a destination of this kind is.
    pub fn of(kind: &DestinationKind) -> Self {
        let place = Sha256::digest(kind.place()).iter().map(|byte| format!("{byte:02x}")).collect();
        Address { kind: kind.name().to_owned(), place }
    }
}
