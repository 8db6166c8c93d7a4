//! Lists of members that are read page by page while the history goes on: each is of the tick at which it began, to its end.

use std::collections::VecDeque;

use dataflows::definitions::AudienceId;
use dataflows::limits::{LIST_BEGUN_MS, LIST_KEPT_MS};
use dataflows::model::{Profile, ProfileId, Text, Tick};
use dataflows::relations::{Found, ListPage, Members, PageOf, Question, Scan, ScanFrom, ScanOf, ScanPage, SliceMax};
use deltaic::engine::{Handle, ReadOptions};

use crate::oracle::OracleState;
use crate::program::DEADLINE;

/// Members in a page: so few that there are several pages.
const PAGE: usize = 2;

/// A member, with identifiers.
type ListedMember = (ProfileId, Vec<Text>);

/// A list that has been begun.
pub struct ReadList {
    audience: AudienceId,
    as_of: Tick,
    after: Option<ProfileId>,
    /// The last tick at which it must go on.
    until: Tick,
    /// What is to follow.
    rest: VecDeque<ListedMember>,
    /// The first page.
    first: Vec<ListedMember>,
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
        let (as_of, first) = ask(handle, (audience, None), ListPage::First, tick).await;
        let first = first.expect("it begins");
        let after = first.last().map(|(id, _)| *id);
        ReadList { audience, as_of, after, until: as_of.after_ms(LIST_BEGUN_MS), rest: VecDeque::new(), first }
    }

    pub fn as_of(&self) -> Tick {
        self.as_of
    }

    /// Compares the first page with the state of the tick, and remembers what else there is; nothing where that was all.
    pub fn told(mut self, state: &OracleState, told: &str) -> Option<Self> {
        let is_member = |profile: &&Profile| profile.audiences.contains(&self.audience);
        let member = |profile: &Profile| (profile.id, profile.identifiers.clone());
        self.rest = state.profiles.values().filter(is_member).map(member).collect();
        let first: Vec<ListedMember> = self.rest.drain(..self.rest.len().min(PAGE)).collect();
        assert_eq!(self.first, first, "as of {}, {told}", self.as_of);
        (first.len() == PAGE).then_some(self)
    }

    /// Reads the next page, as of `tick` or later; says whether there may be more.
    pub async fn goes_on(&mut self, handle: &Handle, tick: Tick, ended: &mut ListEnd, told: &str) -> bool {
        let (at, found) = ask(handle, (self.audience, self.after), ListPage::Next(self.as_of), tick).await;
        if at > self.until {
            assert_eq!(found, None, "as of {} at {at}, {told}", self.as_of);
            ended.gone += 1;
            return false;
        }
        let page: Vec<ListedMember> = self.rest.drain(..self.rest.len().min(PAGE)).collect();
        let is_whole = page.len() < PAGE;
        self.after = page.last().map(|(id, _)| *id);
        self.until = self.until.max(at.after_ms(LIST_KEPT_MS));
        assert_eq!(found, Some(page), "as of {} at {at}, {told}", self.as_of);
        ended.whole += usize::from(is_whole);
        !is_whole
    }
}

/// Asks for a page as it goes through the dataflow; gives the tick at which it was answered, and nothing where the list is gone.
async fn ask(
    handle: &Handle,
    (audience, after): (AudienceId, Option<ProfileId>),
    list: ListPage,
    tick: Tick,
) -> (Tick, Option<Vec<ListedMember>>) {
    let from = after.map_or(ScanFrom::At((audience, ProfileId::default())), |after| ScanFrom::After((audience, after)));
    let end = Some((AudienceId::new(audience.index() + 1), ProfileId::default()));
    let of = Members::into_any(ScanOf { from, end, most: SliceMax { rows: PAGE, ..SliceMax::default() }, list });
    let answered = handle.ask(Question::Scan(of), ReadOptions::within(DEADLINE).after(tick)).await.unwrap();
    let page = |(_, found)| match found {
        Found::Page(page) => Members::page_of(page),
        Found::Row(_) | Found::Gone => None,
    };
    let pages: Option<Vec<PageOf<Members>>> = answered.shares.into_iter().map(page).collect();
    let page = pages.map(|pages| ScanPage::together::<Members>(pages, PAGE));
    (answered.as_of, page.map(|page| page.rows.into_iter().map(|((_, id), texts)| (id, texts)).collect()))
}
