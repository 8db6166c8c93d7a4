//! The vendors' libraries for browsers in a real one, as they are on npm: each asks before it sends, and tries again what it could not
//! send, in its own way. The engine dies in the middle and comes back.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{DEADLINE, NodeScript, Program, ServerProcess, chromium, project};

const PACKAGES: [&str; 3] =
    ["puppeteer-core@24.43.1", "@segment/analytics-next@1.84.3", "@rudderstack/analytics-js@3.34.1"];

const PROJECT: &str = r#"
name = "shop"

[identity]
key = "test"

[sources.web]
write_key = "web-key"

[access]
read_token = "read-token"

[storage]
folder = "data"

[audiences.two]
when = "count('Order Completed') = 2 and sum('Order Completed', properties.total) = 3"
[audiences.five]
when = "count('Order Completed') = 5 and sum('Order Completed', properties.total) = 15"
"#;

/// The engine of a project, at an address of its own: the page goes on to know it when the engine is back.
struct BrowserEngine {
    folder: TempDir,
    server: ServerProcess,
}

impl BrowserEngine {
    async fn start() -> Self {
        let folder = project(PROJECT);
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        BrowserEngine { folder, server }
    }

    fn address(&self) -> String {
        self.server.url().trim_start_matches("http://").to_owned()
    }

    /// Waits until the person of the page, who is the only one, is in the audience.
    async fn until_in(&self, audience: &str) {
        let began = Instant::now();
        while self.server.size(audience, 0).await != 1 {
            assert!(began.elapsed() < DEADLINE, "not in {audience}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn check(library: &str) {
    let node = tokio::task::block_in_place(|| NodeScript::with(&PACKAGES));
    let engine = BrowserEngine::start().await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/browser.js");
    let (packages, chromium) = (node.folder().to_str().unwrap(), chromium());
    let arguments = [packages, chromium.to_str().unwrap(), library, engine.server.url()];
    let mut page = node.start(&script, &arguments);
    let mut tell = |line: &str| tokio::task::block_in_place(|| page.tell(line));
    tell("ready?");
    tell("track 1");
    tell("track 2");
    engine.until_in("two").await;

    let address = engine.address();
    let BrowserEngine { folder, server } = engine;
    server.kill();
    tell("lose 3");
    tell("lose 4");
    let arguments = ["run", folder.path().to_str().unwrap(), "--listen", &address];
    let server = ServerProcess::of(Program::start(&arguments, &[])).ready().await;
    let engine = BrowserEngine { folder, server };
    tell("track 5");
    engine.until_in("five").await;
    tokio::task::block_in_place(|| page.end());
    // Once each, whatever was sent twice until the end.
    assert_eq!(engine.server.size("five", 0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_segment_loses_nothing() {
    check("segment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_rudderstack_loses_nothing() {
    check("rudderstack").await;
}
