//! What browsers ask before they send, and what they let a page see.

use super::*;

const PAGE_OF_SHOP: (&str, &str) = ("origin", "https://shop.example");

/// Whether a line of the head is there.
#[track_caller]
fn check_head(reply: &TestReply, line: &str) {
    assert!(reply.head.lines().any(|known| known == line), "no {line:?} in {}", reply.head);
}

/// Each library asks for headers of its own: analytics.js plain and when it tries again, RudderStack's, and any other.
#[tokio::test]
async fn a_preflight_is_allowed_what_it_asks_for() {
    let (setup, _) = HttpSetup::accepting().await;
    for asked in [
        "authorization,content-type",
        "content-type,x-retry-count",
        "anonymousid,authorization,content-type,sentat",
        "anonymousid,authorization,content-type,rsa-attempt-count,rsa-retry-reason,sentat",
        "x-anything",
    ] {
        for address in ["/v1/t", "/v1/batch", "/v1/track/"] {
            let headers =
                [PAGE_OF_SHOP, ("access-control-request-method", "POST"), ("access-control-request-headers", asked)];
            let reply = setup.server.send(&request("OPTIONS", address, &headers, b"")).await;
            assert_eq!(reply.status, 200);
            check_head(&reply, "access-control-allow-origin: *");
            check_head(&reply, "access-control-allow-methods: post");
            check_head(&reply, &format!("access-control-allow-headers: {asked}"));
            check_head(&reply, "access-control-max-age: 86400");
            assert!(!reply.head.contains("credentials"), "{}", reply.head);
        }
    }
    let reply = setup.server.send(&request("OPTIONS", "/v1/t", &[PAGE_OF_SHOP], b"")).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.head.contains("access-control-allow-headers"), "nothing was asked for: {}", reply.head);
}

/// A page sees an answer only where that says so; else its library takes it for an outage.
#[tokio::test]
async fn a_page_sees_every_status() {
    let (mut setup, _) = HttpSetup::accepting().await;
    let with = |more: &[(&'static str, &'static str)]| [&[PAGE_OF_SHOP][..], more].concat();
    let big = "x".repeat(40_001);
    for (method, address, headers, body, status) in [
        ("POST", "/v1/page", with(&[KEY]), PAGE, 200),
        ("POST", "/v1/page", with(&[KEY]), "{", 400),
        ("POST", "/v1/page", with(&[]), PAGE, 401),
        ("GET", "/v1/page", with(&[]), "", 405),
        ("POST", "/v1/page", with(&[KEY]), &big, 413),
        ("POST", "/v1/page", with(&[KEY, ("content-encoding", "br")]), PAGE, 415),
    ] {
        let reply = setup.server.send(&request(method, address, &headers, body.as_bytes())).await;
        assert_eq!(reply.status, status, "{reply:?}");
        check_head(&reply, "access-control-allow-origin: *");
        check_head(&reply, "access-control-expose-headers: retry-after");
    }
    let timeouts = Timeouts { receipt: SHORT, body_read: SHORT, ..Timeouts::default() };
    setup = super::setup(timeouts, 100).await;
    let headers = with(&[KEY]);
    let mut stream = setup.server.connect().await;
    let page = request("POST", "/v1/page", &headers, PAGE.as_bytes());
    stream.write_all(&page[..page.len() - 1]).await.unwrap();
    let slow = read(stream).await;
    let four = format!(r#"{{"batch":[{}]}}"#, [r#"{"type":"page","userId":1}"#; 4].join(","));
    let batch = request("POST", "/v1/batch", &headers, four.as_bytes());
    let (no_receipt, busy) = (setup.server.send(&batch).await, setup.server.send(&batch).await);
    drop(setup.submissions.take());
    let stopping = setup.server.send(&page).await;
    for (reply, status) in [(slow, 408), (no_receipt, 504), (busy, 429), (stopping, 503)] {
        assert_eq!(reply.status, status, "{reply:?}");
        check_head(&reply, "access-control-allow-origin: *");
    }
}
