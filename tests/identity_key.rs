//! A key of `[identity]` that somebody forgot, or changed: nothing counts twice without a word.

use std::path::Path;

use serde_json::json;

use crate::program::{ServerProcess, project, run};

const PROJECT: &str = r#"
name = "keyed"
identity.key = "${KEY:-usual}"
sources.web.write_key = "web-key"
access.read_token = "read-token"
storage.folder = "data"
[traits]
seen = "count('Seen')"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_refused_until_it_is_accepted() {
    let folder = project(PROJECT);
    let data = folder.path().join("data");
    let seen = json!({"type": "track", "event": "Seen", "userId": "ann", "messageId": "m-1"});
    let seen_by =
        async |server: &ServerProcess, token: u64| server.profile("user_id:ann", token).await["traits"]["seen"].clone();
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let token = server.take(std::slice::from_ref(&seen)).await;
    assert_eq!(seen_by(&server, token).await, json!(1));
    server.stop();
    let content = || std::fs::read_to_string(data.join("KEY")).unwrap();
    let kept = content();

    let refused = ServerProcess::begin(folder.path(), &[], &[("KEY", "another")]).failed();
    assert!(!refused.status.success() && refused.stderr.contains("start once with --accept-key"), "{refused:?}");
    assert_eq!(content(), kept, "what is refused stays as it is");
    // Whoever only asks is told, too.
    let changed = PROJECT.replace(":-usual", ":-another");
    std::fs::write(folder.path().join("deltaic.toml"), changed).unwrap();
    let arguments = [Path::new("check"), folder.path(), Path::new("--data"), &data];
    let checked = tokio::task::block_in_place(|| run(&arguments));
    assert!(
        !checked.status.success() && checked.stderr.contains("is another one than that of the data folder"),
        "{checked:?}"
    );

    let server = ServerProcess::start(folder.path(), &["--accept-key"], &[]).await;
    let token = server.take(&[seen]).await;
    assert_eq!(seen_by(&server, token).await, json!(2), "it is not recognised");
    server.stop();
    assert_ne!(content(), kept);
    // The key that it has now.
    ServerProcess::start(folder.path(), &[], &[]).await.stop();

    // A folder of an earlier version does not say it.
    std::fs::remove_file(data.join("KEY")).unwrap();
    ServerProcess::start(folder.path(), &[], &[("KEY", "usual")]).await.stop();
    assert_eq!(content(), kept);
    std::fs::write(data.join("KEY"), "\0").unwrap();
    let arguments = [Path::new("check"), folder.path(), Path::new("--data"), &data];
    let damaged = tokio::task::block_in_place(|| run(&arguments));
    assert!(!damaged.status.success(), "{damaged:?}");
}
