//! The sources that run: a task each, which is started again where it fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Entrance, SourceInput, SourceKind};
use crate::ending::{vital_task, whenever};
use crate::project::Project;

/// The wait after a first failure.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The longest wait. A run that was longer begins anew with the shortest.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// All sources of a project, as far as they run by themselves.
#[derive(Debug)]
pub struct RunningSources {
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl RunningSources {
    /// Starts them on `runtime`.
    pub fn start(project: &Project, entrance: &Entrance, runtime: &Handle) -> Self {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (place, source) in project.sources.iter().enumerate() {
            let input = SourceInput {
                entrance: entrance.clone(),
                name: source.name.clone(),
                place,
                folder: project.folder.clone(),
                limits: project.limits,
                stopping: stopped.clone(),
            };
            let what = format!("the source {}", source.name);
            tasks.spawn_on(vital_task(what, whenever, run(source.kind.clone(), input)), runtime);
        }
        RunningSources { stopping, tasks }
    }

    /// Tells them that they are to stop, and waits for them no longer than `deadline`. To be called before the engine is stopped: what they
    /// hand in meanwhile gets its receipt.
    pub async fn stop(mut self, deadline: Duration) {
        self.stopping.send_replace(true);
        // Those that are not done by then are aborted when `tasks` goes out of scope.
        _ = timeout(deadline, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

/// Runs a source until it is to stop, or has read all that there will ever be.
async fn run(kind: SourceKind, input: SourceInput) {
    let mut wait = WAIT_MIN;
    loop {
        let began = Instant::now();
        let ended = kind.run(input.clone()).await;
        if *input.stopping.borrow() {
            return;
        }
        let source = input.name();
        let Err(error) = ended else {
            info!(%source, "the source has been read to its end");
            return;
        };
        input.counter("failures").fetch_add(1, Ordering::Relaxed);
        if began.elapsed() > WAIT_MAX {
            wait = WAIT_MIN;
        }
        warn!(%source, %error, "the source failed and is started again in {wait:?}");
        tokio::select! {
            () = sleep(wait) => {}
            () = input.stopped() => return,
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
}
