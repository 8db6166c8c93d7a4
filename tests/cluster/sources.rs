//! Sources that read by themselves, which one process runs for all.
//!
//! No kind that is built in is one. So both processes of the cluster are engines within this one, with the inbox of [`crate::connectors`].

use std::time::Duration;

use deltaic::engine::Topology;
use serde_json::Value;
use tokio::join;
use tokio::time::{sleep, timeout};

use super::hosts;
use crate::connectors::{EngineWithin, a_drop, drop_file, with_inbox};
use crate::program::{DEADLINE, project};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_process_runs_a_source_that_reads_by_itself() {
    let hosts = hosts(2);
    // Each has its own, as on machines of their own. What would be read of it counts for somebody else.
    let folders = ["ann", "bea"].map(|user| {
        let folder = project(&with_inbox(""));
        std::fs::create_dir(folder.path().join("drops")).unwrap();
        drop_file(folder.path(), "1.jsonl", &[&a_drop(user)]);
        folder
    });
    let begin = |process: usize| {
        let topology = Topology::cluster(1, process, hosts.path()).unwrap();
        EngineWithin::begin(folders[process].path(), topology)
    };
    let (first, second) = join!(begin(0), begin(1));
    join!(first.ready(), second.ready());
    first.until_metric("deltaic_source_connector_total{kind=\"files\",source=\"drops\"}", 1).await;
    // What it read is there for the other one, too.
    let is_there = async {
        while second.orders("ann").await != 1 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, is_there).await.expect("the other one knows of it");
    assert_eq!(second.orders("bea").await, Value::Null);

    // A source that runs is waited for at the stop, and first of all reads what is there.
    let (first, second) = join!(first.server.stop(), second.server.stop());
    first.and(second).unwrap();
    let is_taken = folders.map(|folder| folder.path().join("drops/1.done").exists());
    assert_eq!(is_taken, [true, false]);
}
