//! What the clients sent, and what became of it as far as they know.

use std::collections::BTreeMap;
use std::ops::Range;

use dataflows::model::Tick;
use serde_json::{Value, json};

use super::counts::CrashCounts;
use super::{CrashChance, events};

/// Events of a request at most.
const REQUEST_EVENTS_MAX: u64 = 8;

/// What the sender of a request knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer, or one that says that nothing was done: it may be there or not.
    Open,
    /// It was taken, at this tick.
    At(Tick),
    /// It was there already when it was sent once more, for which there is this receipt.
    Before(Tick),
    /// It had no answer, and the log does not have it. Until it is sent again.
    Absent,
}

/// A request: all of its events share a tick and a fate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its events, each with a message id of its own, by their numbers.
    pub events: Range<u64>,
    /// How many of the events are in it twice.
    pub repeats: usize,
    /// What became of it.
    pub fate: Fate,
    /// Nobody sends it again on their own.
    is_given_up: bool,
    /// It is being sent for the first time, or once more because there was no answer.
    is_under_way: bool,
    /// The log has it at this tick, its first event in this place.
    pub logged: Option<(Tick, u32)>,
}

/// Which request is sent, and what is expected of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendingRecord {
    /// It was never sent before.
    New,
    /// It had no answer.
    Again,
    /// It had a receipt: it is a duplicate.
    Duplicate,
}

/// Why there is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The program said that it did nothing.
    Refused,
    /// It said nothing, or that it does not know, or nobody waited for what it says.
    NoAnswer,
}

/// All requests.
pub struct CrashRecord {
    chance: CrashChance,
    events: Vec<Value>,
    requests: Vec<Request>,
    counts: CrashCounts,
}

impl CrashRecord {
    /// Nothing sent yet.
    pub fn new(seed: u64) -> Self {
        CrashRecord {
            chance: CrashChance::of(!seed),
            events: Vec::new(),
            requests: Vec::new(),
            counts: CrashCounts::default(),
        }
    }

    /// What to send next.
    pub fn next(&mut self, now_ms: u64) -> (usize, SendingRecord) {
        let open = |(place, request): (usize, &Request)| {
            (request.fate == Fate::Open && !request.is_given_up && !request.is_under_way).then_some(place)
        };
        let pick = self.chance.below(8);
        if pick < 4
            && let Some(place) = self.requests.iter().enumerate().rev().find_map(open)
        {
            self.requests[place].is_under_way = true;
            return (place, SendingRecord::Again);
        }
        if pick == 7 && !self.requests.is_empty() {
            let place = self.chance.below(self.requests.len() as u64) as usize;
            if !matches!(self.requests[place].fate, Fate::Open | Fate::Absent) {
                return (place, SendingRecord::Duplicate);
            }
        }
        let from = self.events.len() as u64;
        for number in from..=from + self.chance.below(REQUEST_EVENTS_MAX) {
            let event = events::event(&mut self.chance, number, now_ms);
            self.events.push(event);
        }
        let repeats = usize::from(self.chance.one_in(8));
        // Its sender will not try again.
        let is_given_up = self.chance.one_in(4);
        (self.add(from, repeats, is_given_up), SendingRecord::New)
    }

    /// A request whose only event is far ahead of its time.
    pub fn next_ahead(&mut self, now_ms: u64) -> usize {
        let from = self.events.len() as u64;
        let event = events::ahead(&mut self.chance, from, now_ms);
        self.events.push(event);
        self.add(from, 0, false)
    }

    fn add(&mut self, from: u64, repeats: usize, is_given_up: bool) -> usize {
        let events = from..self.events.len() as u64;
        self.requests.push(Request {
            events,
            repeats,
            fate: Fate::Open,
            is_given_up,
            is_under_way: true,
            logged: None,
        });
        self.requests.len() - 1
    }

    /// The text of a request.
    pub fn body(&self, place: usize) -> String {
        let request = &self.requests[place];
        let events = self.events_of(request);
        json!({"batch": events.iter().chain(&events[..request.repeats]).collect::<Vec<_>>()}).to_string()
    }

    /// The events of a request.
    pub fn events_of(&self, request: &Request) -> &[Value] {
        &self.events[request.events.start as usize..request.events.end as usize]
    }

    /// All requests.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// All requests, to be told what became of them.
    pub fn requests_mut(&mut self) -> &mut [Request] {
        &mut self.requests
    }

    /// A request got its receipt.
    pub fn answered(&mut self, place: usize, sending: SendingRecord, tick: Tick, duplicates: usize) {
        let request = &mut self.requests[place];
        request.is_under_way = false;
        let all = request.events.clone().count();
        let was_there = duplicates == all + request.repeats;
        let is_new = duplicates == request.repeats;
        let is_right = match sending {
            SendingRecord::New => is_new,
            SendingRecord::Again => is_new || was_there,
            SendingRecord::Duplicate => was_there,
        };
        assert!(is_right, "{sending:?} {request:?} was answered with {duplicates} duplicates at tick {tick}");
        if was_there {
            self.counts.duplicates += all;
        }
        match (request.fate, was_there) {
            (Fate::Open, true) => {
                self.counts.were_taken += 1;
                request.fate = Fate::Before(tick);
            }
            (Fate::Open | Fate::Absent, false) => request.fate = Fate::At(tick),
            (Fate::At(_) | Fate::Before(_), true) => {}
            (Fate::Absent, true) => panic!("{request:?} is not in the log, and was there"),
            (Fate::At(_) | Fate::Before(_), false) => panic!("{request:?} was taken twice, now at {tick}"),
        }
    }

    /// A request got no answer, or was refused; whether it was taken in the first case, nobody knows.
    pub fn unanswered(&mut self, place: usize, why: Unanswered) {
        self.requests[place].is_under_way = false;
        match why {
            Unanswered::Refused => self.counts.refused += 1,
            Unanswered::NoAnswer => self.counts.unanswered += 1,
        }
    }

    /// What happened, in numbers.
    pub fn counts(&self) -> CrashCounts {
        CrashCounts { events: self.events.len(), requests: self.requests.len(), ..self.counts }
    }

    /// Where each event is: its request, by the number of the event.
    pub fn owners(&self) -> BTreeMap<u64, usize> {
        let of = |(place, request): (usize, &Request)| request.events.clone().map(move |number| (number, place));
        self.requests.iter().enumerate().flat_map(of).collect()
    }
}
