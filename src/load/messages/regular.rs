//! A regular: what is needed of the past to decide what comes.

use std::collections::VecDeque;

use super::Seen;
use crate::load::stream::{LoadAction, LoadEvent};
use crate::load::triggers::{LEFT_ABSENT_MS, LEFT_WITHIN_MS, LoadTrigger, REMINDER_UNLESS_MS, VISIT_GAP_MS};

/// A place in the order of the events of a lane: time, then number.
pub(super) type LanePlace = (u64, u64);

/// From the first to the last event.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegularSpan {
    pub first: LanePlace,
    pub last: LanePlace,
}

/// What was done without a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub span: RegularSpan,
    pub events: u64,
    pub orders: u64,
    pub cents: u64,
    is_decided: bool,
}

/// Somebody.
#[derive(Debug, Default)]
pub(super) struct Regular {
    pub email_since: Option<u64>,
    pub views_total: u64,
    pub orders_total: u64,
    /// As far as they may still be asked for.
    views: VecDeque<LanePlace>,
    orders: VecDeque<LanePlace>,
    /// Those that are not decided, and the latest one.
    visits: VecDeque<Visit>,
    /// The latest visit that fired.
    visit_fired: Option<RegularSpan>,
    /// What is spent by firings of the sequence.
    spent: VecDeque<RegularSpan>,
    /// By trigger, when the latest firing was decided.
    fired: [Option<u64>; LoadTrigger::ALL.len()],
}

impl Regular {
    /// Takes in an event.
    pub fn event(&mut self, seen: Seen, event: &LoadEvent) {
        let place = (seen.at_ms, seen.number);
        let mut order = None;
        match event.what {
            LoadAction::View => {
                self.views_total += 1;
                self.views.push_back(place);
            }
            LoadAction::Purchase { cents } => {
                self.orders_total += 1;
                self.orders.push_back(place);
                order = Some(u64::from(cents));
            }
            LoadAction::Login { email: true, .. } => _ = self.email_since.get_or_insert(seen.tick),
            LoadAction::Page | LoadAction::Cart | LoadAction::Login { .. } => {}
        }
        let goes_on = |visit: &&mut Visit| seen.at_ms <= visit.span.last.0 + VISIT_GAP_MS;
        if self.visits.back_mut().filter(goes_on).is_none() {
            self.visits.retain(|visit| !visit.is_decided);
            let span = RegularSpan { first: place, last: place };
            self.visits.push_back(Visit { span, events: 0, orders: 0, cents: 0, is_decided: false });
        }
        if let Some(visit) = self.visits.back_mut() {
            visit.span.last = place;
            visit.is_decided = false;
            visit.events += 1;
            visit.orders += u64::from(order.is_some());
            visit.cents += order.unwrap_or(0);
        }
    }

    /// Forgets what nobody asks for any more when all that is due before a time is decided, and all events before it are here.
    pub fn forget(&mut self, before_ms: u64) {
        let is_over = |at_ms: u64, for_ms: u64| at_ms + for_ms < before_ms;
        let for_ms = LEFT_WITHIN_MS + LEFT_ABSENT_MS;
        while self.views.pop_front_if(|view| is_over(view.0, for_ms)).is_some() {}
        while self.spent.pop_front_if(|span| is_over(span.last.0, for_ms)).is_some() {}
        while self.orders.pop_front_if(|order| is_over(order.0, REMINDER_UNLESS_MS)).is_some() {}
    }

    /// Whether there is an order that keeps a reminder from being sent.
    pub fn has_ordered(&self, tick: u64) -> bool {
        self.orders.iter().any(|(at_ms, _)| *at_ms <= tick && tick < at_ms + REMINDER_UNLESS_MS)
    }

    /// Whether `at_most` lets a trigger fire; then it does.
    pub fn fires(&mut self, trigger: LoadTrigger, tick: u64) -> bool {
        let last = &mut self.fired[trigger as usize];
        let is_free = last.is_none_or(|last| trigger.at_most_ms().is_none_or(|time_ms| last + time_ms <= tick));
        if is_free {
            *last = Some(tick);
        }
        is_free
    }

    /// The visit that ended with the event of this number, if it fires.
    pub fn visit(&mut self, number: u64, tick: u64) -> Option<Visit> {
        let found = self.visits.iter_mut().find(|visit| visit.span.last.1 == number)?;
        found.is_decided = true;
        let (visit, fired) = (*found, self.visit_fired);
        let overlaps = |fired: RegularSpan| visit.span.first <= fired.last && fired.first <= visit.span.last;
        if visit.orders == 0 || fired.is_some_and(overlaps) || !self.fires(LoadTrigger::Visit, tick) {
            return None;
        }
        self.visit_fired = Some(visit.span);
        Some(visit)
    }

    /// The match that a cart ends without an order, if it fires.
    pub fn left(&mut self, cart: LanePlace, tick: u64) -> Option<RegularSpan> {
        let is_spent = |place: &LanePlace| self.spent.iter().any(|span| (span.first..=span.last).contains(place));
        let follows = |order: &LanePlace| *order > cart && order.0 <= cart.0 + LEFT_ABSENT_MS;
        let precedes = |view: &&LanePlace| **view < cart && cart.0 <= view.0 + LEFT_WITHIN_MS && !is_spent(view);
        let first = *self.views.iter().rev().find(precedes)?;
        if self.orders.iter().any(follows) || is_spent(&cart) || !self.fires(LoadTrigger::Left, tick) {
            return None;
        }
        let span = RegularSpan { first, last: cart };
        self.spent.push_back(span);
        Some(span)
    }
}
