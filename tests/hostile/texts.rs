//! JSON that nobody writes, and bytes that are no text.

use serde_json::json;

use super::HostileWorld;

#[tokio::test(flavor = "multi_thread")]
async fn json_that_nobody_writes() {
    let world = HostileWorld::new().await;
    let n = 100_000;
    let open = |inner: &str, what: &str| format!("{}{inner}{}", what.repeat(n), "]".repeat(n));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
    let keys: String = (0..n).map(|key| format!(r#","k{key}":{key}"#)).collect();
    let long = "x".repeat(1_000_000);
    let digits = "9".repeat(n);
    let check = |user: &str, members: &str, expected: &str| {
        assert_eq!(world.order(user, members), expected, "{user} {members:.100}");
    };
    // Depth costs nothing where nobody looks.
    check("deep", &format!(r#","properties":{{"note":"n","x":{}}}"#, open("", "[")), "200");
    check("deep", &format!(r#","properties":{{"a":{objects}}},"context":{objects},"x":{objects}"#), "200");
    check("deep", &format!(r#","properties":{}"#, "[".repeat(n)), "400 not_json");
    let identify = format!(r#"{{"userId":"deep","traits":{objects}}}"#);
    assert_eq!(world.post("/v1/identify", "", identify.as_bytes()), "200");
    for (body, expected) in [
        (format!(r#"{{"batch":{}}}"#, open("", "[")), "400 not_an_object"),
        (format!(r#"{{"batch":{}"#, "[".repeat(n)), "400 not_json"),
        (open("", "["), "400 not_a_batch"),
        ("[".repeat(n), "400 not_json"),
        (objects.clone(), "400 not_a_batch"),
    ] {
        assert_eq!(world.post("/v1/batch", "", body.as_bytes()), expected, "{body:.50}");
    }
    assert_eq!(world.traits("deep").await["orders"], 2);

    check("many", &format!(r#","properties":{{"total":1{keys}}}"#), "200");
    check("many", &format!(r#","traits":{{"x":1{keys}}}"#), "200");
    let identify = format!(r#"{{"userId":"many","traits":{{"x":1{keys}}}}}"#);
    assert_eq!(world.post("/v1/identify", "", identify.as_bytes()), "400 too_many_attributes");
    check("long", &format!(r#","properties":{{"note":"{long}"}}"#), "200");
    check(&long, "", "400 identifier_too_long");
    check("long", &format!(r#","messageId":"{long}""#), "400 message_id_too_long");
    check("long", &format!(r#","properties":{{"{long}":1}}"#), "200");
    assert_eq!(world.order("long", &format!(r#","event":"{}""#, "e".repeat(100_000))), "200");

    // Numbers that no float can hold are missing; those that are only written long are what they are.
    check("number", r#","properties":{"total":1e400}"#, "200");
    check("number", &format!(r#","properties":{{"total":{digits}}}"#), "200");
    check("number", &format!(r#","properties":{{"total":2.{}}}"#, "0".repeat(n)), "200");
    check("number", r#","properties":{"total":-1e-400}"#, "200");
    check("number", &format!(r#","properties":{{"total":1e{digits}}}"#), "200");
    check("number", r#","properties":{"total":NaN}"#, "400 not_json");
    check("number", r#","properties":{"total":Infinity}"#, "400 not_json");
    check("number", r#","properties":{"total":01}"#, "400 not_json");
    check("number", &format!(r#","timestamp":{digits}"#), "400 bad_time");
    check("number", &format!(r#","userId":{digits}"#), "400 identifier_too_long");
    assert_eq!(world.traits("number").await, json!({"orders": 5, "total": 2}));

    // Of two the later counts.
    check("twice", r#","properties":{"total":1,"total":2},"properties":{"total":3,"total":4}"#, "200");
    check("first", r#","userId":"second","event":"Fence","event":"Order Completed""#, "200");
    check("second", r#","userId":null"#, "200");
    assert_eq!(world.traits("twice").await["total"], 4);
    assert_eq!(world.traits("second").await["orders"], 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_none() {
    let world = HostileWorld::new().await;
    let bytes = |body: &[u8]| world.post("/v1/track", "", body);
    let head = br#"{"event":"Order Completed","userId":"text","properties":{"note":""#;
    for (inside, expected) in [
        (&b"\xff"[..], "400 not_json"),
        (b"\xc0\x80", "400 not_json"),
        (b"\xed\xa0\x80", "400 not_json"),
        (b"\0", "400 not_json"),
        (b"\x1b[2J", "400 not_json"),
        (b"\\u0000", "200"),
        (b"\\ud800", "200"),
        (b"\\udc00\\ud800", "200"),
        (b"\\ud83d\\ude00", "200"),
        (b"\\x", "400 not_json"),
        (b"\\u12", "400 not_json"),
    ] {
        assert_eq!(bytes(&[head, inside, b"\"}}"].concat()), expected, "{}", String::from_utf8_lossy(inside));
    }
    // Half a pair is no text: the event counts, and its note is missing. The last one with a note is that with the smiley.
    let traits = world.traits("text").await;
    assert_eq!((&traits["orders"], &traits["note"]), (&json!(4), &json!("\u{1f600}")));
    assert_eq!(world.order("\\ud800", ""), "400 no_identifier");
    assert_eq!(world.order("a\\u0000b", ""), "200");
    assert_eq!(world.traits("a%00b").await["orders"], 1);
    assert_eq!(bytes(b"\xef\xbb\xbf{}"), "400 not_json");
    world.end().await;
}
