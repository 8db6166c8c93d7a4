//! Dead letters: what was given up, to be looked at. The rows themselves are in the books; these are the reasons.

use std::collections::VecDeque;

use dataflows::model::Tick;
use serde::{Deserialize, Serialize};

use super::outbox::Batch;

/// Letters that are kept of each destination; older ones are forgotten. A bad day shows in the first ones.
pub(super) const LETTERS_MAX: usize = 100;

/// Profiles that a letter names at most. More than one only where the whole endpoint refuses, whatever it is sent.
const PROFILES_MAX: usize = 100;

/// Why something is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Tick,
    /// The error, without personal data.
    pub error: String,
    /// The beginning of the answer, which may repeat personal data.
    pub answer: String,
    /// Calls that were refused, those included in which it was with others.
    pub attempts: u32,
}

/// What was given up. Not for logs: the answer may repeat what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeadLetter {
    /// Its number; later letters have greater ones.
    pub id: u64,
    /// When it was given up: milliseconds since the Unix epoch.
    pub at: u64,
    /// The latest tick of its changes.
    pub as_of: u64,
    /// The error.
    pub error: String,
    /// The first characters of the answer.
    pub answer: String,
    /// Calls that were refused, those included in which it was with others.
    pub attempts: u32,
    /// How many changes it had.
    pub changes: usize,
    /// Whose changes it had, by the hash of the profile; each once, the first hundred.
    pub profiles: Vec<String>,
}

/// The letters of a destination, oldest first.
#[derive(Debug, Default)]
pub(super) struct Letters {
    kept: VecDeque<DeadLetter>,
    next: u64,
}

impl Letters {
    /// Takes in a letter that was written down.
    pub fn restore(&mut self, letter: DeadLetter) {
        self.next = self.next.max(letter.id + 1);
        self.kept.push_back(letter);
    }

    /// Writes a letter; gives it, and the number of the one that it takes the place of.
    pub fn add(&mut self, batch: &Batch, why: Refusal) -> (DeadLetter, Option<u64>) {
        let mut profiles: Vec<_> = batch.iter().map(|change| change.profile).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let Refusal { at, error, answer, attempts } = why;
        let letter = DeadLetter {
            id: self.next,
            at: at.as_ms(),
            as_of: batch.iter().map(|change| change.as_of).max().unwrap_or_default().as_ms(),
            error,
            answer,
            attempts,
            changes: batch.len(),
            profiles: profiles.iter().take(PROFILES_MAX).map(ToString::to_string).collect(),
        };
        self.next += 1;
        self.kept.push_back(letter.clone());
        let gone = if self.kept.len() > LETTERS_MAX { self.kept.pop_front() } else { None };
        (letter, gone.map(|letter| letter.id))
    }

    /// Forgets all; gives their numbers. Numbers go on.
    pub fn clear(&mut self) -> Vec<u64> {
        self.kept.drain(..).map(|letter| letter.id).collect()
    }

    /// All, the latest first.
    pub fn latest_first(&self) -> Vec<DeadLetter> {
        self.kept.iter().rev().cloned().collect()
    }
}
