//! What a lane of a destination has to give to [`super::delivery`]: what is to be carried, and how it ended.

use std::future;
use std::time::Instant;

use super::destinations::CallBatch;
use super::letters::Refusal;
use super::outbox::BatchLimit;
use crate::log::StoreError;

/// Where calls of one kind come from, and where it is written down how they end. Both may wait for a disk; an error is the end
/// of delivery.
pub trait Lane: Send + Sync + 'static {
    /// What is carried, in the plural.
    const WHAT: &'static str;

    /// Under what a call ends.
    type Id: Copy + Send + 'static;

    /// Gives out what is next, written down as it is. Nothing where none waits, or the destination is paused.
    fn take(&self, limit: BatchLimit) -> Result<Option<Call<Self::Id>>, StoreError>;

    /// Finds out what has to be known before what is next may be given out. Whether it did: then there may be something to take.
    fn find_out(&self) -> impl Future<Output = bool> + Send {
        future::ready(false)
    }

    /// Writes down how it ended.
    fn end(&self, batch_id: Self::Id, end: CallOutcome) -> Result<(), StoreError>;

    /// Whether no new call may begin.
    fn is_paused(&self) -> bool;
}

/// What travels in one call.
#[derive(Debug)]
pub struct Call<F> {
    /// Under what it ends.
    pub batch_id: F,
    /// What the call carries.
    pub rows: CallBatch,
    /// How many it can be split into.
    pub parts: usize,
    /// How many count as told once it is acknowledged.
    pub count: u64,
    /// When its causes arrived, as far as that is remembered.
    pub received: Vec<Instant>,
    /// How often it was refused already, itself or what it is a piece of.
    pub refusals: u32,
}

/// How calls with a call ended.
#[derive(Debug)]
pub enum CallOutcome {
    /// The destination has it.
    Acknowledged,
    /// It was refused for good.
    GivenUp(Refusal),
    /// It was refused so many times, and goes in two halves, to find out which of its parts are the reason.
    Split(u32),
    /// It was refused so many times, and goes once more, later.
    PutBack(u32),
    /// No call with it reached the destination now. It was refused so many times before.
    NotBegun(u32),
}
