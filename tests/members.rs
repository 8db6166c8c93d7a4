//! The members of an audience read page by page over HTTP, while people log in: each member of one tick once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::hosts;
use crate::program::{DEADLINE, READ_TOKEN, ServerProcess, project};

const PROJECT: &str = r#"
name = "members"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[audiences.buyers]
when = "count('Order') > 0"
"#;

/// Members that there are at the beginning.
const MEMBERS: usize = 60;

/// Members of a page.
const PAGE: usize = 7;

fn order(visitor: usize) -> Value {
    json!({"type": "track", "event": "Order", "anonymousId": format!("a{visitor}")})
}

/// Reads all pages, from each server in turn; between them some of the members log in, and others come.
async fn check(servers: &[&ServerProcess]) {
    let mut token = 0;
    for visitor in 0..MEMBERS {
        token = servers[visitor % servers.len()].take(&[order(visitor)]).await;
    }
    let first = format!("/v1/audiences/buyers/members?limit={PAGE}&after={token}&wait_ms=30000");
    let mut page = servers[0].get(&first).await.json();
    let as_of = page["as_of"].clone();
    let (mut shown, mut pages): (Vec<String>, usize) = (Vec::new(), 0);
    loop {
        assert_eq!(page["as_of"], as_of);
        for member in page["members"].as_array().unwrap() {
            shown.extend(member["identifiers"].as_array().unwrap().iter().map(|of| of.as_str().unwrap().to_owned()));
        }
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        let mut changes: Vec<Value> = (0..10)
            .map(|n| (pages * 10 + n) % MEMBERS)
            .map(|n| json!({"type": "identify", "userId": format!("u{n}"), "anonymousId": format!("a{n}")}))
            .collect();
        changes.extend((0..3).map(|n| order(MEMBERS + 3 * pages + n)));
        token = servers[pages % servers.len()].take(&changes).await;
        // What it said is true when the next page is read.
        for server in servers {
            let user = changes[0]["userId"].as_str().unwrap();
            assert_eq!(
                server.profile(&format!("user_id:{user}"), token).await["identifiers"].as_array().unwrap().len(),
                2
            );
        }
        let path = format!("/v1/audiences/buyers/members?limit={PAGE}&cursor={next}");
        let answer = servers[pages % servers.len()].get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        page = answer.json();
    }
    shown.sort();
    let mut expected: Vec<String> = (0..MEMBERS).map(|n| format!("anonymous_id:a{n}")).collect();
    expected.sort();
    assert_eq!((shown, pages), (expected, MEMBERS.div_ceil(PAGE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_each_member_of_one_tick_once() {
    for workers in ["1", "3"] {
        let folder = project(PROJECT);
        let server = ServerProcess::start(folder.path(), &["--workers", workers], &[]).await;
        check(&[&server]).await;
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_process_of_a_cluster_goes_on_with_a_list() {
    let (folder, hosts) = (project(PROJECT), hosts(2));
    let begin = |process: &str| {
        let arguments = ["--workers", "2", "--process", process, "--hosts", hosts.path().to_str().unwrap()];
        ServerProcess::begin(folder.path(), &arguments, &[])
    };
    let (first, second) = (begin("0"), begin("1"));
    let (first, second) = (first.ready().await, second.ready().await);
    check(&[&first, &second]).await;
    first.terminate();
    second.terminate();
    first.end();
    second.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_ends_with_the_process() {
    let folder = project(&format!("{PROJECT}[storage]\nfolder = \"data\"\n"));
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let token = server.take(&[order(1), order(2)]).await;
    let page = server.get(&format!("/v1/audiences/buyers/members?limit=1&after={token}&wait_ms=30000")).await.json();
    let next = format!("/v1/audiences/buyers/members?limit=1&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(server.get(&next).await.json()["members"].as_array().unwrap().len(), 1);
    server.stop();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let gone = server.get(&next).await;
    assert_eq!(gone.problem(), (410, "list_gone".to_owned()));
    assert!(gone.body.contains("begin again without `cursor`"), "{gone:?}");
    server.stop();
}

/// A read that waits for a tick of the future does not wait for the end of the process, nor the process for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_is_answered_when_the_process_stops() {
    let folder = project(PROJECT);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let token = server.take(&[order(1)]).await;
    let (address, later) = (server.url().trim_start_matches("http://").to_owned(), token + 3_600_000);
    let mut waiting: Vec<TcpStream> = Vec::new();
    for path in ["audiences", "audiences/buyers/members", "profiles/anonymous_id:a1"] {
        let mut connection = TcpStream::connect(&address).unwrap();
        let head = format!(
            "GET /v1/{path}?after={later}&wait_ms=30000 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {READ_TOKEN}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        let began = Instant::now();
        while !is_read(&connection) {
            assert!(began.elapsed() < DEADLINE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waiting.push(connection);
    }
    server.terminate();
    for mut connection in waiting {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the engine is stopping"), "{answer}");
    }
    server.end();
}

/// Whether the other side has read all that was sent: nothing waits in the queues of the system, of either side.
fn is_read(connection: &TcpStream) -> bool {
    let (mine, theirs) = (connection.local_addr().unwrap().port(), connection.peer_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = |of: u16, to: u16| {
        let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let is = |text: &str, port: u16| text.ends_with(&format!(":{port:04X}"));
        let socket = sockets.find(|socket| is(socket[1], of) && is(socket[2], to));
        socket.map(|socket| socket[4].to_owned())
    };
    let empty = Some("00000000:00000000".to_owned());
    queues(mine, theirs) == empty && queues(theirs, mine) == empty
}
