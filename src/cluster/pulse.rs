//! The connections over which the processes of a cluster say all the time that they are there: one between each two.
//!
//! A process that is killed is missed at once, since its connections end. One that hangs, or that the network does not reach, is said to
//! be silent after [`PULSE_SILENT_AFTER`], and lost after [`PULSE_LOST_AFTER`]: a machine that pauses for a moment is no reason to start
//! the cluster again. Where one is lost the others end, to be started again together: nothing that comes in would be complete
//! without it. Where one is told to stop, it says so, and all finish what they took.
//!
//! The port of the cluster stays open: who comes late is told that the cluster runs.

use std::io;
use std::net::{TcpListener as Listener, TcpStream as Connection};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::model::Tick;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::beat::Beat;
use super::greeting::{self, GreetingVerdict, OwnIdentity};
use super::members::{ClusterMembers, MemberState};
use crate::clock::{Measured, SteadyClock};
use crate::ending::{Ending, Exit, listen, report, vital, vital_task, whenever};
use crate::faults;
use crate::limits::{PROCESS_STRANGERS_MAX, PULSE_EVERY, PULSE_LOST_AFTER, PULSE_SILENT_AFTER};
use crate::observe::seldom::Seldom;

/// How long the others get to hear the last word.
const GOODBYE: Duration = Duration::from_secs(1);

/// Answers that wait to be sent to one process.
const ANSWERS_WAITING_MAX: usize = 4;

/// Who comes when the cluster runs already.
pub struct Late {
    /// Where.
    pub listener: Listener,
    /// Who this process is.
    pub own: Arc<OwnIdentity>,
}

/// How far this process is.
pub type Frontier = Arc<dyn Fn() -> Tick + Send + Sync>;

/// What this process has to say of itself, and where it notes what it hears.
#[derive(Clone)]
pub struct Speaker {
    /// All processes.
    pub members: ClusterMembers,
    /// How far this one is.
    pub frontier: Frontier,
    /// What its ticks go by; where it is not process 0, that is the clock of that.
    pub clock: Option<Arc<SteadyClock>>,
}

impl Speaker {
    /// The clock, where it is to be measured at this process.
    fn follows(&self, process: usize) -> Option<&SteadyClock> {
        self.clock.as_deref().filter(|_| process == 0 && self.members.own() != 0)
    }
}

/// What this process says: nothing special at first, then that it stops, then that it ends.
type Saying = Option<Beat>;

/// The thread.
#[derive(Debug)]
pub struct Pulse {
    saying: watch::Sender<Saying>,
    thread: JoinHandle<()>,
}

impl Pulse {
    /// Begins to say that this process is there, over a connection to each of the others.
    pub fn start(connections: Vec<Option<Connection>>, late: Late, speaker: Speaker) -> io::Result<Self> {
        let (saying, said) = watch::channel(None);
        let fails = saying.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ran = runtime.and_then(|runtime| runtime.block_on(run(connections, late, speaker, (fails, said))));
            if let Err(error) = ran {
                report(Ending::at_once(Exit::Wrong, format!("the connections between processes: {error}")));
            }
        };
        let thread =
            std::thread::Builder::new().name("pulse".to_owned()).spawn(|| vital("the pulse", whenever, run))?;
        Ok(Pulse { saying, thread })
    }

    /// Tells the others, when it is called, that this process was told to stop.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let saying = self.saying.clone();
        move || _ = saying.send_if_modified(|saying| saying.is_none() && saying.replace(Beat::Stops).is_none())
    }

    /// Tells them that it ends, and that all is well.
    pub fn end(self) {
        self.saying.send_replace(Some(Beat::Bye));
        // What it had to say it has said in the log.
        _ = self.thread.join();
    }
}

async fn run(
    connections: Vec<Option<Connection>>,
    late: Late,
    speaker: Speaker,
    (fails, mut said): (watch::Sender<Saying>, watch::Receiver<Saying>),
) -> io::Result<()> {
    let (_to_hear, mut endings) = listen();
    let mut talks = JoinSet::new();
    for (process, connection) in connections.into_iter().enumerate() {
        let Some(connection) = connection else { continue };
        connection.set_nonblocking(true)?;
        let stream = TcpStream::from_std(connection)?;
        let attending = attend(process, stream, speaker.clone(), said.clone());
        talks.spawn(vital_task("the pulse", whenever, attending));
    }
    let listener = TcpListener::from_std(late.listener)?;
    let is_over = async {
        while *said.borrow_and_update() != Some(Beat::Bye) {
            if said.changed().await.is_err() {
                return;
            }
        }
    };
    let faults = async {
        while let Some(ending) = endings.recv().await {
            if ending.exit == Exit::Fault {
                fails.send_replace(Some(Beat::Fails));
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = is_over => {}
        () = faults => {}
        never = turn_away(&listener, late.own, &speaker.members) => match never {},
    }
    drop(listener);
    _ = timeout(GOODBYE, async { while talks.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Says to another process that this one is there, and hears it, until one of them ends.
async fn attend(process: usize, stream: TcpStream, speaker: Speaker, mut said: watch::Receiver<Saying>) {
    let (from, mut to) = stream.into_split();
    let (answer, mut answers) = mpsc::channel(ANSWERS_WAITING_MAX);
    let says = async {
        let mut due = interval(PULSE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follows = speaker.follows(process);
        loop {
            let (beat, is_due) = tokio::select! {
                changed = said.changed() => match changed {
                    Ok(()) => (said.borrow_and_update().unwrap_or(Beat::Stops), false),
                    // Nobody says anything any more: the engine was dropped.
                    Err(_) => return true,
                },
                Some(answer) = answers.recv() => (answer, false),
                _ = due.tick() => (Beat::Alive { frontier: (speaker.frontier)() }, true),
            };
            if faults::point("pulse") {
                return false;
            }
            let asks = follows.filter(|_| is_due).map(|clock| {
                let skew_ms = clock.standing().skew_ms().unwrap_or_default();
                Beat::Ask { asked_us: clock.boot_us(), skew_ms }
            });
            for beat in std::iter::once(beat).chain(asks) {
                if beat.write(&mut to).await.is_err() {
                    // Why is found by who hears.
                    return true;
                }
            }
            if beat == Beat::Bye {
                _ = to.shutdown().await;
                return true;
            }
        }
    };
    let says = vital_task("the pulse", |was_to_end| *was_to_end, says);
    let (_, ()) = tokio::join!(says, hear(process, from, &speaker, answer));
}

/// Hears a process until it ends, or has not been heard of for so long that it is lost.
async fn hear(process: usize, from: impl AsyncRead + Unpin, speaker: &Speaker, answer: mpsc::Sender<Beat>) {
    let members = &speaker.members;
    let name = members.named(process);
    let lost = |why: String| {
        members.set(process, MemberState::Gone);
        let reason = format!("{name} of the cluster is gone: {why}; look there first, then start all of them again");
        tracing::error!("{reason}");
        report(Ending::lost(reason));
    };
    let mut from = BufReader::new(from);
    let mut heard = Instant::now();
    loop {
        // What has arrived is heard first, also by who was stopped himself for a while.
        let beat = match timeout(PULSE_SILENT_AFTER, Beat::read(&mut from)).await {
            Ok(Ok(beat)) => beat,
            Ok(Err(error)) => return lost(format!("its connection ended ({error})")),
            Err(_) if heard.elapsed() >= PULSE_LOST_AFTER => {
                return lost(format!("it has not been heard of for {} s", heard.elapsed().as_secs()));
            }
            Err(_) => {
                members.set(process, MemberState::Silent);
                let ms = heard.elapsed().as_millis();
                tracing::warn!(
                    "{name} of the cluster has not been heard of for {ms} ms: nothing becomes complete without it"
                );
                continue;
            }
        };
        heard = Instant::now();
        match beat {
            Beat::Alive { frontier } => {
                if members.heard(process, frontier) {
                    tracing::info!("{name} of the cluster is heard of again");
                }
            }
            Beat::Ask { asked_us, skew_ms } => {
                members.set_skew(process, skew_ms);
                if let Some(clock) = &speaker.clock {
                    // Who asks so often that answers wait does not need all of them.
                    let (time_us, wall_us) = clock.times_us();
                    _ = answer.try_send(Beat::Time { asked_us, time_us, wall_us });
                }
            }
            Beat::Time { asked_us, time_us, wall_us } => {
                if let Some(clock) = speaker.follows(process) {
                    clock.measured(Measured::new(asked_us, clock.boot_us(), time_us), wall_us.saturating_sub(time_us));
                }
            }
            Beat::Stops => {
                members.set(process, MemberState::Stopping);
                let reason = format!(
                    "{name} was told to stop: a cluster stops as a whole, so this process finished what it took, and ends, too; start \
                     all of them again"
                );
                report(Ending::orderly(reason));
            }
            Beat::Fails => return lost("by a mistake of the program, as it says".to_owned()),
            Beat::Bye => return members.set(process, MemberState::Gone),
        }
    }
}

/// Tells who comes late that the cluster runs.
async fn turn_away(
    listener: &TcpListener,
    own: Arc<OwnIdentity>,
    members: &ClusterMembers,
) -> std::convert::Infallible {
    let places = Arc::new(Semaphore::new(PROCESS_STRANGERS_MAX));
    let told = Arc::new(Mutex::new(Seldom::default()));
    loop {
        // A connection that is gone again is no reason to listen no more.
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PULSE_EVERY).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (own, members, told) = (own.clone(), members.clone(), told.clone());
        tokio::spawn(async move {
            let what = match greeting::hear(stream, &own).await {
                Ok(greeted) => {
                    let process = greeted.peer.process;
                    let is_there = members.all()[process].state == MemberState::There;
                    let verdict = if is_there { GreetingVerdict::Taken } else { GreetingVerdict::Runs };
                    greeted.answer(verdict).await;
                    format!("it is process {process}, which is there already")
                }
                Err(stranger) => stranger.to_string(),
            };
            drop(place);
            let count = told.lock().happened(Instant::now());
            if let Some(count) = count {
                tracing::warn!(%from, count, "closed a connection to the port of the cluster, which runs: {what}");
            }
        });
    }
}
