//! What keeps calls from being made beside what the destination itself does: that this may be a copy of an engine that delivers
//! already, that nothing is to be delivered, that a destination is another one than it was. Events are taken in all the same.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Why nothing is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// The engine was started like this.
    NoDelivery,
    /// The data folder is not where this engine left it.
    Copied {
        /// How that shows.
        reason: String,
    },
    /// The destination has another address than the one that was told what is on record.
    Moved,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HoldReason::NoDelivery => f.write_str("the engine was started with --no-delivery"),
            HoldReason::Copied { reason } => write!(
                f,
                "this may be a copy of an engine that delivers already: {reason}; if it is the only one, `deltaic take-over` \
                 (or `run --take-over`) begins to deliver"
            ),
            HoldReason::Moved => f.write_str(
                "its address is another one than that which was told what is on record: `deltaic destination as-new` tells \
                 everything to it, `as-moved` goes on with what was confirmed",
            ),
        }
    }
}

/// What holds a destination; its two lanes and all destinations share what holds all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryHold {
    all: Arc<Mutex<Option<HoldReason>>>,
    own: Arc<Mutex<Option<HoldReason>>>,
}

impl DeliveryHold {
    /// That of a destination, beside what holds all.
    pub fn of_one(all: &DeliveryHold, own: Option<HoldReason>) -> Self {
        DeliveryHold { all: all.all.clone(), own: Arc::new(Mutex::new(own)) }
    }

    /// What holds all of them.
    pub fn of_all(held: Option<HoldReason>) -> Self {
        DeliveryHold { all: Arc::new(Mutex::new(held)), own: Arc::default() }
    }

    /// What holds it, if anything does.
    pub fn is_for(&self) -> Option<HoldReason> {
        lock(&self.all).clone().or_else(|| lock(&self.own).clone())
    }

    /// Whether anything does.
    pub fn is_held(&self) -> bool {
        lock(&self.all).is_some() || lock(&self.own).is_some()
    }

    /// Whether it has another address, and nobody said yet what that means.
    pub fn is_moved(&self) -> bool {
        *lock(&self.own) == Some(HoldReason::Moved)
    }

    /// Nothing of its own holds it any more.
    pub fn release(&self) {
        *lock(&self.own) = None;
    }

    /// What holds all of them.
    pub fn holds_all(&self) -> Option<HoldReason> {
        lock(&self.all).clone()
    }

    /// Nothing holds all of them any more.
    pub fn release_all(&self) {
        *lock(&self.all) = None;
    }
}

fn lock(held: &Mutex<Option<HoldReason>>) -> MutexGuard<'_, Option<HoldReason>> {
    held.lock()
}
