//! What a destination refused for good: dead letters, and what becomes of them.
//!
//! ```text
//! in flight ── give_up ──► letter ── retry ──► letter that is to go ── take ──► in flight ── acknowledge ──► gone
//!                            │ ▲                                                   │
//!               gone ◄ forget┘ └──────────────────── give_up ──────────────────────┘
//! ```
//!
//! What is retried stays a letter until it is acknowledged, so a crash loses nothing of it; and it goes alone, so that it goes
//! under the same idempotency key after one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Queue;
use crate::egress::forward::entries::{EntryWrites, EventBatch, EventLetter, Hold, OutgoingEvents};
use crate::egress::letters::Refusal;
use crate::limits::{DEAD_EVENTS_BYTES_MAX, DEAD_EVENTS_MAX};
use crate::log::{Offset, StoreError};

/// The letters of a queue.
#[derive(Debug, Default)]
pub(super) struct RefusedLetters {
    letters: BTreeMap<Offset, EventLetter>,
    bytes: usize,
    /// Those of them that are to go once more.
    retries: BTreeSet<Offset>,
    /// Whether the one that goes next is one of these. They take turns with what is new, which has not to wait for them.
    is_next: bool,
    /// So many had to make room, since the start.
    lost: u64,
    /// Whether that was said.
    is_told: bool,
}

impl RefusedLetters {
    /// As they were left.
    pub fn of(letters: Vec<EventLetter>) -> Self {
        let retries = letters.iter().filter(|letter| letter.is_retried).map(EventLetter::position).collect();
        let bytes = letters.iter().map(|letter| letter.bytes).sum();
        let letters = letters.into_iter().map(|letter| (letter.position(), letter)).collect();
        RefusedLetters { letters, bytes, retries, ..RefusedLetters::default() }
    }

    /// How many had to make room for others, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many are to go once more.
    pub fn retried(&self) -> usize {
        self.retries.len()
    }

    fn add(&mut self, letter: EventLetter) {
        let position = letter.position();
        self.remove(position);
        self.bytes += letter.bytes;
        self.letters.insert(position, letter);
    }

    fn remove(&mut self, position: Offset) {
        self.retries.remove(&position);
        self.bytes -= self.letters.remove(&position).map_or(0, |letter| letter.bytes);
    }

    /// Forgets the oldest until the rest is within the limits; gives their places.
    fn make_room(&mut self) -> Vec<Offset> {
        let mut gone = Vec::new();
        while self.letters.len() > DEAD_EVENTS_MAX || self.bytes > DEAD_EVENTS_BYTES_MAX {
            let Some(position) = self.letters.keys().next().copied() else { break };
            self.remove(position);
            gone.push(position);
        }
        gone
    }
}

impl Queue {
    /// EventLane that are dead letters, those that are to go once more not included.
    pub fn dead_letters(&self) -> usize {
        self.refused.letters.len() - self.refused.retries.len()
    }

    /// The letters of the latest of them, the latest first.
    pub fn letters(&self, most: usize) -> Vec<EventLetter> {
        let dead = self.refused.letters.values().rev().filter(|letter| !letter.is_retried);
        dead.take(most).cloned().collect()
    }

    /// A letter, and what was sent.
    pub fn letter(&self, position: Offset) -> Result<Option<(EventLetter, Bytes)>, StoreError> {
        let Some(letter) = self.refused.letters.get(&position) else { return Ok(None) };
        Ok(Some((letter.clone(), self.entries.refused(position)?.json)))
    }

    /// The batch in flight was refused for good. Says how many letters had to go for it if that is to be told.
    pub fn give_up(&mut self, why: &Refusal) -> Result<usize, StoreError> {
        let Some(outgoing) = self.in_flight.take() else { return Ok(0) };
        let entries = &outgoing.batch.entries;
        let letters: Vec<EventLetter> = entries.iter().map(|entry| EventLetter::new(entry, why)).collect();
        letters.iter().for_each(|letter| self.refused.add(letter.clone()));
        let forget = self.refused.make_room();
        let done: Vec<Offset> = entries.iter().map(|entry| entry.position).collect();
        // One that was retried is where it was.
        let remove = if outgoing.is_retry { &[][..] } else { &done };
        self.write(
            EntryWrites { remove, refuse: entries, letters: &letters, forget: &forget, ..EntryWrites::default() },
            None,
        )?;
        self.refused.lost += forget.len() as u64;
        let is_known = forget.is_empty() || std::mem::replace(&mut self.refused.is_told, true);
        Ok(if is_known { 0 } else { forget.len() })
    }

    /// All letters are to go once more; on the disk when this returns.
    pub fn retry(&mut self) -> Result<(), StoreError> {
        let RefusedLetters { letters, retries, is_told, .. } = &mut self.refused;
        *is_told = false;
        let mut marked = Vec::new();
        for (position, letter) in letters.iter_mut().filter(|(_, letter)| !letter.is_retried) {
            letter.is_retried = true;
            retries.insert(*position);
            marked.push(letter.clone());
        }
        self.entries.write(EntryWrites { letters: &marked, ..EntryWrites::default() }, self.written, Hold::Disk)
    }

    /// Dead letters are spoken of no more; on the disk when this returns. Those that are to go once more still do.
    pub fn forget(&mut self) -> Result<(), StoreError> {
        let letters = self.refused.letters.values();
        let forget: Vec<Offset> = letters.filter(|of| !of.is_retried).map(EventLetter::position).collect();
        forget.iter().for_each(|position| self.refused.remove(*position));
        self.refused.is_told = false;
        self.entries.write(EntryWrites { forget: &forget, ..EntryWrites::default() }, self.written, Hold::Disk)
    }

    /// The oldest that is to go once more, if it is its turn or nothing else waits.
    pub(super) fn next_retry(&mut self) -> Result<Option<OutgoingEvents>, StoreError> {
        let is_turn = std::mem::replace(&mut self.refused.is_next, true);
        let Some(position) = self.refused.retries.first().copied() else { return Ok(None) };
        if !is_turn && self.events > 0 {
            return Ok(None);
        }
        self.refused.is_next = false;
        let entry = self.entries.refused(position)?;
        let refusals = self.refused.letters.get(&position).map_or(0, |letter| letter.attempts);
        let batch = Arc::new(EventBatch { entries: vec![entry], received: Vec::new() });
        Ok(Some(OutgoingEvents { batch, refusals, is_retry: true, has_begun: false }))
    }

    /// One that was to go once more was acknowledged, or withheld.
    pub(super) fn was_taken(&mut self, position: Offset) -> Result<(), StoreError> {
        self.refused.remove(position);
        self.write(EntryWrites { forget: &[position], ..EntryWrites::default() }, None)
    }
}
