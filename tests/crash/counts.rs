//! What happened to the requests, in numbers.

use std::fmt;

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrashCounts {
    pub events: usize,
    pub requests: usize,
    pub duplicates: usize,
    /// Requests that were refused, or got no answer, each as often as that happened.
    pub refused: usize,
    pub unanswered: usize,
    /// Of the latter those that turned out to have been taken.
    pub were_taken: usize,
}

impl fmt::Display for CrashCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CrashCounts { events, requests, duplicates, refused, unanswered, were_taken } = self;
        write!(
            f,
            "{events} events in {requests} requests, {duplicates} duplicates; requests refused {refused} times, without an \
             answer {unanswered} times (of which {were_taken} had been taken)"
        )
    }
}
