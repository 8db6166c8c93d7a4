//! How an engine ends that nobody told to, for whoever supervises it; and that none of its threads and tasks ends before it.
//!
//! An engine without one of them is worse than none: it would take events that nobody processes. So what runs as long as the engine
//! does runs within [`vital`] or [`vital_task`]: where it panics, or ends though nobody told it to, all engines of this process hear of it
//! and end.
//!
//! A request that panics ends its connection only: who sends it must not be able to end the engine.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// With what the process ends. The codes are those of `sysexits.h`, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something is wrong that somebody has to see to: a project, a data folder, a disk.
    Wrong,
    /// A mistake of the program. Started again it may go well.
    Fault,
    /// Another process of the cluster went, or stops: all of them are to be started again.
    Together,
    /// The processes of the cluster do not go together: they are to be given the same.
    Apart,
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Wrong => 1,
            Exit::Fault => 70,
            Exit::Together => 75,
            Exit::Apart => 78,
        }
    }
}

/// Why an engine ends that nobody told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// With what.
    pub exit: Exit,
    /// Why, for people.
    pub reason: String,
    /// Whether what was accepted can be finished first.
    pub is_orderly: bool,
    /// Whether it says which other process is the reason.
    pub names_process: bool,
}

impl Ending {
    /// At once, since nobody can be asked to finish anything.
    pub fn at_once(exit: Exit, reason: String) -> Self {
        Ending { exit, reason, is_orderly: false, names_process: false }
    }

    /// At once, since this part of the engine ended though nobody told it to.
    pub fn of_itself(what: &str) -> Self {
        let reason = format!("{what} ended though nobody told it to, by a mistake of the program");
        tracing::error!("{reason}");
        Ending::at_once(Exit::Fault, reason)
    }

    /// At once, since another process is gone, which the reason names.
    pub fn lost(reason: String) -> Self {
        Ending { exit: Exit::Together, reason, is_orderly: false, names_process: true }
    }

    /// When what was accepted is finished, since another process was told to stop, which the reason names.
    pub fn orderly(reason: String) -> Self {
        Ending { exit: Exit::Together, reason, is_orderly: true, names_process: true }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Whether a panic only says that a connection to another process of the cluster broke: timely has no other way to say it.
pub fn is_of_broken_connection(said: &str) -> bool {
    ["MergeQueue poisoned", "timely communication error"].iter().any(|known| said.contains(known))
}

/// How long what ended of itself waits before it says so: it may have ended since another part panics, which drops what it holds before
/// it can say so. The first that is heard is told to people.
const CAUSE_FIRST: Duration = Duration::from_millis(200);

/// Who hears of faults: each engine of this process.
static LISTENERS: Mutex<Vec<UnboundedSender<Ending>>> = Mutex::new(Vec::new());

/// Where an engine hears why it ends: from those that it gives the sender to, and of all faults of the process.
pub fn listen() -> (UnboundedSender<Ending>, UnboundedReceiver<Ending>) {
    let (sender, receiver) = unbounded_channel();
    listeners().push(sender.clone());
    (sender, receiver)
}

/// Tells all engines of this process.
pub fn report(ending: Ending) {
    listeners().retain(|listener| listener.send(ending.clone()).is_ok());
}

fn listeners() -> MutexGuard<'static, Vec<UnboundedSender<Ending>>> {
    LISTENERS.lock()
}

/// Tells when what it is of panics, or ends and was not to. A task that is aborted has been told.
#[derive(Debug)]
struct Vital(Cow<'static, str>);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = format!("{} panicked, by a mistake of the program; what it said stands above", self.0);
            tracing::error!("{reason}");
            report(Ending::at_once(Exit::Fault, reason));
        }
    }
}

/// Does what a thread is for that the engine cannot do without. `was_to_end` says of what it came to whether it was to.
pub fn vital<T>(
    what: impl Into<Cow<'static, str>>,
    was_to_end: impl FnOnce(&T) -> bool,
    body: impl FnOnce() -> T,
) -> T {
    let vital = Vital(what.into());
    let done = body();
    if !was_to_end(&done) {
        std::thread::sleep(CAUSE_FIRST);
        report(Ending::of_itself(&vital.0));
    }
    done
}

/// The same of a task.
pub async fn vital_task<T>(
    what: impl Into<Cow<'static, str>>,
    was_to_end: impl FnOnce(&T) -> bool,
    body: impl Future<Output = T>,
) -> T {
    let vital = Vital(what.into());
    let done = body.await;
    if !was_to_end(&done) {
        tokio::time::sleep(CAUSE_FIRST).await;
        report(Ending::of_itself(&vital.0));
    }
    done
}

/// For what ends when it is done, or says itself why it does.
pub fn whenever<T>(_done: &T) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_engines_hear_of_a_fault_and_of_nothing_else() {
        let ((_to_first, mut first), (_to_second, mut second)) = (listen(), listen());
        assert_eq!(vital("the adder", |sum| *sum == 2, || 1 + 1), 2);
        assert_eq!(vital_task("the adder", |sum| *sum == 2, async { 1 + 1 }).await, 2);
        let aborted = tokio::spawn(vital_task("the adder", |()| false, std::future::pending()));
        aborted.abort();
        aborted.await.unwrap_err();
        std::thread::spawn(|| vital("the collector", whenever::<()>, || panic!("on purpose"))).join().unwrap_err();
        tokio::spawn(vital_task("delivery", whenever::<()>, async { panic!("on purpose") })).await.unwrap_err();
        vital("the keeper", |()| false, || ());
        vital_task("the owner", |()| false, async {}).await;
        for heard in [&mut first, &mut second] {
            let mut faults = Vec::new();
            // Other tests may panic on purpose, too.
            while let Ok(ending) = heard.try_recv() {
                assert_eq!((ending.exit, ending.is_orderly), (Exit::Fault, false));
                faults.push(ending.reason);
            }
            for expected in
                ["the collector panicked", "delivery panicked", "the keeper ended though", "the owner ended though"]
            {
                assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{faults:?}");
            }
            assert!(!faults.iter().any(|fault| fault.starts_with("the adder")), "{faults:?}");
        }
    }
}
