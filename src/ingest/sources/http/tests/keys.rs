//! Where write keys may be, and several of one source.

use super::*;
use crate::http::Admission;
use crate::project::Secret;

const IN_BODY: &str = r#"{"writeKey":"app-key","userId":"1","messageId":"m"}"#;

#[tokio::test]
async fn a_key_may_stand_in_each_place_that_libraries_use() {
    let (setup, events) = HttpSetup::accepting().await;
    let check = async |address: &str, headers: &[(&str, &str)], body: &str, source: &str| {
        let reply = setup.server.send(&request("POST", address, headers, body.as_bytes())).await;
        assert_eq!(reply.status, 200, "{address} {headers:?} {body} {reply:?}");
        let event = events.lock().pop().unwrap();
        assert_eq!(event.source, source, "{address} {headers:?} {body}");
        for key in ["app-key", "web-key"] {
            assert!(!String::from_utf8_lossy(&event.raw).contains(key));
        }
    };
    check("/v1/page", &[("x-write-key", "app-key")], PAGE, "app").await;
    check("/v1/page", &[("x-write-key", " web-key ")], PAGE, "web").await;
    check("/v1/page?writeKey=app-key", &[], PAGE, "app").await;
    check("/v1/page?x=%ff&writeKey=web%2Dkey&y", &[], PAGE, "web").await;
    // A token of somebody in between is none of ours.
    for token in ["Bearer of-a-gateway", "Basic b2YtYS1nYXRld2F5Og==", "Digest x"] {
        check("/v1/page", &[("authorization", token)], IN_BODY, "app").await;
        check("/v1/page", &[("authorization", token), ("x-write-key", "web-key")], PAGE, "web").await;
        check("/v1/page?writeKey=web-key", &[("authorization", token)], PAGE, "web").await;
    }
    // Of several known ones: the header, then the address, then the body.
    check("/v1/page?writeKey=app-key", &[KEY], IN_BODY, "web").await;
    check("/v1/page?writeKey=app-key", &[("x-write-key", "web-key")], IN_BODY, "web").await;
    check("/v1/page?writeKey=web-key", &[], IN_BODY, "web").await;
    check("/v1/page?writeKey=nobodys", &[("x-write-key", "nobodys")], IN_BODY, "app").await;
    for (address, body) in [
        ("/v1/page?writeKey=web", PAGE),
        ("/v1/page?writeKey=", PAGE),
        ("/v1/page?writekey=web-key", PAGE),
        ("/v1/page?writeKey=web", r#"{"writeKey":"web","userId":"1"}"#),
    ] {
        let reply = setup.server.send(&request("POST", address, &[], body.as_bytes())).await;
        assert_eq!(reply.problem(), problem(401, "unknown_write_key"));
        assert!(!reply.body.contains("nobody"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_message_counts_once_whichever_key_of_its_source_it_comes_with() {
    let mut project = example::project();
    for source in &mut project.sources {
        let mut keys = source.kind.write_keys().to_vec();
        keys.push(Secret::new(format!("{}-new", source.name)));
        source.kind = example::sending_with(keys);
    }
    let keys = WriteKeys::new(Admission::new(&project));
    let places: Vec<_> = ["app-key", "app-new", "web-key", "web-new", "web", ""].map(|key| keys.source(key)).into();
    assert_eq!(places, [Some(0), Some(0), Some(1), Some(1), None, None]);
    let (setup, events) = HttpSetup::accepting_of(project).await;
    for key in ["app-key", "app-new", "web-new", "web-key"] {
        assert_eq!(setup.post_with(&[("x-write-key", key)], PAGE).await.status, 200);
    }
    let messages: Vec<u128> = events.lock().iter().map(|event| event.message).collect();
    assert!(messages[0] == messages[1] && messages[2] == messages[3] && messages[0] != messages[2], "{messages:?}");
}
