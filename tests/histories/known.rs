//! Histories that chance would rarely make, and those that once found a mistake.

use dataflows::model::{PointInTime, Value};

use super::arrays::product_fields;
use super::definitions::{ANYTHING, CATEGORY, ORDERED, SHIPPED, TOTAL, VIEWED, WINDOWS};
use super::drafts::{Case, DraftedFact, EventDraft, LARGE, When};
use super::expressions::list;

/// All of them, by what they show.
pub fn known_cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a chain of many hops is cut, joined and taken over", usual(chain())),
        ("a device goes back and forth, also by late logins", usual(device())),
        ("people who share a device under other rules", Case { rules: 2, ..usual(device()) }),
        ("logins under two exclusive types", Case { rules: 1, ..usual(two_exclusive_types()) }),
        ("every window is hit exactly, and one millisecond to either side", usual(window_edges())),
        ("one tick brings all there is", usual(one_tick())),
        ("links and writes of the same time", usual(ties())),
        ("the same of several processes", usual(of_three_processes(ties()))),
        ("the same, all in one tick", usual(at_once(of_three_processes(ties())))),
        ("the same, where the log did not keep its order at first", Case { without_order: 8, ..usual(ties()) }),
        ("the same, where it never did", Case { without_order: usize::MAX, ..usual(at_once(ties())) }),
        ("samples of the same time, and numbers at the limits of sums", usual(samples())),
        ("the same of several processes", usual(of_three_processes(samples()))),
        ("the same, where the log did not keep its order at first", Case { without_order: 3, ..usual(samples()) }),
        ("the stronger of two types that are not listed", usual(unlisted_types())),
        ("hearsay owns what nothing else owns, whichever came first", usual(hearsay())),
        ("the same of several processes", usual(of_three_processes(hearsay()))),
        ("the same, all in one tick", usual(at_once(hearsay()))),
        ("the same under two exclusive types", Case { rules: 1, ..usual(hearsay()) }),
        ("the same with nobody exclusive", Case { rules: 2, ..usual(hearsay()) }),
        ("consent comes, goes and comes back, late too", usual(consent())),
        ("a withdrawal stays with whom it was made for, wherever the device goes", usual(withdrawals())),
        ("the same of several processes, all in one tick", usual(at_once(of_three_processes(withdrawals())))),
        ("the same, where the log did not keep its order", Case { without_order: usize::MAX, ..usual(withdrawals()) }),
        ("decisions of the time at which the device moves", usual(decisions_and_logins_of_one_time())),
        (
            "the same of several processes, all in one tick",
            usual(at_once(of_three_processes(decisions_and_logins_of_one_time()))),
        ),
        ("decisions that are repeated with every event", usual(repeated_decisions())),
        ("the same of several processes, from behind", usual(from_behind(of_three_processes(repeated_decisions())))),
        ("what a destination holds changes while memberships stay, and the other way round", usual(cards())),
        ("people become others, in chains and in circles", usual(aliases())),
        ("the same of several processes", usual(of_three_processes(aliases()))),
        ("the same, all in one tick", usual(at_once(of_three_processes(aliases())))),
        ("the same, where the log did not keep its order", Case { without_order: usize::MAX, ..usual(aliases()) }),
        ("the same under two exclusive types", Case { rules: 1, ..usual(aliases()) }),
        ("the same with nobody exclusive", Case { rules: 2, ..usual(aliases()) }),
        ("the same from behind", usual(from_behind(aliases()))),
        ("arrays of one event after the other, and of one time", usual(arrays())),
        ("the same of several processes, all in one tick", usual(at_once(of_three_processes(arrays())))),
        ("the same, where the log did not keep its order, from behind", {
            Case { without_order: usize::MAX, ..usual(from_behind(arrays())) }
        }),
        ("lists are set, set anew, written below and taken away", usual(lists())),
        ("sequences are completed, absent, dropped and undone", usual(sequences())),
        ("the same of several processes, all in one tick", usual(at_once(of_three_processes(sequences())))),
        ("the same, where the log did not keep its order at first", Case { without_order: 9, ..usual(sequences()) }),
        ("the same, where it never did, from behind", {
            Case { without_order: usize::MAX, ..usual(from_behind(sequences())) }
        }),
        ("steps of several people become those of one, and part", usual(sequences_of_two())),
        ("what is absent comes when its own time is over, and that of what it follows is not", usual(late_absences())),
    ]
}

fn usual(drafts: Vec<EventDraft>) -> Case {
    Case { rules: 0, without_order: 0, drafts }
}

fn draft(gap_ms: u64, when: When, who: &[&'static str], what: DraftedFact) -> EventDraft {
    EventDraft { gap_ms, process: 0, when, who: who.to_vec(), what }
}

fn order(total: f64) -> DraftedFact {
    DraftedFact::Track(ORDERED, vec![(TOTAL, Value::number(total).expect("it is finite"))])
}

fn view() -> DraftedFact {
    DraftedFact::Track(VIEWED, vec![(CATEGORY, Value::text("books"))])
}

fn city(value: Option<&str>) -> DraftedFact {
    DraftedFact::Identify { attributes: vec![("city", value.map(Value::text))], consent: Vec::new() }
}

fn marketing(given: bool) -> DraftedFact {
    DraftedFact::Identify { attributes: Vec::new(), consent: vec![("marketing", given)] }
}

/// Anonymous ids and emails alternate: a1 – a – a2 – b – a3 – c – a4. Then people log in at the ends, and in the middle.
fn chain() -> Vec<EventDraft> {
    let link = |anonymous, email| draft(7, When::Now, &[anonymous, email], order(10.0));
    let login = |user, on| draft(7, When::Now, &[user, on], view());
    vec![
        link("anonymous_id:a1", "email:a@x.org"),
        link("anonymous_id:a4", "email:c@x.org"),
        link("anonymous_id:a2", "email:b@x.org"),
        link("anonymous_id:a3", "email:c@x.org"),
        link("anonymous_id:a2", "email:a@x.org"),
        link("anonymous_id:a3", "email:b@x.org"),
        login("user_id:1", "anonymous_id:a1"),
        login("user_id:2", "anonymous_id:a4"),
        login("user_id:3", "email:b@x.org"),
        login("user_id:1", "email:b@x.org"),
        login("user_id:3", "anonymous_id:a1"),
        // A login from before all of this changes nothing; one that is newer by its own time does.
        draft(1, When::Ago(5_000), &["user_id:2", "email:b@x.org"], view()),
        draft(1, When::Ahead(9), &["user_id:2", "email:b@x.org"], view()),
        link("cookie:c1", "anonymous_id:a2"),
        link("cookie:c1", "anonymous_id:a4"),
    ]
}

/// Weak links before and after strong ones, to owners and to neighbours, back and forth.
fn hearsay() -> Vec<EventDraft> {
    let seen = |who: &[&'static str]| draft(3, When::Now, who, view());
    vec![
        // An address by hearsay of two people, one after the other and back.
        seen(&["user_id:1", "~email:a@x.org"]),
        seen(&["user_id:2", "~email:a@x.org"]),
        draft(1, When::Ago(5_000), &["user_id:1", "~email:a@x.org"], view()),
        draft(1, When::Now, &["email:a@x.org"], marketing(true)),
        // Its neighbours, by hearsay and by statement.
        seen(&["anonymous_id:a1", "~email:a@x.org"]),
        seen(&["anonymous_id:a2", "~anonymous_id:a1"]),
        seen(&["anonymous_id:a1", "email:b@x.org"]),
        seen(&["anonymous_id:a3", "~anonymous_id:a1"]),
        seen(&["anonymous_id:a3", "anonymous_id:a1"]),
        // A chain of statements beats an owner by hearsay.
        seen(&["user_id:3", "email:c@x.org"]),
        seen(&["email:c@x.org", "anonymous_id:a4"]),
        seen(&["email:a@x.org", "anonymous_id:a4"]),
        draft(1, When::Now, &["email:a@x.org"], marketing(false)),
        // A statement, late and from long before, beats all hearsay, whichever comes after.
        draft(1, When::Ago(60_000), &["user_id:1", "email:a@x.org"], city(Some("Berlin"))),
        seen(&["user_id:2", "~email:a@x.org"]),
        draft(1, When::Now, &["email:a@x.org"], marketing(true)),
        seen(&["user_id:2", "~device_id:d1"]),
        seen(&["~email:b@x.org", "~device_id:d1"]),
        seen(&["device_id:d1", "anonymous_id:a1"]),
        seen(&["loyalty:l1", "~user_id:3"]),
        draft(0, When::Now, &["loyalty:l1", "user_id:2"], view()),
        draft(0, When::Now, &["loyalty:l1", "~user_id:1"], view()),
    ]
}

/// Aliases of devices and of people, before and after anybody knows them; then chains, circles, and others of the same time.
fn aliases() -> Vec<EventDraft> {
    let now = |who: &[&'static str], what| draft(3, When::Now, who, what);
    vec![
        // Nobody is there yet, and nobody may come into being.
        now(&["user_id:1", "<anonymous_id:a1"], view()),
        now(&["user_id:2", "<<user_id:1", "<anonymous_id:a2"], view()),
        now(&["user_id:2", "<user_id:3", "<email:a@x.org"], view()),
        now(&["anonymous_id:a1"], order(10.0)),
        now(&["anonymous_id:a1", "email:a@x.org"], marketing(true)),
        now(&["user_id:3", "anonymous_id:a2"], order(200.0)),
        now(&["user_id:1"], city(Some("Berlin"))),
        // A chain, a circle, and a newer alias that opens it again.
        now(&["user_id:3", "<<user_id:2"], order(20.0)),
        now(&["user_id:1", "device_id:d1"], order(20.0)),
        now(&["user_id:1", "<<user_id:3"], marketing(true)),
        now(&["user_id:2", "device_id:d1"], marketing(false)),
        now(&["user_id:3", "<<user_id:1"], order(1.0)),
        // Late by its own time: it changes nothing; of the same time, the later in the log counts.
        draft(1, When::Ago(60_000), &["user_id:2", "<<user_id:3"], view()),
        draft(1, When::Now, &["user_id:1", "<<user_id:2"], view()),
        draft(1, When::LikeTheOneBefore(1), &["user_id:3", "<<user_id:2"], view()),
        draft(0, When::LikeTheOneBefore(2), &["user_id:1", "<<user_id:2"], view()),
        // Without trust it is no reason.
        now(&["user_id:2", "<user_id:1"], view()),
        now(&["anonymous_id:a3", "<anonymous_id:a4", "<user_id:1"], view()),
        now(&["anonymous_id:a4"], city(Some("Paris"))),
        now(&["user_id:1", "anonymous_id:a4"], order(50.0)),
        now(&["loyalty:l1", "<<loyalty:l2"], view()),
        now(&["loyalty:l2", "user_id:1"], order(50.0)),
        now(&["user_id:1"], city(None)),
    ]
}

fn device() -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    for user in ["user_id:1", "user_id:2", "user_id:1", "user_id:3", "user_id:2"] {
        drafts.push(draft(2, When::Now, &["device_id:d1"], order(20.0)));
        drafts.push(draft(1, When::Now, &[user, "device_id:d1"], order(1.0)));
        drafts.push(draft(0, When::Ago(4), &["user_id:1", "device_id:d1"], city(Some("Berlin"))));
    }
    drafts
}

/// Identifiers, attributes, traits and consent of somebody at a destination change one by one, all at once, and to and fro
/// within a tick; then the person is taken apart and put together again.
fn cards() -> Vec<EventDraft> {
    let now = |gap_ms, who: &[&'static str], what| draft(gap_ms, When::Now, who, what);
    let mut drafts = vec![
        now(1, &["email:a@x.org"], order(10.0)),
        now(1, &["email:a@x.org"], marketing(true)),
        now(1, &["email:a@x.org"], city(Some("Berlin"))),
        // A trait of the card changes, no membership does.
        now(1, &["email:a@x.org"], order(1.0)),
        // Three things at once, of which one takes back what another does.
        now(1, &["email:a@x.org"], order(200.0)),
        now(0, &["email:a@x.org"], order(-200.0)),
        now(0, &["email:a@x.org"], city(Some("Bern"))),
        now(1, &["email:a@x.org", "device_id:d1"], view()),
    ];
    for user in ["user_id:1", "user_id:2", "user_id:1"] {
        drafts.push(now(1, &[user, "email:a@x.org"], view()));
        drafts.push(now(1, &[user], marketing(false)));
        drafts.push(now(0, &[user, "device_id:d1"], order(20.0)));
        drafts.push(now(0, &[user], city(None)));
        drafts.push(now(1, &[user], marketing(true)));
    }
    drafts
}

fn two_exclusive_types() -> Vec<EventDraft> {
    vec![
        draft(1, When::Now, &["loyalty:l1", "cookie:c1"], view()),
        draft(1, When::Now, &["user_id:1", "loyalty:l1"], order(10.0)),
        draft(1, When::Now, &["user_id:1", "email:a@x.org"], order(10.0)),
        draft(1, When::Now, &["email:a@x.org", "loyalty:l1"], order(10.0)),
        draft(1, When::Now, &["loyalty:l2", "email:a@x.org"], marketing(true)),
        draft(1, When::LikeTheOneBefore(1), &["user_id:1", "email:a@x.org"], view()),
        draft(1, When::Now, &["loyalty:l1", "loyalty:l2"], view()),
    ]
}

fn window_edges() -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    for window in WINDOWS {
        for what in [order(10.0), view()] {
            // An event, then one each right before, at and right after its end.
            drafts.push(draft(3, When::Now, &["user_id:1"], what.clone()));
            drafts.push(draft(window.length_ms - 1, When::Now, &["user_id:1"], what.clone()));
            drafts.push(draft(1, When::Now, &["user_id:1"], what.clone()));
            drafts.push(draft(1, When::Now, &["user_id:1"], what.clone()));
            // Late by a little less than the window, by the window, and by a little more.
            for late_ms in [window.length_ms - 1, window.length_ms, window.length_ms + 1] {
                drafts.push(draft(0, When::Ago(late_ms), &["email:a@x.org"], what.clone()));
            }
            drafts.push(draft(0, When::Ahead(window.length_ms.min(60_000)), &["email:a@x.org"], what));
        }
    }
    drafts
}

fn one_tick() -> Vec<EventDraft> {
    at_once([chain(), device(), ties(), consent()].concat())
}

fn at_once(mut drafts: Vec<EventDraft>) -> Vec<EventDraft> {
    drafts.iter_mut().for_each(|draft| draft.gap_ms = 0);
    drafts
}

/// In turns; the third one first.
fn of_three_processes(mut drafts: Vec<EventDraft>) -> Vec<EventDraft> {
    drafts.iter_mut().zip([2, 0, 1].into_iter().cycle()).for_each(|(draft, process)| draft.process = process);
    drafts
}

fn ties() -> Vec<EventDraft> {
    let same = When::LikeTheOneBefore(1);
    let mut drafts = vec![draft(1, When::Now, &["user_id:2", "device_id:d1"], city(Some("Paris")))];
    for who in [["user_id:1", "device_id:d1"], ["user_id:3", "device_id:d1"], ["user_id:3", "email:a@x.org"]] {
        for what in [city(None), city(Some("Berlin")), city(Some("X")), marketing(true), marketing(false), view()] {
            drafts.push(draft(1, same, &who, what));
        }
    }
    drafts
}

fn samples() -> Vec<EventDraft> {
    let same = When::LikeTheOneBefore(1);
    let who = ["user_id:1"];
    let text = |category| (CATEGORY, Value::text(category));
    let shipped = |ms| (SHIPPED, Value::Time(PointInTime::from_ms(ms)));
    let mut drafts = vec![draft(1, When::Now, &who, view())];
    for fields in [vec![text("tools")], vec![text("100% wool")], vec![text("shoes")], vec![]] {
        drafts.push(draft(1, same, &who, DraftedFact::Track(VIEWED, fields)));
    }
    drafts.push(draft(
        1,
        When::Now,
        &who,
        DraftedFact::Track(ORDERED, vec![shipped(2), (ANYTHING, Value::Bool(true))]),
    ));
    for fields in [vec![shipped(3)], vec![shipped(1), (ANYTHING, Value::text("X"))], vec![text("books")]] {
        drafts.push(draft(1, same, &who, DraftedFact::Track(ORDERED, fields)));
    }
    for total in [0.1, 0.2, 0.0000005, -0.0000005, 0.0000015, 99.995, LARGE, 1.1e15, 1e15, -1e15, -1.1e15] {
        drafts.push(draft(60_000, When::Now, &who, order(total)));
    }
    drafts
}

/// Products of two devices of one person, which leave windows one by one: the same ones twice, none, some of which little is known, and all
/// of another type.
fn arrays() -> Vec<EventDraft> {
    let (same, who) = (When::LikeTheOneBefore(1), ["user_id:1", "device_id:d1"]);
    let text = |text| Some(Value::text(text));
    let tracked = |name, fields| DraftedFact::Track(name, fields);
    let books = || [text("books"), Value::number(50.0), text("books")];
    let shoes = || [text("shoes"), Value::number(10.0), Value::number(10.0)];
    let odd = || [Value::number(1.0), text("50"), Some(list([None, text("a"), text("b")]))];
    let nothing = || [None, None, None];
    let several = || {
        let products = product_fields(&[shoes(), books(), nothing(), odd(), shoes()]);
        let bare = product_fields(&[books(), shoes()])[..1].to_vec();
        [
            products,
            product_fields(&[]),
            product_fields(&[nothing(), nothing()]),
            bare,
            product_fields(&[books(), books()]),
        ]
    };
    let mut drafts = Vec::new();
    for (name, gap_ms) in [(ORDERED, 1), (VIEWED, 400), (ORDERED, 999)] {
        for (place, fields) in several().into_iter().enumerate() {
            drafts.push(draft(gap_ms, When::Now, &who[place % 2..][..1], tracked(name, fields)));
        }
        for (place, fields) in several().into_iter().enumerate() {
            drafts.push(draft(place as u64 % 2, same, &who[place % 2..][..1], tracked(name, fields)));
        }
    }
    drafts.push(draft(1, When::Now, &who, view()));
    drafts.push(draft(1, When::Now, &["user_id:2", "device_id:d1"], tracked(ORDERED, product_fields(&[odd()]))));
    drafts.push(draft(60_000, When::Ago(30_000), &who, tracked(ORDERED, product_fields(&[books(), odd(), books()]))));
    drafts
}

/// Attributes that are lists, and aggregates over events whose fields are.
fn lists() -> Vec<EventDraft> {
    let text = |text| Some(Value::text(text));
    let set = |name, value| DraftedFact::Identify { attributes: vec![(name, value)], consent: Vec::new() };
    let tags = |elements: &[Option<Value>]| set("tags", Some(list(elements.iter().cloned())));
    let anything = |value| DraftedFact::Track(ORDERED, vec![(ANYTHING, value)]);
    let whats = [
        tags(&[text("books"), None]),
        city(Some("Berlin")),
        tags(&[None, text("Berlin")]),
        tags(&[]),
        set("tags.a", text("X")),
        tags(&[text("shoes"), text("shoes")]),
        set("tags", text("books")),
        tags(&[Value::number(1.0), Some(Value::Json("{}".into()))]),
        set("tags", None),
        set("city", Some(list([text("Berlin")]))),
        anything(list([])),
        anything(list([text("a"), None])),
        anything(list([text("a"), None])),
        anything(Value::Json("{}".into())),
        anything(list([text("a")])),
        anything(Value::text("a")),
        anything(Value::Bool(true)),
        anything(Value::text("b")),
        tags(&[text("books")]),
    ];
    let mut drafts: Vec<EventDraft> =
        whats.iter().map(|what| draft(3, When::Now, &["user_id:1", "email:a@x.org"], what.clone())).collect();
    drafts.push(draft(1, When::Now, &["user_id:1"], marketing(true)));
    // Of one time, by the address, which belongs to nobody in the end.
    drafts.extend(whats.iter().map(|what| draft(1, When::LikeTheOneBefore(1), &["email:a@x.org"], what.clone())));
    drafts.push(draft(
        1,
        When::Now,
        &["user_id:2", "email:a@x.org"],
        anything(Value::number(1.0).expect("it is finite")),
    ));
    drafts
}

/// Steps of the same time, at the ends of what they are near, a millisecond after, and late; and what is absent likewise.
fn sequences() -> Vec<EventDraft> {
    let who = ["user_id:1", "device_id:d1"];
    let now = |gap_ms, what| draft(gap_ms, When::Now, &who[..1], what);
    let same = |what| draft(0, When::LikeTheOneBefore(1), &who[1..], what);
    vec![
        draft(1, When::Now, &who, city(Some("Berlin"))),
        // Of one time, before and after each other in the log.
        now(20, order(10.0)),
        same(view()),
        same(order(50.0)),
        // As long as may be after, and longer.
        now(5, order(10.0)),
        now(6, view()),
        now(3, order(10.0)),
        now(3, view()),
        now(4, order(0.0)),
        now(4, view()),
        // Nothing for long enough; then what comes late takes it back, but for the second.
        now(30, view()),
        now(5, order(10.0)),
        draft(50, When::Ago(47), &who, view()),
        draft(1, When::Ago(47), &who[1..], view()),
        draft(1, When::Ago(51), &who[..1], order(200.0)),
        // At the ends of the longer waits.
        now(1_000, order(10.0)),
        now(1_000, view()),
        now(1, order(10.0)),
        now(60_000, order(10.0)),
        draft(8, When::Ago(4), &who[..1], view()),
        draft(1, When::Ago(60_000), &who[1..], view()),
    ]
}

/// Some that wait, one of them after the other, and what ends the wait of some: so late that no window would take it, and before the grid
/// of the windows has let go of all that it follows.
fn late_absences() -> Vec<EventDraft> {
    let who = ["user_id:1", "device_id:d1"];
    let fields = || vec![(TOTAL, Value::number(50.0).expect("it is finite")), (CATEGORY, Value::text("books"))];
    let late = || DraftedFact::Track(ORDERED, fields());
    let mut drafts = vec![draft(1, When::Now, &who, city(Some("Berlin")))];
    for (window_ms, late_ms) in [(10, 11), (60_000, 60_001), (3_600_000, 3_600_400)] {
        drafts.extend((0..10).map(|place| draft(1, When::Now, &who[place % 2..][..1], view())));
        drafts.push(draft(late_ms, When::Ago(window_ms), &who[..1], late()));
        drafts.push(draft(0, When::LikeTheOneBefore(1), &who[1..], late()));
        drafts.push(draft(1, When::LikeTheOneBefore(1), &who, view()));
    }
    drafts
}

/// Two people and a device that is now the one's and now the other's, each of whom does a part of it.
fn sequences_of_two() -> Vec<EventDraft> {
    let (one, two, device) = ("user_id:1", "user_id:2", "device_id:d1");
    let now = |gap_ms, who: &[&'static str], what| draft(gap_ms, When::Now, who, what);
    vec![
        now(1, &[device], view()),
        now(2, &[one], order(10.0)),
        now(2, &[device], order(10.0)),
        now(1, &[two], view()),
        now(1, &[device], order(50.0)),
        now(1, &[one, device], city(Some("Berlin"))),
        now(3, &[two, device], city(Some("Berlin"))),
        now(1, &[two], order(10.0)),
        now(4, &[one, device], city(None)),
        now(990, &[one], view()),
        now(1, &[two, device], view()),
        now(60_000, &[two, "<<user_id:1"], view()),
        now(1, &[one], order(10.0)),
    ]
}

fn unlisted_types() -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    for (loyalty, cookie) in [("loyalty:l1", "cookie:c1"), ("loyalty:l2", "cookie:c2")] {
        // The order is the cookie's, so it goes where the cookie goes.
        drafts.push(draft(1, When::Now, &[loyalty, cookie], order(10.0)));
        drafts.push(draft(1, When::Now, &["user_id:1", cookie], view()));
        drafts.push(draft(1, When::Now, &["user_id:2", loyalty], view()));
    }
    drafts
}

fn consent() -> Vec<EventDraft> {
    let who = ["user_id:1", "email:a@x.org"];
    vec![
        draft(1, When::Now, &who, order(50.0)),
        draft(5, When::Now, &who, marketing(true)),
        draft(5, When::Now, &["email:a@x.org"], marketing(false)),
        draft(5, When::Ago(7), &who, marketing(true)),
        draft(5, When::Now, &who, marketing(true)),
        // The email leaves, and takes with it what was said under it alone.
        draft(5, When::Now, &["user_id:2", "email:a@x.org"], view()),
        draft(5, When::Ahead(60_000), &["email:a@x.org"], marketing(false)),
    ]
}

/// Users who consent, withdraw through a device, and log in on it in turns; then logins and decisions come late, from in between.
fn withdrawals() -> Vec<EventDraft> {
    let now = |who: &[&'static str], what| draft(3, When::Now, who, what);
    let device = "device_id:d1";
    let mut drafts = vec![
        // What is said before anybody logs in is the first one's.
        now(&[device], marketing(false)),
        now(&["user_id:1"], marketing(true)),
        now(&["user_id:2"], marketing(true)),
        now(&["user_id:1", device], order(50.0)),
        now(&[device], marketing(false)),
        now(&["user_id:2", device], order(50.0)),
        now(&["user_id:2"], marketing(true)),
        now(&[device], marketing(true)),
        now(&["user_id:1", device], view()),
        now(&["user_id:3", device], order(50.0)),
        now(&[device], marketing(true)),
        now(&[device], marketing(false)),
        now(&["user_id:1"], marketing(true)),
        // An address that belongs to nobody, and one that is linked to the device only.
        now(&["email:a@x.org"], marketing(false)),
        now(&["email:b@x.org", device], marketing(true)),
    ];
    // Each from somewhere in the past, back and forth.
    for (place, ago) in [4, 40, 19, 25, 31, 13, 37, 7, 22].into_iter().enumerate() {
        let who: &[&str] = match place % 3 {
            0 => &["user_id:3", "device_id:d1"],
            1 => &["device_id:d1"],
            _ => &["user_id:1", "device_id:d1"],
        };
        drafts.push(draft(1, When::Ago(ago), who, marketing(place % 2 == 0)));
    }
    drafts
}

fn decisions_and_logins_of_one_time() -> Vec<EventDraft> {
    let same = |who: &[&'static str], what| draft(1, When::LikeTheOneBefore(1), who, what);
    let device = "device_id:d1";
    vec![
        draft(1, When::Now, &["user_id:1"], marketing(true)),
        same(&["user_id:2"], marketing(true)),
        same(&[device], marketing(false)),
        same(&["user_id:1", device], order(50.0)),
        same(&[device], marketing(true)),
        same(&["user_id:2", device], order(50.0)),
        same(&[device], marketing(false)),
        // Late by its own time, and the last in the log.
        draft(1, When::Ago(20), &["user_id:2", device], view()),
        draft(0, When::LikeTheOneBefore(2), &[device], marketing(true)),
        draft(0, When::LikeTheOneBefore(3), &["user_id:1", device], view()),
        draft(0, When::LikeTheOneBefore(4), &[device], marketing(false)),
    ]
}

/// A device on which two people take turns, with the same two decisions on each event, and another answer now and then.
fn repeated_decisions() -> Vec<EventDraft> {
    let both = |marketing, other| DraftedFact::Identify {
        attributes: Vec::new(),
        consent: vec![("marketing", marketing), ("other", other)],
    };
    let mut drafts = Vec::new();
    for turn in 0..6 {
        let user = ["user_id:1", "user_id:2"][turn % 2];
        drafts.push(draft(1, When::Now, &[user, "device_id:d1"], order(50.0)));
        drafts.push(draft(1, When::Now, &[user], both(true, true)));
        for event in 0..4 {
            drafts.push(draft(1, When::Now, &["device_id:d1"], both(turn % 4 != 0 || event > 1, event % 2 == 0)));
        }
    }
    drafts
}

/// The last happens first: each event arrives now, and happened before the one that came before it.
fn from_behind(mut drafts: Vec<EventDraft>) -> Vec<EventDraft> {
    let mut ago = 0;
    for draft in &mut drafts {
        draft.when = When::Ago(ago);
        ago += 2 * draft.gap_ms.max(1);
    }
    drafts
}
