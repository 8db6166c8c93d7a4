//! From an event to the change of an audience at a destination, and back.

use std::collections::BTreeSet;

use deltaic::receive::server::{ReceivedAction, ReceivedChange};
use serde_json::{Value, json};

use super::{ServedShop, identify, is, lines, track, with};
use crate::program::until;

fn order(who: Value) -> Value {
    track("Order Completed", who, json!({"total": 5}))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_listed_leaves() {
    let shop = ServedShop::open(&[]).await;
    let who = json!({"userId": "ann", "context": {"device": {"id": "phone-1"}}});
    let ann = with(identify(who, json!({"email": "ann@b.org", "city": "Berlin", "salary": 1})), json!({}));
    let token = shop.server.take(&[ann, order(json!({"userId": "ann"}))]).await;
    let changes = shop.fence("fence").await;
    let expected = ReceivedChange {
        audience: "buyers".into(),
        action: ReceivedAction::Add,
        identifiers: vec!["email:ann@b.org".into(), "user_id:ann".into()],
        traits: json!({"city": "Berlin", "orders": 1}).as_object().unwrap().clone(),
        as_of: token,
    };
    // To the destination `crm` alone: Ann has not consented to `ads`.
    assert_eq!(changes, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_trait_that_changes_is_told_again() {
    let shop = ServedShop::open(&[]).await;
    shop.server.take(&[order(json!({"userId": "ann"}))]).await;
    shop.fence("one").await;
    shop.server.take(&[order(json!({"userId": "ann"}))]).await;
    let changes = shop.fence("two").await;
    assert_eq!(lines(&changes), ["add buyers user_id:ann", "add buyers user_id:ann"]);
    assert_eq!(changes[1].traits["orders"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_page_by_page() {
    let ServedShop { server, .. } = ServedShop::open(&["--workers", "3"]).await;
    let orders: Vec<Value> = (0..25).map(|user| order(json!({ "userId": format!("u{user}") }))).collect();
    let token = server.take(&orders).await;
    assert_eq!(server.size("buyers", token).await, 25);
    let (mut pages, mut ids, mut users, mut cursor) = (Vec::new(), Vec::new(), BTreeSet::new(), String::new());
    loop {
        let path = format!("/v1/audiences/buyers/members?after={token}&wait_ms=30000&limit=10{cursor}");
        let page = server.get(&path).await.json();
        assert!(page["as_of"].as_u64() >= Some(token), "{page}");
        let members = page["members"].as_array().unwrap();
        pages.push(members.len());
        ids.extend(members.iter().map(|member| member["id"].as_str().unwrap().to_owned()));
        users.extend(members.iter().map(|member| member["identifiers"][0].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, [10, 10, 5]);
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(users, (0..25).map(|user| format!("user_id:u{user}")).collect());
}

/// The second page of an audience ended the engine where some batch of memberships had nothing of that audience.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_audience_in_which_nothing_has_changed_lately() {
    let ServedShop { server, .. } = ServedShop::open(&[]).await;
    for number in 0..5 {
        let who = json!({ "userId": format!("u{number}") });
        server.take(&[track("Product Viewed", who.clone(), json!({})), track("Product Viewed", who, json!({}))]).await;
        let buyer = json!({ "userId": format!("b{number}") });
        let token = server.take(&[order(buyer)]).await;
        let first = format!("/v1/audiences/viewers/members?limit=1&after={token}&wait_ms=30000");
        let (mut page, mut shown) = (server.get(&first).await.json(), 1);
        while let Some(next) = page["next"].as_str() {
            page = server.get(&format!("/v1/audiences/viewers/members?limit=1&cursor={next}")).await.json();
            shown += page["members"].as_array().unwrap().len();
        }
        assert_eq!(shown, number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_ends_without_an_event() {
    let shop = ServedShop::open(&[]).await;
    let now = jiff::Timestamp::now();
    let added = track("Product Added", json!({"userId": "ann"}), json!({}));
    let token = shop.server.take(&[with(added, json!({"timestamp": now.to_string()}))]).await;
    let changes = until(&shop.receiver, "entry and exit", |changes| changes.len() == 2).await;
    assert_eq!(lines(&changes), ["add active user_id:ann", "delete active user_id:ann"]);
    // The window of one second has a grain of one millisecond, so its end is exact.
    let end = now.as_millisecond().unsigned_abs() + 1_000;
    assert_eq!((changes[0].as_of, changes[1].as_of), (token, end));
    assert_eq!(shop.server.size("active", end).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_a_device_along_and_a_later_one_takes_it_away() {
    for workers in ["1", "3"] {
        let shop = ServedShop::open(&["--workers", workers]).await;
        let at = |second: u32| json!({"timestamp": format!("2026-01-01T00:00:{second:02}Z")});
        let on = |user: &str| json!({"userId": user, "anonymousId": "web-1"});
        let login = |user: &str, second| with(identify(on(user), json!({})), at(second));
        let view = |second| with(track("Product Viewed", json!({"anonymousId": "web-1"}), json!({})), at(second));
        shop.server.take(&[view(1), view(2)]).await;
        assert_eq!(lines(&shop.fence("f1").await), ["add viewers anonymous_id:web-1"]);

        let token = shop.server.take(&[login("ann", 3)]).await;
        let told = shop.fence("f2").await.split_off(1);
        assert_eq!(lines(&told), ["add viewers user_id:ann"], "the device is there already");
        let ann = shop.server.profile("user_id:ann", token).await;
        assert_eq!(ann["identifiers"], json!(["anonymous_id:web-1", "user_id:ann"]));

        let token = shop.server.take(&[login("bob", 4)]).await;
        let told = shop.fence("f3").await.split_off(2);
        let told: BTreeSet<String> = lines(&told).into_iter().collect();
        assert_eq!(told, ["add viewers user_id:bob", "delete viewers user_id:ann"].map(str::to_owned).into());
        let (left, taken) =
            (shop.server.profile("user_id:ann", token).await, shop.server.profile("user_id:bob", 0).await);
        assert_eq!((&left["identifiers"], &left["traits"]["views"]), (&json!(["user_id:ann"]), &json!(0)));
        assert_eq!((&taken["traits"]["views"], &taken["audiences"]), (&json!(2), &json!(["viewers"])));
        assert_eq!(shop.server.size("viewers", token).await, 1);

        let token = shop.server.take(&[login("ann", 5)]).await;
        let told = shop.fence("f4").await.split_off(4);
        let told: BTreeSet<String> = lines(&told).into_iter().collect();
        assert_eq!(told, ["add viewers user_id:ann", "delete viewers user_id:bob"].map(str::to_owned).into());
        assert_eq!(shop.server.profile("user_id:ann", token).await, ann, "as if Bob had never been there");
        // A login of before, which arrives now, changes nothing.
        let token = shop.server.take(&[login("bob", 2)]).await;
        assert_eq!(shop.server.profile("anonymous_id:web-1", token).await, ann);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdraws_consent_leaves_and_who_never_gave_it_does_not_come() {
    let shop = ServedShop::open(&[]).await;
    let consent = |given: bool| json!({"context": {"consent": {"categoryPreferences": {"ads": given}}}});
    let person = |name: &str| identify(json!({"userId": name}), json!({"email": format!("{name}@b.org")}));
    let at_ads = |changes: Vec<ReceivedChange>| {
        // The other destination lists user ids too, so it tells of both at once.
        lines(&changes).into_iter().filter(|line| !line.contains("user_id")).collect::<Vec<_>>()
    };
    shop.server.take(&[with(person("ann"), consent(true)), with(person("bob"), consent(false))]).await;
    shop.server.take(&["ann", "bob", "cid"].map(|name| order(json!({ "userId": name })))).await;
    assert_eq!(at_ads(shop.fence("f1").await), ["add buyers email:ann@b.org"]);

    let token = shop.server.take(&[with(person("ann"), consent(false))]).await;
    let changes = shop.fence("f2").await;
    let delete = changes.iter().find(|change| is(change, ReceivedAction::Delete, "buyers", "email:ann@b.org")).unwrap();
    assert_eq!((delete.as_of, delete.traits.len()), (token, 0));
    assert_eq!(at_ads(changes), ["add buyers email:ann@b.org", "delete buyers email:ann@b.org"]);
    assert_eq!(shop.server.profile("user_id:ann", token).await["consent"], json!({"ads": false}));

    shop.server.take(&[order(json!({"userId": "ann"}))]).await;
    assert_eq!(at_ads(shop.fence("f3").await).len(), 2, "nothing more leaves");
    let state = shop.receiver.state();
    let emails: Vec<&String> = state["ads"].values().flat_map(|members| members.keys()).collect();
    assert_eq!(emails, ["email:f1@fence.org", "email:f2@fence.org", "email:f3@fence.org"]);
    assert!(state["crm"]["buyers"].contains_key("email:ann@b.org"), "consent to `ads` is no matter of `crm`");
}
