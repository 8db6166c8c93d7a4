//! Processes that do not go together: both say why, and end with a code of their own; nothing is taken in. And strangers, who do no
//! harm, at the start and later.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;

use super::hosts;
use crate::program::{DEADLINE, EndedProgram, ServerProcess, project};

/// The code of processes that do not go together.
const APART: i32 = 78;

const PROJECT: &str = r#"
name = "cluster"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
admin_token = "admin-token"
[cluster]
token = "${CLUSTER_TOKEN:-a-token-of-the-tests}"
[audiences.all]
when = "count('Seen') >= 1"
"#;

fn begin(folder: &Path, hosts: &NamedTempFile, process: &str, more: &[&str]) -> ServerProcess {
    let arguments = ["--process", process, "--hosts", hosts.path().to_str().unwrap()];
    ServerProcess::begin(folder, &[&arguments[..], more].concat(), &[])
}

/// Each of the two ends with the code, and says what is expected of it.
#[track_caller]
fn check_apart(servers: [ServerProcess; 2], expected: [&str; 2]) {
    for (ended, expected) in servers.map(ServerProcess::failed).iter().zip(expected) {
        let last = ended.said();
        assert_eq!(ended.status.code(), Some(APART), "{}", ended.stderr);
        assert!(last.starts_with("deltaic: ") && last.contains(expected), "{expected:?} is not in {last:?}");
        check_quiet(ended);
    }
}

/// Nothing panicked, and no secret is said.
#[track_caller]
fn check_quiet(ended: &EndedProgram) {
    assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("a-token-of"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_do_not_go_together_say_so_and_end() {
    let one = project(PROJECT);
    let with = |more: &str| project(&format!("{PROJECT}{more}"));
    let audience = with("[audiences.more]\nwhen = \"count('Seen') >= 2\"\n");
    let hosts_of_two = hosts(2);
    let pair = |first: &Path, second: &Path, more: &[&str]| {
        [begin(first, &hosts_of_two, "0", &[]), begin(second, &hosts_of_two, "1", more)]
    };
    check_apart(
        pair(one.path(), audience.path(), &[]),
        [
            "process 1 has another project (audience \"more\" is only there): give all processes the same",
            "process 0 has another project (audience \"more\" is only here): give all processes the same",
        ],
    );
    let window = project(&PROJECT.replace(">= 1", ">= 3"));
    let is_another = "has another project (audience \"all\" is another one)";
    check_apart(pair(one.path(), window.path(), &[]), [is_another; 2]);
    let key = project(&PROJECT.replace("0123456789abcdef", "fedcba9876543210"));
    check_apart(pair(one.path(), key.path(), &[]), ["(the key of [identity] is another one)"; 2]);
    let limits = with("[limits]\nevent_bytes_max = 16_384\n");
    check_apart(pair(one.path(), limits.path(), &[]), ["([limits] is another one)"; 2]);
    check_apart(
        pair(one.path(), one.path(), &["--workers", "2"]),
        ["process 1 has 2 workers, and this has 1", "process 0 has 1 workers, and this has 2"],
    );

    // The lines of the hosts file are the wrong way round for one of them.
    let text = std::fs::read_to_string(hosts_of_two.path()).unwrap();
    let three = hosts(3);
    let swapped = {
        let text = std::fs::read_to_string(three.path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{}\n{}\n{}", lines[1], lines[0], lines[2]).unwrap();
        file
    };
    check_apart(
        [begin(one.path(), &three, "0", &[]), begin(one.path(), &swapped, "2", &[])],
        ["process 2 takes this process, which is process 0, for process 1", "process 0 listens where process 1 should"],
    );
    let longer = {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{text}127.0.0.1:1").unwrap();
        file
    };
    check_apart(
        [begin(one.path(), &hosts_of_two, "0", &[]), begin(one.path(), &longer, "1", &[])],
        ["process 1 is one of 3, and this is one of 2", "process 0 is one of 2, and this is one of 3"],
    );
}

#[test]
fn a_cluster_on_several_machines_has_a_token() {
    let folder = project(&PROJECT.replace("token = \"${CLUSTER_TOKEN:-a-token-of-the-tests}\"", ""));
    let mut hosts = NamedTempFile::new().unwrap();
    writeln!(hosts, "127.0.0.1:1\n10.0.0.1:1").unwrap();
    let refused = begin(folder.path(), &hosts, "0", &[]);
    let said = refused.program().end().stderr;
    assert!(said.contains("has no token") && said.contains("openssl rand -hex 32"), "{said}");
}

/// Reads until the other side closes.
fn until_closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut block = [0; 4_096];
    loop {
        match stream.read(&mut block) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("a stranger is not let go"),
            Ok(0) | Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_no_harm_at_the_start_and_later() {
    let (one, hosts) = (project(PROJECT), hosts(2));
    let text = std::fs::read_to_string(hosts.path()).unwrap();
    let addresses: Vec<&str> = text.lines().collect();
    let strangers = |address: &str| -> Vec<TcpStream> {
        let connect = || loop {
            if let Ok(connection) = TcpStream::connect(address) {
                break connection;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut strangers = vec![connect()];
        drop(connect());
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 8], b"deltaic cluster \0\x02", &[0xff; 1 << 20]] {
            let mut stranger = connect();
            stranger.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            // It may be let go before it has said all.
            _ = stranger.write_all(said);
            strangers.push(stranger);
        }
        strangers
    };
    let first = begin(one.path(), &hosts, "0", &[]);
    let early = tokio::task::block_in_place(|| strangers(addresses[0]));
    // One that does not know the token is told so, and tries on.
    let other = project(&PROJECT.replace("a-token-of-the-tests", "another-token-of-some"));
    let wrong = begin(other.path(), &hosts, "1", &[]);
    wrong.says("it has another token: give all processes the same `token` in [cluster]");
    wrong.kill();
    let second = begin(one.path(), &hosts, "1", &[]);
    let (first, second) = (first.ready().await, second.ready().await);
    let late: Vec<TcpStream> =
        tokio::task::block_in_place(|| addresses.iter().flat_map(|address| strangers(address)).collect());
    let seen = |user: &str| json!({"type": "track", "event": "Seen", "userId": user});
    let token = first.take(&[seen("a")]).await.max(second.take(&[seen("b")]).await);
    assert_eq!(second.profile("user_id:a", token).await["audiences"], json!(["all"]));
    assert_eq!(first.profile("user_id:b", token).await["audiences"], json!(["all"]));
    tokio::task::block_in_place(|| {
        early.into_iter().chain(late).for_each(until_closed);
    });
    let token = first.take(&[seen("c")]).await;
    assert_eq!(second.profile("user_id:c", token).await["audiences"], json!(["all"]));
    // One more of process 1, and one with another project: they do no harm to those that run.
    let again = {
        let more = project(&format!("{PROJECT}[audiences.more]\nwhen = \"count('Seen') >= 2\"\n"));
        let mut file = NamedTempFile::new().unwrap();
        let free = super::hosts(1);
        let free = std::fs::read_to_string(free.path()).unwrap();
        writeln!(file, "{}\n{free}", addresses[0]).unwrap();
        let differs = begin(more.path(), &file, "1", &[]).failed();
        assert_eq!(differs.status.code(), Some(APART), "{differs:?}");
        begin(one.path(), &file, "1", &[]).failed()
    };
    assert_eq!(again.status.code(), Some(APART), "{again:?}");
    assert!(again.stderr.contains("says that process 1 is there already"), "{again:?}");
    let token = second.take(&[seen("d")]).await;
    assert_eq!(first.profile("user_id:d", token).await["audiences"], json!(["all"]));
    first.terminate();
    second.terminate();
    for ended in [first.end(), second.end()] {
        check_quiet(&ended);
    }
}
