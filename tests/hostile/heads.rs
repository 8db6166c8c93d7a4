//! Lengths and encodings that lie, and requests that are none.

use super::HostileWorld;

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_lie() {
    let world = HostileWorld::new().await;
    let body = r#"{"event":"Order Completed","userId":"liar"}"#;
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let whole = |headers: &str, body: &str| {
        let start = "POST /v1/track HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n";
        world.raw(format!("{start}{headers}\r\n{body}").as_bytes())
    };
    let check = |headers: &str, body: &str, expected: &str| {
        assert_eq!(whole(headers, body), expected, "{headers:?} {body:.60}");
    };
    check(&format!("content-length: {length}\r\n"), body, "200");
    check("content-length: 5\r\n", body, "400 not_json");
    check("", body, "400 not_json");
    for wrong in ["-1", "+43", "0x2b", "43,44", "", "4 3", "99999999999999999999999999", "43\r\ncontent-length: 44"] {
        check(&format!("content-length: {wrong}\r\n"), body, "400");
    }
    check("content-length: 9223372036854775807\r\n", body, "413 request_too_large");
    check("content-length: 18446744073709551614\r\n", body, "431");

    check("transfer-encoding: chunked\r\n", &chunked, "200");
    check("transfer-encoding: Chunked\r\n", &chunked, "200");
    for wrong in
        ["xchunked", "identity", "gzip", "chunked, gzip", "chunked\r\ntransfer-encoding: identity", "\x0bchunked"]
    {
        check(&format!("transfer-encoding: {wrong}\r\n"), &chunked, "400");
    }
    for wrong in [
        "-1\r\nx\r\n0\r\n\r\n",
        "xyz\r\n",
        "FFFFFFFFFFFFFFFFF\r\nx",
        "5\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\n{}\n0\n\n",
    ] {
        check("transfer-encoding: chunked\r\n", wrong, "400 body_cut_off");
    }
    let extension = format!("{length:x};{}\r\n{body}\r\n0\r\n\r\n", "x".repeat(100_000));
    check("transfer-encoding: chunked\r\n", &extension, "400 body_cut_off");
    let trailers = format!("{length:x}\r\n{body}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    check("transfer-encoding: chunked\r\n", &trailers, "400 body_cut_off");

    for start in ["GET / HTTP/9.9", "PRI * HTTP/2.0", "POST", "\0", "POST /v1/track", "POST /\u{7f} HTTP/1.1"] {
        let answer = world.raw(format!("{start}\r\nhost: t\r\n\r\n").as_bytes());
        assert!(["400", "404 no_such_address", ""].contains(&answer.as_str()), "{start:?}: {answer}");
    }
    let many: String = (0..5_000).map(|n| format!("x{n}: y\r\n")).collect();
    assert_eq!(world.raw(format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes()), "431");
    world.end().await;
}
