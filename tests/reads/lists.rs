//! Lists of members that are read page by page while the history goes on: each is of the tick at which it began, to its end.

use std::collections::VecDeque;

use dataflows::definitions::AudienceId;
use dataflows::limits::{LIST_BEGUN_MS, LIST_KEPT_MS};
use dataflows::model::{Found, Member, Profile, ProfileId, Question, Tick};
use deltaic::engine::Handle;

use super::PAGE;
use crate::oracle::OracleState;
use crate::program::DEADLINE;

/// A list that has been begun.
pub struct ReadList {
    audience: AudienceId,
    as_of: Tick,
    after: Option<ProfileId>,
    /// The last tick at which it must go on.
    until: Tick,
    /// What is to follow.
    rest: VecDeque<Member>,
    /// The first page.
    first: Vec<Member>,
}

/// How lists ended.
#[derive(Debug, Default)]
pub struct ListEnd {
    /// In full, after several pages.
    pub whole: usize,
    /// Too late.
    pub gone: usize,
}

impl ReadList {
    /// Reads the first page, as of `tick` or later.
    pub async fn begin(handle: &Handle, audience: AudienceId, tick: Tick) -> Self {
        let question = Question::Members { audience, as_of: None, after: None, limit: PAGE };
        let answered = handle.ask(question, Some(tick), DEADLINE).await.unwrap();
        let Found::Members(first) = answered.found else { panic!("{answered:?}") };
        let (as_of, after) = (answered.as_of, first.last().map(|member| member.id));
        ReadList { audience, as_of, after, until: as_of.after_ms(LIST_BEGUN_MS), rest: VecDeque::new(), first }
    }

    pub fn as_of(&self) -> Tick {
        self.as_of
    }

    /// Compares the first page with the state of the tick, and remembers what else there is; nothing where that was all.
    pub fn told(mut self, state: &OracleState, told: &str) -> Option<Self> {
        let is_member = |profile: &&Profile| profile.audiences.contains(&self.audience);
        let member = |profile: &Profile| Member { id: profile.id, identifiers: profile.identifiers.clone() };
        self.rest = state.profiles.values().filter(is_member).map(member).collect();
        let first: Vec<Member> = self.rest.drain(..self.rest.len().min(PAGE)).collect();
        assert_eq!(self.first, first, "as of {}, {told}", self.as_of);
        (first.len() == PAGE).then_some(self)
    }

    /// Reads the next page, as of `tick` or later; says whether there may be more.
    pub async fn goes_on(&mut self, handle: &Handle, tick: Tick, ended: &mut ListEnd, told: &str) -> bool {
        let question =
            Question::Members { audience: self.audience, as_of: Some(self.as_of), after: self.after, limit: PAGE };
        let answered = handle.ask(question, Some(tick), DEADLINE).await.unwrap();
        if answered.as_of > self.until {
            assert_eq!(answered.found, Found::Gone, "as of {} at {}, {told}", self.as_of, answered.as_of);
            ended.gone += 1;
            return false;
        }
        let page: Vec<Member> = self.rest.drain(..self.rest.len().min(PAGE)).collect();
        let is_whole = page.len() < PAGE;
        self.after = page.last().map(|member| member.id);
        self.until = self.until.max(answered.as_of.after_ms(LIST_KEPT_MS));
        assert_eq!(answered.found, Found::Members(page), "as of {} at {}, {told}", self.as_of, answered.as_of);
        ended.whole += usize::from(is_whole);
        !is_whole
    }
}
