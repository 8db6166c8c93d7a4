//! What a hostile sender could send to the real program: each thing has a clear answer, memory stays bounded, nothing panics,
//! and a good event is still taken afterwards.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::program::{Server, project};

/// Limits as large as somebody could want them, so that what is behind them is reached.
const PROJECT: &str = r#"
name = "hostile"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
orders = "count('Order Completed')"
total = "sum('Order Completed', properties.total)"
note = "last('Order Completed', properties.note)"
deep = "last('Order Completed', properties.a.b.c)"
[limits]
event_bytes_max = 2000000
request_bytes_max = 2000000
"#;

/// More than the program takes for all that is here together; without a bound one bomb takes a thousand.
const MEMORY_GROWTH_KB_MAX: u64 = 200_000;

struct World {
    server: Server,
    _folder: TempDir,
    memory_kb: u64,
}

impl World {
    async fn new() -> Self {
        let folder = project(PROJECT);
        let server = Server::start(folder.path(), &[], &[]).await;
        let memory_kb = server.peak_memory_kb();
        World { server, _folder: folder, memory_kb }
    }

    /// Sends bytes on a connection of its own, and reads what comes: statuses and codes.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.server.url().trim_start_matches("http://")).unwrap();
        // Who answers early may close before all is sent.
        _ = stream.write_all(request);
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let mut words = Vec::new();
        for line in answer.split("HTTP/1.").skip(1) {
            let body = line.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let json: Value = serde_json::from_str(body.trim()).unwrap_or_default();
            let status = line.split(' ').nth(1).unwrap_or_default();
            words.push([status, json["code"].as_str().unwrap_or_default()].join(" ").trim().to_owned());
        }
        words.join(", ")
    }

    fn post(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// The members of an order of this user.
    fn order(&self, user: &str, members: &str) -> String {
        let order = format!(r#"{{"event":"Order Completed","userId":"{user}"{members}}}"#);
        self.post("/v1/track", "", order.as_bytes())
    }

    async fn traits(&self, user: &str) -> Value {
        let token = self.server.take(&[json!({"type": "page", "userId": "fence"})]).await;
        self.server.profile(&format!("user_id:{user}"), token).await["traits"].clone()
    }

    /// That the program is as well as before.
    async fn end(self) {
        assert_eq!(self.order("well", ""), "200");
        assert_eq!(self.traits("well").await["orders"], 1);
        let grown = self.server.peak_memory_kb().saturating_sub(self.memory_kb);
        println!("peak memory has grown by {grown} KB");
        assert!(grown < MEMORY_GROWTH_KB_MAX, "{grown} KB");
        let ended = self.server.stop();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_nobody_writes() {
    let world = World::new().await;
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
    let world = World::new().await;
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

/// So many megabytes of zeros: members of one megabyte, one after the other.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 1_000_000]).unwrap();
    gzip.finish().unwrap().repeat(megabytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    let world = World::new().await;
    let bomb = bomb(1_000);
    assert!(bomb.len() < 2_000_000, "it passes as it comes: {}", bomb.len());
    let chunked = {
        let mut request =
            b"POST /v1/batch HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n\
            content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for part in bomb.chunks(10_000) {
            request.extend(format!("{:x}\r\n", part.len()).bytes());
            request.extend(part);
            request.extend(b"\r\n");
        }
        [request, b"0\r\n\r\n".to_vec()].concat()
    };
    block_in_place(|| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(world.post("/v1/track", "content-encoding: gzip\r\n", &bomb), "400 request_too_large");
                    assert_eq!(world.raw(&chunked), "400 request_too_large");
                });
            }
        });
    });
    let twice = "content-encoding: gzip\r\ncontent-encoding: gzip\r\n";
    assert_eq!(world.post("/v1/track", twice, &bomb), "400 request_too_large");
    assert_eq!(world.post("/v1/track", "content-encoding: gzip, gzip\r\n", &bomb), "415 unknown_encoding");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_lie() {
    let world = World::new().await;
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
    check("content-length: 9223372036854775807\r\n", body, "400 request_too_large");
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
