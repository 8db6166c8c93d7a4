//! What the page says, case by case, with the messages written out.

use deltaic::receive::event::{MessageCause, TriggerMessage};
use serde_json::{Map, Value, json};

use super::{TriggerWorld, at, now_ms, person, track};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_confirmed_where_the_person_wants_it() {
    let world = TriggerWorld::new(
        r#"
[triggers.order_confirmation]
on = "Order Completed"
where = "properties.channel = 'web'"
when = "event.properties.total > 0"
destinations = [{ if = "has(phone)", to = "push" }, { to = "email" }]
identifiers = ["email", "phone"]
payload = { order = "event.properties.order_id", total = "event.properties.total", name = "first_name", at = "occurred_at", sent = "event.timestamp", orders = "count('Order Completed')", nothing = "event.properties.nothing", locale = "event.context.locale" }
[triggers.both]
on = "Order Completed"
when = "event.properties.total > 100"
destinations = ["email", "push"]
identifiers = ["user_id"]
payload = { fixed = "'text'" }
[triggers.upgraded]
on = "identify"
when = "event.traits.plan = 'pro'"
destinations = ["email"]
identifiers = ["user_id"]
payload = { plan = "event.traits.plan", stored = "plan" }
"#,
    )
    .await;
    let server = world.start_known().await;
    let ms = now_ms() - 1_000;
    let order = |user: &str, order: u64, total: Value, channel: &str| {
        let mut event =
            track(user, "Order Completed", ms, json!({"order_id": order, "total": total, "channel": channel}));
        event["context"] = json!({"locale": "it"});
        event
    };
    let mut pro = person("cid", None, None);
    pro["traits"]["plan"] = "pro".into();
    let mut bob = person("bob", Some("bob@x.org"), None);
    bob["traits"]["phone"] = "39333444555".into();
    let token = server
        .take(&[
            person("ann", Some("ann@x.org"), None),
            bob,
            pro,
            order("ann", 1, json!(12.5), "web"),
            order("bob", 2, json!(101), "web"),
            order("bob", 3, json!(0), "web"),
            order("bob", 4, Value::Null, "web"),
            order("bob", 5, json!(7), "shop"),
            // Nobody's.
            order("null", 6, json!(1_000), "web"),
            json!({"type": "track", "event": "Order Completed", "userId": "ann", "timestamp": at(ms), "properties": {"order_id": 7, "total": 9}}),
        ])
        .await;
    world.settle(&server).await;
    let text = at(ms);
    let confirmed = |user: &str, to: &str, order: u64, total: Value, orders: u64| {
        let payload = json!({"order": order, "total": total, "name": user, "at": text, "sent": text, "orders": orders, "locale": "it"});
        format!("{to} {payload}")
    };
    assert_eq!(
        world.lines(),
        [
            "email both [user_id:bob] {\"fixed\":\"text\"}".to_owned(),
            confirmed("ann", "email order_confirmation [email:ann@x.org]", 1, json!(12.5), 2),
            "email upgraded [user_id:cid] {\"plan\":\"pro\",\"stored\":\"pro\"}".to_owned(),
            "push both [user_id:bob] {\"fixed\":\"text\"}".to_owned(),
            confirmed("bob", "push order_confirmation [email:bob@x.org phone:39333444555]", 2, json!(101), 4),
        ]
    );
    let messages = world.messages();
    let anns = messages.iter().find(|told| told.message.identifiers == ["email:ann@x.org"]).unwrap();
    let TriggerMessage { as_of, index, .. } = anns.message;
    assert!(as_of > token, "its record comes after the decision: {as_of}");
    assert_eq!(
        anns.message,
        TriggerMessage {
            trigger: "order_confirmation".into(),
            message_id: format!("order_confirmation/{ms}-{token}.0.3"),
            payload: map(
                json!({"order": 1, "total": 12.5, "name": "ann", "at": text, "sent": text, "orders": 2, "locale": "it"})
            ),
            cause: MessageCause { on: "Order Completed".into(), first: ms, last: ms },
            profile_id: server.profile("user_id:ann", token).await["id"].as_str().map(str::to_owned),
            identifiers: vec!["email:ann@x.org".into()],
            requires_consent: None,
            decided: token,
            as_of,
            index,
        }
    );
    let both: Vec<&TriggerMessage> =
        messages.iter().map(|told| &told.message).filter(|message| message.trigger == "both").collect();
    assert_eq!(both[0], both[1], "the same at every destination");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_that_ends_with_a_full_cart_is_reminded_of() {
    let world = TriggerWorld::new(
        r#"
[sessions.visit]
gap = "1 s"
events = ["page", "Product Added", "Order Completed"]
values = { carts = "count('Product Added')", orders = "count('Order Completed')" }
[triggers.cart_reminder]
on = "visit ended"
when = "session.carts > 0 and session.orders = 0 and has(email)"
wait = "5 s"
unless = "count('Order Completed', within => '1 min') > 0"
at_most = "1 per 24 h"
requires_consent = "marketing"
destinations = ["email"]
identifiers = ["email"]
payload = { template = "'cart'", name = "first_name", carts = "session.carts", duration = "session.duration", events = "session.events", start = "session.start", end = "occurred_at", items = "list('Product Added', properties.name, within => '2 hours')" }
[triggers.visited]
on = "visit ended"
destinations = ["push"]
identifiers = ["user_id"]
payload = { events = "session.events" }
"#,
    )
    .await;
    let server = world.start_known().await;
    let now = now_ms();
    let add = |user: &str, ago_ms: u64, name: &str| track(user, "Product Added", now - ago_ms, json!({ "name": name }));
    let order = |user: &str, ago_ms: u64| track(user, "Order Completed", now - ago_ms, json!({}));
    let page = |user: &str, ago_ms: u64| json!({"type": "page", "userId": user, "timestamp": at(now - ago_ms), "properties": {}});
    let all = ["ann", "ben", "cid", "dan", "eve"];
    let addresses = all.map(|user| format!("{user}@x.org"));
    let mut events: Vec<Value> = Vec::new();
    for (user, email) in all.iter().zip(&addresses) {
        events.push(person(user, Some(email), Some(!matches!(*user, "dan" | "eve"))));
    }
    events.push(person("fay", None, Some(true)));
    events.extend([
        // Of two events, and due in some seconds.
        add("ann", 2_500, "Shoe"),
        add("ann", 1_800, "Sock"),
        // Orders in another visit, while the first one waits.
        add("ben", 2_000, "Shoe"),
        order("ben", 500),
        // Two visits, of which the first is due already.
        add("cid", 10_000, "Hat"),
        add("cid", 3_000, "Cap"),
        // Without consent; without an address.
        add("dan", 3_000, "Shoe"),
        add("fay", 3_000, "Shoe"),
        add("eve", 3_000, "Shoe"),
        page("gus", 9_000),
    ]);
    let token = server.take(&events).await;
    world
        .until("the end of eve's visit", |all| all.iter().any(|told| told.message.identifiers == ["user_id:eve"]))
        .await;
    // The visit goes on, as an event that comes late says. The other one is a visit of its own.
    server.take(&[page("eve", 2_500), page("eve", 6_000)]).await;
    world.settle_after(&server, now + 4_500).await;
    let reminder = |user: &str, first: u64, last: u64, events: u64, items: Value| {
        let duration = json!((last - first) as f64 / 1_000.0);
        let duration = if last == first { json!(0) } else { duration };
        let payload = json!({"template": "cart", "name": user, "carts": events, "duration": duration, "events": events,
            "start": at(first), "end": at(last), "items": items});
        format!("email cart_reminder [email:{user}@x.org] {payload}")
    };
    let visited = |user: &str, events: u64| format!("push visited [user_id:{user}] {{\"events\":{events}}}");
    let expected = vec![
        reminder("ann", now - 2_500, now - 1_800, 2, json!(["Shoe", "Sock"])),
        reminder("cid", now - 10_000, now - 10_000, 1, json!(["Cap", "Hat"])),
        visited("ann", 2),
        visited("ben", 1),
        visited("ben", 1),
        visited("cid", 1),
        visited("cid", 1),
        visited("dan", 1),
        visited("eve", 1),
        visited("eve", 1),
        visited("fay", 1),
        visited("gus", 1),
    ];
    assert_eq!(world.lines(), expected);
    for told in world.messages() {
        let TriggerMessage { trigger, cause, decided, requires_consent, .. } = told.message;
        assert_eq!(cause.on, "visit ended");
        let after_ms = if trigger == "visited" { 1_000 } else { 6_000 };
        let due = cause.last + after_ms;
        assert!(decided == due || (due < decided && due < token + 500), "{trigger} of {cause:?}, decided at {decided}");
        assert_eq!(requires_consent.as_deref(), (trigger == "cart_reminder").then_some("marketing"));
    }
    server.stop();
}

const FAILED: &str = r#"
[sequences]
failed = "sequence(step('Payment Failed'), at_least(2, step('Payment Failed', within => '10 min')), over => '1 day')"
of_card = "sequence(step('Payment Failed'), at_least(2, step('Payment Failed', within => '10 min')), over => '1 day', same => properties.card)"
left = "sequence(step('Product Added'), absent('Order Completed', within => '1 s'), over => '1 day')"
[triggers.alert]
on = "failed completed"
destinations = ["push"]
identifiers = ["user_id"]
payload = { at = "occurred_at" }
[triggers.card_alert]
on = "of_card completed"
destinations = ["email"]
identifiers = ["user_id"]
[triggers.abandoned]
on = "left completed"
destinations = ["email"]
identifiers = ["user_id"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn events_complete_one_sequence_only() {
    let world = TriggerWorld::new(FAILED).await;
    let server = world.start_known().await;
    let now = now_ms();
    let failed = |user: &str, number: u64, card: &str| {
        track(user, "Payment Failed", now - 60_000 + number, json!({ "card": card }))
    };
    // Found: whose, first, last; by how many milliseconds they are numbered.
    let spans = |trigger: &str| {
        let of = |told: &super::ToldMessage| {
            let cause = &told.message.cause;
            let number = |ms: u64| ms + 60_000 - now;
            (told.message.identifiers[0].clone(), number(cause.first), number(cause.last))
        };
        let mut spans: Vec<_> =
            world.messages().iter().filter(|told| told.message.trigger == trigger).map(of).collect();
        spans.sort();
        spans
    };
    let span = |user: &str, first: u64, last: u64| (format!("user_id:{user}"), first, last);
    for number in 1..=3 {
        server.take(&[failed("ann", number, "a")]).await;
    }
    // All at one tick.
    server
        .take(&(1..=7).map(|number| failed("bob", number, ["a", "b"][number as usize % 2])).collect::<Vec<_>>())
        .await;
    world.settle(&server).await;
    assert_eq!(spans("alert"), [span("ann", 1, 3), span("bob", 1, 3), span("bob", 4, 6)]);
    assert_eq!(spans("card_alert"), [span("ann", 1, 3), span("bob", 1, 5), span("bob", 2, 6)]);
    // Two more are too few, and one between those that fired, which comes late, is among them.
    for number in [4, 5] {
        server.take(&[failed("ann", number, "a")]).await;
    }
    server.take(&[track("ann", "Payment Failed", now - 60_000 + 2, json!({"card": "a"}))]).await;
    world.settle(&server).await;
    assert_eq!(spans("alert").len(), 3, "{:?}", world.lines());
    // The third one makes another alert; of another card it is no card's third.
    server.take(&[failed("ann", 6, "b")]).await;
    world.settle(&server).await;
    assert_eq!(spans("alert"), [span("ann", 1, 3), span("ann", 4, 6), span("bob", 1, 3), span("bob", 4, 6)]);
    assert_eq!(spans("card_alert").len(), 3);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_follow_in_time_is_told_when_the_time_is_over() {
    let world = TriggerWorld::new(FAILED).await;
    let server = world.start_known().await;
    let now = now_ms();
    let token = server
        .take(&[
            track("ann", "Product Added", now - 200, json!({})),
            track("bob", "Product Added", now - 2_000, json!({})),
            track("bob", "Order Completed", now - 1_001, json!({})),
            track("cid", "Product Added", now - 3_000, json!({})),
            track("cid", "Order Completed", now - 1_999, json!({})),
        ])
        .await;
    world.settle_after(&server, now + 1_000).await;
    // An order that comes too late takes nothing back, and nothing is told again.
    server.take(&[track("ann", "Order Completed", now, json!({}))]).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), ["email abandoned [user_id:ann] {}", "email abandoned [user_id:cid] {}"]);
    let of = |user: &str| world.messages().into_iter().find(|told| told.message.identifiers == [user]).unwrap().message;
    let cid = of("user_id:cid");
    assert_eq!((cid.decided, cid.cause.first, cid.cause.last), (token, now - 3_000, now - 3_000));
    let ann = of("user_id:ann");
    assert_eq!(ann.cause, MessageCause { on: "left completed".into(), first: now - 200, last: now - 200 });
    assert_eq!(ann.decided, token.max(now + 800));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firing_sets_off_another_trigger() {
    let world = TriggerWorld::new(
        r#"
[traits]
confirmations = "count('order_confirmation fired')"
spent = "sum('order_confirmation fired', properties.total)"
[triggers.order_confirmation]
on = "Order Completed"
destinations = ["email"]
payload = { order = "event.properties.order_id", total = "event.properties.total" }
[triggers.big]
on = "order_confirmation fired"
when = "event.properties.total > 5"
destinations = ["push"]
identifiers = ["user_id"]
payload = { order = "event.properties.order", total = "event.properties.total", so_far = "count('order_confirmation fired')", at = "occurred_at" }
[triggers.third]
on = "big fired"
at_most = "2 per 24 h"
destinations = ["push"]
payload = { order = "event.properties.order" }
"#,
    )
    .await;
    let server = world.start_known().await;
    let now = now_ms();
    let mut token = 0;
    for order in 1..=5_u64 {
        let properties = json!({"order_id": order, "total": if order == 2 { 1 } else { 10 * order }});
        token = server.take(&[track("ann", "Order Completed", now, properties)]).await;
        world.settle(&server).await;
    }
    let messages = world.messages();
    let of = |trigger: &str| -> Vec<&TriggerMessage> {
        messages.iter().map(|told| &told.message).filter(|message| message.trigger == trigger).collect()
    };
    let orders = |trigger: &str| {
        of(trigger).iter().map(|message| message.payload["order"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(orders("order_confirmation"), [1, 2, 3, 4, 5]);
    assert_eq!(orders("big"), [1, 3, 4, 5]);
    assert_eq!(orders("third"), [1, 3]);
    let (first, second) = (of("order_confirmation")[2], of("big")[1]);
    assert_eq!(second.payload, map(json!({"order": 3, "total": 30, "so_far": 3, "at": at(first.decided)})));
    assert_eq!(
        second.cause,
        MessageCause { on: "order_confirmation fired".into(), first: first.decided, last: first.decided }
    );
    assert_eq!(second.message_id, format!("big/{}-{}.0.{}", first.decided, first.as_of, first.index));
    assert_eq!(second.decided, first.as_of, "at once, when the record is there");
    let profile = server.profile("user_id:ann", token).await;
    assert_eq!(profile["traits"], json!({"confirmations": 5, "spent": 10 + 1 + 30 + 40 + 50}));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_send_what_is_derived() {
    let world = TriggerWorld::new(
        r#"
[sessions.visit]
gap = "1 s"
events = ["page"]
[sequences]
failed = "sequence(step('A'), step('B', within => '1 min'), over => '1 day')"
[traits]
fired = "count('cart_reminder fired')"
sent = "count('track:cart_reminder fired')"
[triggers.cart_reminder]
on = "visit ended"
destinations = ["email"]
[triggers.alert]
on = "failed completed"
destinations = ["email"]
[triggers.after]
on = "cart_reminder fired"
destinations = ["email"]
[triggers.of_sender]
on = "track:visit ended"
destinations = ["push"]
identifiers = ["user_id"]
payload = { n = "event.properties.n" }
"#,
    )
    .await;
    let server = world.start(&[]).await;
    let firing = json!({"firing": {"trigger": "cart_reminder", "cause": "visit ended", "holder": "user_id:ann", "to": ["email"],
        "span": "1-2.0.0..1-2.0.0", "due": now_ms()}});
    let mut events = Vec::new();
    for (n, name) in ["visit ended", "failed completed", "cart_reminder fired", "alert fired"].into_iter().enumerate() {
        let mut event = track("ann", name, now_ms(), json!({ "n": n }));
        event["context"] = firing.clone();
        events.push(event.clone());
        event["messageId"] = format!("cart_reminder/{n}").into();
        event["source"] = ":firings".into();
        events.push(event);
    }
    let token = server.take(&events).await;
    world.settle(&server).await;
    assert_eq!(world.lines(), ["push of_sender [user_id:ann] {\"n\":0}"; 2]);
    assert_eq!(server.profile("user_id:ann", token).await["traits"], json!({"fired": 0, "sent": 2}));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_fires_once() {
    let world = TriggerWorld::new(
        r#"
[triggers.order_confirmation]
on = "Order Completed"
destinations = ["email"]
payload = { n = "event.properties.n" }
[triggers.twice_a_day]
on = "Order Completed"
at_most = "2 per 24 h"
destinations = ["push"]
"#,
    )
    .await;
    let order = |n: u64| {
        let mut event = track("ann", "Order Completed", now_ms(), json!({ "n": n }));
        event["messageId"] = format!("m{n}").into();
        event
    };
    for round in 0..2 {
        let server = world.start(&[]).await;
        for _ in 0..2 {
            let answer = server.post("/v1/batch", &json!({"batch": [order(0), order(0), order(1 + round)]})).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            world.settle(&server).await;
        }
        // As `kill -9`.
        drop(server);
    }
    let server = world.start(&[]).await;
    world.settle(&server).await;
    let confirmed = |n: u64| format!("email order_confirmation [] {{\"n\":{n}}}");
    let expected: Vec<String> = (0..3).map(confirmed).chain(["push twice_a_day [] {}"; 2].map(str::to_owned)).collect();
    assert_eq!(world.lines(), expected);
    server.stop();
}
