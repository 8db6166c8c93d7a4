//! Owners against a plain model, and over real connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dataflows::model::Tick;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::dedupe::{Dedupe, ExpectedRuns, InMemory, MessageWindow, OnDiskSettings, ToldBy};
use crate::ending::{Exit, listen};
use crate::engine::WorkerOutput;

const WINDOW_MS: u64 = 100;

fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

fn in_memory(window_ms: u64) -> Dedupe {
    Dedupe::InMemory(InMemory::new(MessageWindow::new(Duration::from_millis(window_ms)), 1_000_000))
}

fn on_disk(folder: &TempDir, window_ms: u64) -> Dedupe {
    let settings = OnDiskSettings {
        expected: ExpectedRuns {
            data: folder.path(),
            owner: None,
            window: MessageWindow::new(Duration::from_millis(window_ms)),
            last: Tick::default(),
            now: Tick::default(),
            told_by: ToldBy::AllLogs,
            complete: None,
            log_begins: None,
            accept_partial: false,
        },
        logged: &|_| Box::new(std::iter::empty()),
    };
    settings.open().unwrap().0
}

/// What the processes of a model do.
#[derive(Clone, Debug)]
enum OwnersStep {
    /// A process asks for ids; each is one of few, so that they meet.
    Ask { process: usize, ids: Vec<u8> },
    /// A process logs one of the requests that it claimed, some milliseconds after what it did before.
    Log { process: usize, which: prop::sample::Index, after_ms: u64 },
    /// It gives one back.
    GiveUp { process: usize, which: prop::sample::Index },
    /// It says how far it is.
    Pass { process: usize, after_ms: u64 },
}

fn step(processes: usize) -> impl Strategy<Value = OwnersStep> {
    let process = move || 0..processes;
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => (process(), prop::collection::btree_set(0u8..12, 1..4))
            .prop_map(|(process, ids)| OwnersStep::Ask { process, ids: ids.into_iter().collect() }),
        4 => (process(), which(), 0u64..40).prop_map(|(process, which, after_ms)| OwnersStep::Log { process, which, after_ms }),
        1 => (process(), which()).prop_map(|(process, which)| OwnersStep::GiveUp { process, which }),
        2 => (process(), 0u64..60).prop_map(|(process, after_ms)| OwnersStep::Pass { process, after_ms }),
    ]
}

/// A request that is claimed: its number, and the ids that it may count.
type Open = (u64, Vec<u128>);

/// What should be: written from the meaning, with a list of what counted and nothing else.
#[derive(Default)]
struct OwnersModel {
    /// When each id counted, every time.
    counted: BTreeMap<u128, Vec<Tick>>,
    claimed: BTreeSet<u128>,
}

impl OwnersModel {
    /// Nothing where somebody is about to count one of them.
    fn ask(&self, now: Tick, ids: &[u128]) -> Option<Vec<bool>> {
        if ids.iter().any(|id| self.claimed.contains(id)) {
            return None;
        }
        let is_new = |id: &u128| {
            let last = self.counted.get(id).and_then(|ticks| ticks.last());
            last.is_none_or(|last| last.as_ms() + WINDOW_MS <= now.as_ms())
        };
        Some(ids.iter().map(is_new).collect())
    }
}

fn check_against_the_model(mut owned: OwnedIds, processes: usize, steps: Vec<OwnersStep>) {
    let mut model = OwnersModel::default();
    let mut at = vec![1_000u64; processes];
    let mut open: Vec<Vec<Open>> = vec![Vec::new(); processes];
    for (process, at) in at.iter().enumerate() {
        let verdict = owned.ask((process, 0), ms(*at), &[1]).unwrap();
        assert_eq!(verdict, ClaimVerdict::Unable, "not everybody has told what is in its log");
        owned.pass(process, Some(Passed { before: ms(*at), is_recovered: true })).unwrap();
    }
    for (step, request) in steps.into_iter().zip(1..) {
        match step {
            OwnersStep::Ask { process, ids } => {
                let ids: Vec<u128> = ids.into_iter().map(u128::from).collect();
                let now = ms(at[process]);
                let verdict = owned.ask((process, request), now, &ids).unwrap();
                let Some(is_new) = model.ask(now, &ids) else {
                    assert_eq!(verdict, ClaimVerdict::Busy);
                    continue;
                };
                let ClaimVerdict::Claimed(counted) = verdict else { panic!("{verdict:?}") };
                assert_eq!(counted.iter().map(Option::is_none).collect::<Vec<_>>(), is_new, "{ids:?} at {now}");
                for (id, counted) in ids.iter().zip(&counted) {
                    assert!(counted.is_none_or(|counted| model.counted[id].last() == Some(&counted)));
                }
                let new: Vec<u128> = ids.into_iter().zip(is_new).filter(|(_, new)| *new).map(|(id, _)| id).collect();
                if !new.is_empty() {
                    model.claimed.extend(&new);
                    open[process].push((request, new));
                }
            }
            OwnersStep::Log { process, which, after_ms } if !open[process].is_empty() => {
                let place = which.index(open[process].len());
                let (request, ids) = open[process].swap_remove(place);
                at[process] += after_ms;
                owned.settle((process, request), Some(ms(at[process])));
                for id in ids {
                    model.claimed.remove(&id);
                    model.counted.entry(id).or_default().push(ms(at[process]));
                }
            }
            OwnersStep::GiveUp { process, which } if !open[process].is_empty() => {
                let place = which.index(open[process].len());
                let (request, ids) = open[process].swap_remove(place);
                owned.settle((process, request), None);
                ids.iter().for_each(|id| _ = model.claimed.remove(id));
            }
            OwnersStep::Pass { process, after_ms } => {
                at[process] += after_ms;
                owned.pass(process, Some(Passed { before: ms(at[process]), is_recovered: true })).unwrap();
            }
            OwnersStep::Log { .. } | OwnersStep::GiveUp { .. } => {}
        }
    }
    // What is in order is in memory no longer than that.
    let open_ids: usize = open.iter().flatten().map(|(_, ids)| ids.len()).sum();
    let last = at.iter().max().unwrap() + 1;
    for process in 0..processes {
        owned.pass(process, Some(Passed { before: ms(last), is_recovered: true })).unwrap();
    }
    assert_eq!(owned.held(), open_ids);
}

proptest! {
    #[test]
    fn what_owners_say_is_what_counted(steps in prop::collection::vec(step(3), 0..300)) {
        check_against_the_model(OwnedIds::new(in_memory(WINDOW_MS), 3), 3, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_owners_say_is_what_counted_on_disk_too(steps in prop::collection::vec(step(3), 0..300)) {
        let folder = TempDir::new().unwrap();
        check_against_the_model(OwnedIds::new(on_disk(&folder, WINDOW_MS), 3), 3, steps);
    }
}

/// Processes that are clocks and connections only.
struct OwnersWorld {
    owners: Vec<Owners>,
    nets: Vec<Net>,
    alarms: Vec<Receiver<WorkerOutput>>,
    now: Arc<AtomicU64>,
}

impl OwnersWorld {
    fn start(ids: Vec<Dedupe>, reaches: Option<Tick>) -> Self {
        let processes = ids.len();
        let now = Arc::new(AtomicU64::new(1_000));
        let endpoints: Vec<OwnerEndpoint> =
            ids.iter().map(|_| OwnerEndpoint::open("127.0.0.1:0", 0).unwrap()).collect();
        let (ports, secrets): (Vec<u16>, Vec<String>) = endpoints.iter().map(OwnerEndpoint::said).unzip();
        let mut world = OwnersWorld { owners: Vec::new(), nets: Vec::new(), alarms: Vec::new(), now: now.clone() };
        for (process, (ids, endpoint)) in ids.into_iter().zip(endpoints).enumerate() {
            let (alarm, alarms) = channel();
            let now = now.clone();
            let settings = OwnersSettings {
                process,
                hosts: vec!["127.0.0.1:1".to_owned(); processes],
                ports: ports.clone(),
                secret: secrets[0].clone(),
                endpoint,
                ids,
                reaches,
                accept_partial: false,
                now: Arc::new(move || ms(now.load(Ordering::SeqCst))),
                alarm,
            };
            let (owners, net) = Net::start(settings).unwrap();
            world.owners.push(owners);
            world.nets.push(net);
            world.alarms.push(alarms);
        }
        world
    }

    fn recovered(self) -> Self {
        self.pass(1_000);
        self
    }

    fn pass(&self, before: u64) {
        let passed = Passed { before: ms(before), is_recovered: true };
        self.owners.iter().for_each(|owners| owners.pass(Some(passed)));
    }

    fn stop(self) {
        let stopping: Vec<_> = self.nets.into_iter().map(|net| std::thread::spawn(move || net.stop())).collect();
        stopping.into_iter().for_each(|thread| thread.join().unwrap());
        for alarms in self.alarms {
            assert_eq!(alarms.try_iter().map(|output| format!("{output:?}")).collect::<Vec<_>>(), [] as [String; 0]);
        }
    }
}

fn spread(from: u128, count: u128) -> Vec<u128> {
    // As hashes are.
    (from..from + count).map(|id| id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C5C_4D2B_1A87)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_claimed_once_wherever_it_is_sent() {
    let world = OwnersWorld::start((0..3).map(|_| in_memory(60_000)).collect(), None).recovered();
    let ids = spread(1, 50);
    let claimed = world.owners[0].claim(&[&ids[..], &ids[..2]].concat()).await.unwrap();
    assert_eq!(claimed.is_new, [vec![true; 50], vec![false; 2]].concat(), "twice in one request is once");
    // Who wants some of them waits until it is known what became of them.
    let others = world.owners[1].clone();
    let wanted = [&ids[40..], &spread(1_000, 5)].concat();
    let waiting = tokio::spawn(async move { others.claim(&wanted).await });
    sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    claimed.claim.counted(ms(1_234));
    let then = waiting.await.unwrap().unwrap();
    assert_eq!((then.is_new, then.seen), ([vec![false; 10], vec![true; 5]].concat(), ms(1_234)));
    // It goes back, and somebody else has it.
    drop(then.claim);
    let again = world.owners[2].claim(&spread(1_000, 5)).await.unwrap();
    assert_eq!(again.is_new, [true; 5]);
    drop(again);
    world.stop();
}

/// Two requests that each have what the other one wants, in parts, at different owners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_want_the_same_do_not_wait_for_each_other_for_ever() {
    let world = OwnersWorld::start((0..3).map(|_| in_memory(60_000)).collect(), None).recovered();
    for round in 0..30u128 {
        let ids = spread(10_000 + round * 40, 40);
        let claims: Vec<_> = (0..6)
            .map(|who| {
                let (owners, mut ids) = (world.owners[who % 3].clone(), ids.clone());
                ids.rotate_left(who * 7);
                tokio::spawn(async move {
                    let claimed = owners.claim(&ids).await.unwrap();
                    let new = claimed.is_new.iter().filter(|is_new| **is_new).count();
                    claimed.claim.counted(ms(2_000));
                    new
                })
            })
            .collect();
        let mut new = 0;
        for claim in claims {
            new += claim.await.unwrap();
        }
        assert_eq!(new, 40, "in round {round}, each once");
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_does_not_answer_is_away_and_what_it_claims_later_goes_back() {
    // One process has not told what its log has.
    let world = OwnersWorld::start((0..2).map(|_| in_memory(60_000)).collect(), None);
    let passed = Passed { before: ms(1_000), is_recovered: true };
    world.owners[0].pass(Some(passed));
    let ids = spread(5, 20);
    assert_eq!(world.owners[0].claim(&ids).await.unwrap_err(), ClaimError::Away);
    world.owners[1].pass(Some(passed));
    let claimed = world.owners[1].claim(&ids).await.unwrap();
    assert_eq!(claimed.is_new, [true; 20]);
    // It does not come to an end.
    assert_eq!(world.owners[0].claim(&ids[..1]).await.unwrap_err(), ClaimError::Contested);
    drop(claimed);
    assert_eq!(world.owners[0].claim(&ids).await.unwrap().is_new, [true; 20]);
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_on_the_disks_of_their_owners_when_somebody_waited_for_it() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let open = || folders.iter().map(|folder| on_disk(folder, 60_000)).collect();
    let world = OwnersWorld::start(open(), None).recovered();
    let ids = spread(5, 100);
    world.owners[1].claim(&ids).await.unwrap().claim.counted(ms(1_500));
    world.now.store(1_600, Ordering::SeqCst);
    world.pass(1_600);
    let owners = world.owners[0].clone();
    let waited = tokio::task::spawn_blocking(move || owners.on_disk(ms(1_500), &AtomicBool::new(false)));
    assert!(waited.await.unwrap());
    world.stop();
    // Nobody tells them again; what counts from now on has to be later than what they have.
    let world = OwnersWorld::start(open(), Some(ms(1_500)));
    assert!(world.owners[0].joined().await >= ms(1_500));
    let world = world.recovered();
    assert_eq!(world.owners[0].claim(&ids).await.unwrap().is_new, [false; 100]);
    world.stop();
    // An owner that lost them does not go on without them.
    std::fs::remove_dir_all(folders[0].path().join("messages")).unwrap();
    let world = OwnersWorld::start(open(), Some(ms(1_500)));
    let alarm = world.alarms[0].recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(format!("{alarm:?}").contains("message ids of the ticks 1 to 1500 are not in"), "{alarm:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_without_a_goodbye_takes_the_others_along_and_strangers_do_not() {
    let mut world = OwnersWorld::start((0..2).map(|_| in_memory(60_000)).collect(), None).recovered();
    world.owners[0].claim(&spread(1, 20)).await.unwrap();
    let (_to_hear, mut endings) = listen();
    drop(world.nets.pop());
    loop {
        let ending = timeout(Duration::from_secs(30), endings.recv()).await.unwrap().unwrap();
        // Other tests of this process may end, too.
        if ending.reason.starts_with("the connection to process 1 for message ids ended") {
            assert_eq!(ending.exit, Exit::Together);
            break;
        }
    }
}

/// Whoever finds the port and does not know the secret is not heard, and keeps nobody else out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_let_in() {
    use std::io::{Read, Write};

    use super::wire::{Frame, SECRET_BYTES};

    let endpoints = [OwnerEndpoint::open("127.0.0.1:0", 0).unwrap(), OwnerEndpoint::open("127.0.0.1:0", 0).unwrap()];
    let (ports, secrets): (Vec<u16>, Vec<String>) = endpoints.iter().map(OwnerEndpoint::said).unzip();
    assert_ne!(secrets[0], secrets[1]);
    let start = |process, endpoint| {
        let (alarm, alarms) = channel();
        let settings = OwnersSettings {
            process,
            hosts: vec!["127.0.0.1:1".to_owned(); 2],
            ports: ports.clone(),
            secret: secrets[0].clone(),
            endpoint,
            ids: in_memory(60_000),
            reaches: None,
            accept_partial: false,
            now: Arc::new(|| ms(1_000)),
            alarm,
        };
        let (owners, net) = Net::start(settings).unwrap();
        (owners, net, alarms)
    };
    let [first, second] = endpoints;
    let first = start(0, first);
    let hello = Said::Hello { secret: [0; SECRET_BYTES], process: 1, reaches: None, now: ms(1_000) };
    let mut frame = bytes::BytesMut::new();
    hello.write(&mut frame);
    for said in [&frame[..], b"GET / HTTP/1.1\r\n\r\n", &u32::MAX.to_be_bytes(), &[]] {
        let mut stranger = std::net::TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
        stranger.write_all(said).unwrap();
        stranger.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It may be reset: there was something that nobody read.
        _ = stranger.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    let second = start(1, second);
    for (owners, ..) in [&first, &second] {
        owners.pass(Some(Passed { before: ms(1_000), is_recovered: true }));
    }
    assert_eq!(second.0.claim(&spread(1, 20)).await.unwrap().is_new, [true; 20]);
    let stopping = [first, second].map(|(_, net, alarms)| (std::thread::spawn(move || net.stop()), alarms));
    for (thread, alarms) in stopping {
        thread.join().unwrap();
        assert!(alarms.try_recv().is_err());
    }
}
