//! The real program on a small disk that fills up: it says so, refuses, and goes on when there is room again.
//!
//! The disk is in memory and of the program alone (a mount namespace); where the system does not let users have such, there is
//! only the test of the engine with a disk that is made up (`src/engine/tests.rs`).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{DEADLINE, HttpAnswer, Program, ServerProcess, project};

const PROJECT: &str = r#"
name = "full-disk"
[identity]
key = "0123456789abcdef"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
seen = "count('Seen')"
[storage]
folder = "data"
"#;

/// More than the reserve by what the program sets aside, and by what there is to be filled.
const DISK_BYTES: u64 = 800 << 20;

/// Of the disk, so much is filled: less than the reserve is left.
const FILLED_BYTES: u64 = 400 << 20;

/// What `/readyz` answers once it is as expected.
async fn until_ready_is(server: &ServerProcess, status: u16) -> HttpAnswer {
    let began = Instant::now();
    loop {
        let ready = server.get("/readyz").await;
        if ready.status == status {
            return ready;
        }
        assert!(began.elapsed() < DEADLINE, "{ready:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_refusing(server: &ServerProcess) -> bool {
    let metrics = server.get("/metrics").await.body;
    metrics.lines().any(|line| line == r#"deltaic_refusing{reason="disk"} 1"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_is_told_once_and_refuses_until_there_is_room() {
    let own = ["--user", "--map-root-user", "--mount"];
    let mount = |more: &str| format!("mount -t tmpfs -o size={DISK_BYTES} none \"$0\" {more}");
    let folder = project(PROJECT);
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let tried = Command::new("unshare").args(own).args(["sh", "-c", &mount("")]).arg(&data).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        println!("no disk of our own can be had here: {tried:?}");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(own).args(["sh", "-c", &mount("&& exec \"$@\"")]).arg(&data).arg(env!("CARGO_BIN_EXE_deltaic"));
    command.arg("run").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
    let server = ServerProcess::of(Program::spawn(command, &[])).ready().await;
    let seen = |n: u64| json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": n.to_string()});
    server.take(&[seen(0)]).await;

    // The program's own view of its folder.
    let within = format!("/proc/{}/root{}", server.id(), data.display());
    let filler = Path::new(&within).join("filler");
    let mut file = File::create(&filler).unwrap();
    let block = vec![1; 1 << 20];
    (0..FILLED_BYTES >> 20).for_each(|_| file.write_all(&block).unwrap());
    drop(file);
    let told = until_ready_is(&server, 503).await;
    assert_eq!(told.problem(), (503, "disk_full".to_owned()));
    assert!(told.body.contains("the reserve of 469 MB"), "{told:?}");
    assert!(is_refusing(&server).await);
    for n in 1..100 {
        let refused = server.post("/v1/batch", &json!({"batch": [seen(n)]})).await;
        assert_eq!(refused.problem(), (503, "not_logged".to_owned()));
    }

    fs::remove_file(filler).unwrap();
    until_ready_is(&server, 200).await;
    assert!(!is_refusing(&server).await);
    let token = server.take(&[seen(0), seen(1)]).await;
    assert_eq!(server.profile("user_id:ann", token).await["traits"]["seen"], 2);
    let said = server.stop().stderr;
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("no room in the log")).collect();
    assert!(lines.len() == 1 && lines[0].contains("the reserve of 469 MB"), "{said}");
}
