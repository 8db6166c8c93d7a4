//! `deltaic check --data`: what it says a start would tell destinations is what a start tells them; and it changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{ServerProcess, checkpointed, project, run};

const HEAD: &str = r#"
name = "preview"
identity.key = "test"
sources.web.write_key = "web-key"
access.read_token = "read-token"
storage.folder = "data"
storage.checkpoint_events = 10
[destinations.file]
type = "file"
path = "out.jsonl"
audiences = ["regulars"]
identifiers = ["user_id"]
traits = ["total"]
[traits]
total = "sum('Order', properties.total)"
"#;

fn text(condition: &str, more: &str) -> String {
    format!("{HEAD}\n[audiences.regulars]\nwhen = \"{condition}\"\n{more}")
}

/// All files of a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&path)),
            false => _ = found.insert(path.display().to_string(), std::fs::read(&path).unwrap()),
        }
    }
    found
}

/// What destinations were told since the last time: adds and deletes.
fn told(folder: &Path, before: &mut usize) -> (usize, usize) {
    let text = std::fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().skip(*before).map(|line| serde_json::from_str(line).unwrap()).collect();
    *before += lines.len();
    let of = |action: &str| lines.iter().filter(|line| line["action"] == action).count();
    (of("add"), of("delete"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_beforehand_is_what_destinations_are_told() {
    let folder = project(&text("total >= 100", ""));
    let data = folder.path().join("data");
    let write = |text: String| std::fs::write(folder.path().join("deltaic.toml"), text).unwrap();
    let check = || {
        let before = files(&data);
        let arguments = [Path::new("check"), folder.path(), Path::new("--data"), &data];
        let ended = tokio::task::block_in_place(|| run(&arguments));
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(files(&data), before, "it only looks");
        ended.stdout.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let start = || ServerProcess::start(folder.path(), &[], &[]);
    let mut lines = 0;

    let server = start().await;
    for n in 0..40u64 {
        let order = json!({"type": "track", "event": "Order", "userId": format!("u{}", n % 8), "properties": {"total": n % 8 * 10}});
        server.take(&[order]).await;
    }
    // Any will do: where the machine is slow, what came last may be too little for one more.
    checkpointed(&folder, 1).await;
    server.stop();
    // Five orders each, of 0, 10 … 70.
    assert_eq!(told(folder.path(), &mut lines).1, 0);
    let said = check();
    assert!(said[0].starts_with("a start takes the checkpoint of tick"), "{said:?}");
    assert_eq!(said[1..], ["destinations have what they are to have"]);

    // Fewer of them, from the checkpoint.
    write(text("total >= 250", ""));
    assert_eq!(check()[1..], ["destination file, audience regulars: 0 added, 0 updated, 3 deleted"]);
    start().await.stop();
    assert_eq!(told(folder.path(), &mut lines), (0, 3));

    // Other rules of identity: all is read anew, from the history and the log.
    write(
        text("total >= 200", "[identity]\nkey = \"test\"\nblocked = [\"u7\"]").replace("identity.key = \"test\"", ""),
    );
    let said = check();
    assert_eq!(
        said,
        ["a start reads all 40 events anew", "destination file, audience regulars: 1 added, 0 updated, 1 deleted"]
    );
    start().await.stop();
    assert_eq!(told(folder.path(), &mut lines), (1, 1));
    assert_eq!(check()[1..], ["destinations have what they are to have"]);

    // A folder that is in use, and one that is not there.
    let server = start().await;
    let arguments = [Path::new("check"), folder.path(), Path::new("--data"), &data];
    let ended = tokio::task::block_in_place(|| run(&arguments));
    assert!(!ended.status.success() && ended.stderr.contains("in use"), "{ended:?}");
    server.stop();
    let nowhere = folder.path().join("nowhere");
    let ended =
        tokio::task::block_in_place(|| run(&[Path::new("check"), folder.path(), Path::new("--data"), &nowhere]));
    assert!(!ended.status.success() && !nowhere.exists(), "{ended:?}");
}
