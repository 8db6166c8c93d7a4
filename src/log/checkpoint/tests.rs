//! Checkpoints on real folders: made bit by bit, damaged, and used under other definitions.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::definitions::MeasureId;
use dataflows::facts::Facts;
use dataflows::model::{IdentifierId, Part};
use tempfile::TempDir;

use super::checkpointer::drop_up_to;
use super::make::LeftOut;
use super::*;
use crate::history::{Archive, Folder, HistoryWriter, Portion};
use crate::ingest::segment::{reading, stored_event_decoder};
use crate::log::{DurableLog, Log, Store, Stored};
use crate::project::{self, Durability};

const PROJECT: &str = r#"
name = "checkpoints"
[identity]
key = "0123456789abcdef"
[traits]
spent = "sum('Bought', properties.total)"
cheapest = "min('Bought', properties.total)"
[audiences.lately]
when = "count('Seen', within => '1 minute') >= 2"
"#;

/// Two more things to count: one with a short window, one for ever.
const MORE: &str = r#"
[audiences.hasty]
when = "count('Bought', within => '10 seconds') >= 2"
"#;
const EVER: &str = r#"
[audiences.regular]
when = "count('Seen') >= 5"
"#;

const START_MS: u64 = 1_700_000_000_000;

/// A data folder.
struct CheckpointWorld {
    folder: TempDir,
    has_history: bool,
}

impl CheckpointWorld {
    /// One whose log has an event a second, `events` in all.
    fn new(events: u64) -> Self {
        let world = CheckpointWorld { folder: tempfile::tempdir().unwrap(), has_history: false };
        let store = world.store();
        let mut log = DurableLog::open(store.clone(), Durability::Os).unwrap();
        for n in 0..events {
            let tick = Tick::from_ms(START_MS + n * 1_000);
            let (user, device, total) = (n * 7 % 5, n * 11 % 8, n % 13);
            let raw = if n % 3 == 0 {
                format!(
                    r#"{{"event":"Bought","userId":"u{user}","anonymousId":"d{device}","properties":{{"total":{total}}},"traits":{{"city":"c{n}","email":"e{user}@x.org"}}}}"#
                )
            } else {
                format!(r#"{{"event":"Seen","anonymousId":"d{device}"}}"#)
            };
            let raw = raw.replacen('{', &format!(r#"{{"type":"track","timestamp":"{}","#, time(tick)), 1);
            let stored = Stored { message: n.into(), source: Some("app".into()), raw: Bytes::from(raw.clone()) };
            let event = stored_event_decoder(&world.project(PROJECT))(&stored).unwrap();
            log.append(
                tick,
                &[crate::log::Accepted { message: n.into(), source: "app".into(), raw: Bytes::from(raw), event }],
            )
            .unwrap();
            if n % 10 == 9 {
                // As a checkpoint would.
                store.end_segment();
            }
        }
        world
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn store(&self) -> Store {
        Store::open(&self.data()).unwrap()
    }

    fn archive(&self) -> Option<Archive> {
        let place = Arc::new(Folder::new(self.data().join("history")));
        self.has_history.then(|| Archive::open(place, "key".to_owned()).unwrap())
    }

    fn writer(&self) -> HistoryWriter {
        HistoryWriter::new(Arc::new(Folder::new(self.data().join("history"))), "key".to_owned(), None, None)
    }

    fn kept(&self) -> CheckpointList {
        CheckpointList::open(&self.data()).unwrap()
    }

    fn project(&self, text: &str) -> Project {
        fs::write(self.folder.path().join("deltaic.toml"), text).unwrap();
        project::load(self.folder.path(), &|_| None).unwrap().project
    }

    fn gatherer(&self, store: &Store, project: &Project) -> Gatherer {
        Gatherer::new(store.clone(), project, reading(project), 0)
    }

    /// Makes checkpoints of so many events each, until the log ends.
    fn checkpoints(&self, events: u64) {
        let store = self.store();
        self.checkpoints_by(&self.gatherer(&store, &self.project(PROJECT)), events);
    }

    fn checkpoints_by(&self, gatherer: &Gatherer, events: u64) {
        let mut kept = self.kept();
        loop {
            let newest = kept.newest().cloned();
            let after = newest.as_ref().map_or(Tick::default(), |newest| newest.tick);
            let gathered = gatherer
                .gather(gatherer.log(after), (Tick::MAX, events, &|_| true), &LeftOut::default(), None)
                .unwrap();
            if gathered.events == 0 {
                return;
            }
            let tick = gathered.tick;
            gatherer.make(&mut kept, newest.as_ref(), gathered, tick, MessageIds::Within).unwrap();
        }
    }

    fn plan(&self, text: &str, accept_partial: bool) -> Result<Option<CheckpointContent>, String> {
        let (store, mut kept, project) = (self.store(), self.kept(), self.project(text));
        let gatherer = self.gatherer(&store, &project);
        let archive = self.archive();
        let newest = kept.newest().map_or(Tick::default(), |newest| newest.tick);
        let past = begins(&store, newest).map_err(CheckpointError::from);
        let restore = past.and_then(|begins| {
            let past = PastSources::new(begins, archive.as_ref());
            RecoveryPlan::new(&past, &kept, &project, accept_partial)?
                .prepare(&past, &store, &mut kept, &gatherer, &project)
        });
        match restore {
            Ok(None) => Ok(None),
            Ok(Some(restore)) => content(restore.pieces).map(Some),
            Err(error) => Err(error.to_string().replace(self.folder.path().to_str().unwrap(), "")),
        }
    }

    /// All that is in the log, as it would be in a checkpoint under `text`.
    fn at_once(&self, text: &str) -> CheckpointContent {
        let other = CheckpointWorld { folder: tempfile::tempdir().unwrap(), has_history: false };
        let (store, mut kept, project) = (self.store(), other_kept(&other), self.project(text));
        let gatherer = self.gatherer(&store, &project);
        let gathered = gatherer
            .gather(gatherer.log(Tick::default()), (Tick::MAX, u64::MAX, &|_| true), &LeftOut::default(), None)
            .unwrap();
        let tick = gathered.tick;
        gatherer.make(&mut kept, None, gathered, tick, MessageIds::Within).unwrap();
        let (head, pieces) = kept.read(kept.newest().unwrap()).unwrap();
        content(pieces.measures(make::of_today(&head, &signatures(&project.definitions)))).unwrap()
    }
}

fn other_kept(other: &CheckpointWorld) -> CheckpointList {
    fs::create_dir_all(other.data()).unwrap();
    other.kept()
}

fn time(tick: Tick) -> String {
    jiff::Timestamp::from_millisecond(tick.as_ms().try_into().unwrap()).unwrap().to_string()
}

/// What is in a checkpoint.
#[derive(Debug, Default, PartialEq)]
struct CheckpointContent {
    facts: Vec<(IdentifierId, Facts)>,
    messages: Vec<(Tick, Vec<u128>)>,
}

fn content(pieces: Pieces) -> Result<CheckpointContent, String> {
    let mut content = CheckpointContent::default();
    for piece in pieces {
        match piece.map_err(|error| error.to_string())? {
            CheckpointPiece::Facts(facts) => content.facts.extend(facts),
            CheckpointPiece::Messages(messages) => content.messages.extend(messages),
        }
    }
    assert!(content.facts.is_sorted_by_key(|(id, _)| *id));
    Ok(content)
}

#[test]
fn bit_by_bit_is_what_it_would_be_at_once() {
    for events in [1, 7, 40, 1_000] {
        let world = CheckpointWorld::new(100);
        world.checkpoints(events);
        let content = world.plan(PROJECT, false).unwrap().unwrap();
        assert_eq!(content.facts.len(), 5 + 8 + 5);
        assert_eq!(content.messages.len(), 100);
        assert_eq!(content, world.at_once(PROJECT), "{events} events each");
    }
}

#[test]
fn what_new_definitions_count_is_added_from_the_log() {
    let world = CheckpointWorld::new(100);
    world.checkpoints(40);
    let text = [PROJECT, MORE, EVER].concat();
    let expected = world.at_once(&text);
    assert_eq!(world.plan(&text, false), Ok(Some(expected)));
    assert_eq!(world.kept().entries().len(), 2, "it is kept, in the place of the one that it was made of");
}

#[test]
fn what_does_not_count_counts_for_no_new_definition_either() {
    let (world, same) = (CheckpointWorld::new(100), CheckpointWorld::new(100));
    world.checkpoints(40);
    let dropped = Tick::from_ms(START_MS + 60_000);
    // Two that count for `regular`, and one that the log will not have any more.
    let repeated = [(61, 61), (70, 70), (59, 59)].map(|(s, id): (u64, u128)| (Tick::from_ms(START_MS + s * 1_000), id));
    repeated::keep_for_tests(&world.store(), repeated);
    let text = [PROJECT, EVER].concat();
    let counted = |world: &CheckpointWorld| {
        let content = world.plan(&text, false).unwrap().unwrap();
        let of_new = content.facts.into_iter().flat_map(|(_, facts)| facts.parts);
        let counts = of_new.filter_map(|(at, part, weight)| match part {
            Part::Count(measure) if at == Tick::default() && is_regular(world, &text, measure) => Some(weight.0),
            _ => None,
        });
        counts.sum::<i128>()
    };
    same.checkpoints(40);
    assert_eq!(counted(&world), counted(&same) - 3);

    drop_up_to(&world.store(), dropped).unwrap();
    let kept = repeated::up_to(&world.store(), Tick::MAX).unwrap();
    assert_eq!(kept, repeated.into_iter().filter(|(tick, _)| *tick > dropped).collect());
}

/// Whether a measure counts what was seen, ever.
fn is_regular(world: &CheckpointWorld, text: &str, measure: MeasureId) -> bool {
    world.project(text).definitions.measures[measure.index()].within.is_none()
}

#[test]
fn what_no_definition_counts_any_more_is_left_out() {
    let world = CheckpointWorld::new(50);
    world.checkpoints(50);
    let text = PROJECT.replace("cheapest = \"min('Bought', properties.total)\"", "");
    assert_eq!(world.plan(&text, false), Ok(Some(world.at_once(&text))));
}

#[test]
fn other_rules_of_identity_take_the_log() {
    let world = CheckpointWorld::new(50);
    world.checkpoints(20);
    let text = PROJECT.replace("[identity]", "[identity]\nblocked = [\"u1\"]");
    assert_eq!(world.plan(&text, false), Ok(None));
    assert_eq!(world.kept().entries(), [], "they would be of no use");
}

#[test]
fn events_that_meant_something_else_are_read_anew() {
    let checkpoints = |world: &CheckpointWorld| {
        let store = world.store();
        let gatherer = world.gatherer(&store, &world.project(PROJECT)).of_another_meaning();
        world.checkpoints_by(&gatherer, 20);
    };
    let world = CheckpointWorld::new(50);
    checkpoints(&world);
    assert_eq!(world.plan(PROJECT, false), Ok(None), "the log has all of them");
    assert_eq!(world.kept().entries(), []);

    // Where it has not, nothing is refused, and the checkpoint stays.
    let world = CheckpointWorld::new(50);
    checkpoints(&world);
    let expected = world.at_once(PROJECT);
    drop_up_to(&world.store(), Tick::from_ms(START_MS + 20_000)).unwrap();
    assert_eq!(world.plan(PROJECT, false), Ok(Some(expected)));
}

#[track_caller]
fn check_gone(world: &CheckpointWorld, text: &str, expected: &str) {
    let begins = Tick::from_ms(START_MS + 49_000);
    let expected = format!(
        "{expected}; log and history begin after tick {begins} and what came before is not kept in a form that serves: \
         undo the change, or start with --accept-partial to go on with what there is"
    );
    assert_eq!(world.plan(text, false), Err(expected));
    // Whoever accepts it gets what can be had.
    world.plan(text, true).unwrap();
}

#[test]
fn what_cannot_be_rebuilt_is_said_before_anything_starts() {
    let world = CheckpointWorld::new(200);
    world.checkpoints(100);
    drop_up_to(&world.store(), Tick::from_ms(START_MS + 50_000)).unwrap();
    world.plan(PROJECT, false).unwrap();
    // The log has the ten seconds, and what the clock of a sender may be ahead: what is not there has left the window.
    world.plan(&[PROJECT, MORE].concat(), false).unwrap();
    let ever = [PROJECT, MORE, EVER].concat();
    check_gone(&world, &ever, "new, and cannot be counted completely: audience regular");
    let born = [PROJECT, "[audiences.old]\nwhen = \"born < '2000-01-01T00:00:00Z'\"\n[attributes]\nborn = \"time\"\n"];
    check_gone(&world, &born.concat(), "other attributes are times than in the checkpoint");
    let merged = [PROJECT, "[attributes.address]\nmerge = \"deep\"\n"];
    check_gone(&world, &merged.concat(), "objects are merged in other attributes than in the checkpoint");
    let blocked = PROJECT.replace("[identity]", "[identity]\nblocked = [\"u1\"]");
    check_gone(&world, &blocked, "the rules of identity, or their key, are others than those of the checkpoint");
}

/// A field had one type in a project once, also where nothing was expected of it.
#[test]
fn a_measure_is_known_though_its_fields_have_other_types_now() {
    let project = CheckpointWorld::new(1).project(PROJECT);
    let head = |meaning| {
        let measures =
            ["count \"Seen\"", "distinct properties.\"id\":text \"Seen\"", "sum properties.\"n\":number \"Seen\""];
        let basis = Basis { meaning, ..Basis::of(&project) };
        file::CheckpointHead::new(Tick::default(), basis, measures.map(str::to_owned).to_vec(), MessageIds::Within)
    };
    let today = ["distinct properties.\"id\" \"Seen\"", "count \"Seen\"", "sum properties.\"n\":number \"Else\""];
    let today = today.map(str::to_owned);
    let [count, distinct] = [1, 0].map(|place| Some(MeasureId::new(place)));
    assert_eq!(make::of_today(&head(0), &today), [count, distinct, None]);
    assert_eq!(
        make::of_today(&head(TYPED_IN_EACH_USE), &today),
        [count, None, None],
        "later it would be another measure"
    );
}

#[test]
fn a_log_without_its_beginning_takes_a_checkpoint() {
    let world = CheckpointWorld::new(100);
    drop_up_to(&world.store(), Tick::from_ms(START_MS + 50_000)).unwrap();
    check_gone(&world, PROJECT, "there is no checkpoint");
}

/// Lets a checkpointer work until there are so many checkpoints of all 100 events, the first up to `first`.
fn checkpointed(world: &CheckpointWorld, due: u64, first: u64, checkpoints: u64) {
    let log = DurableLog::open(world.store(), Durability::Os).unwrap();
    log.history(Tick::default()).for_each(drop);
    log.growth().recovered();
    let settings = CheckpointerSettings {
        store: log.store().clone(),
        kept: world.kept(),
        gatherer: world.gatherer(log.store(), &world.project(PROJECT)),
        growth: log.growth(),
        due: Some(due),
        history: world.has_history.then(|| world.writer()),
        seal: None,
        bound: Box::new({
            let growth = log.growth();
            move || if growth.checkpoints() == 0 { Tick::from_ms(first) } else { Tick::MAX }
        }),
        may_be_of: Box::new(|_, _| true),
    };
    let checkpointer = Checkpointer::start(settings).unwrap();
    let began = Instant::now();
    while log.growth().behind() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoints");
        std::thread::yield_now();
    }
    drop(checkpointer);
    assert_eq!(log.growth().checkpoints(), checkpoints);
    assert_eq!(log.growth().checkpoint(), log.last().unwrap());
}

/// Each took twice as many events as make one due, and where those came faster fell behind for ever.
#[test]
fn checkpoints_that_are_due_often_take_all_that_there_is() {
    let world = CheckpointWorld::new(100);
    let expected = world.at_once(PROJECT);
    checkpointed(&world, 1, u64::MAX, 1);
    assert_eq!(world.plan(PROJECT, false), Ok(Some(expected)));
}

#[test]
fn the_log_stays_for_the_older_of_two_checkpoints() {
    let world = CheckpointWorld::new(100);
    let expected = world.at_once(PROJECT);
    checkpointed(&world, 25, START_MS + 49_000, 2);

    // The newer is lost.
    let list = world.data().join("CHECKPOINTS");
    let lines = fs::read_to_string(&list).unwrap();
    assert_eq!(lines.lines().count(), 2);
    fs::write(&list, lines.lines().next().unwrap()).unwrap();
    let left = world.kept().newest().unwrap().tick;
    let first = world.store().history(left).next().unwrap().unwrap();
    assert_eq!(first.tick, left.after_ms(1_000), "what is next to it is there");
    world.checkpoints(1_000);
    assert_eq!(world.plan(PROJECT, false), Ok(Some(expected)));
}

/// Of a log whose first half is cut, and a history that has it.
#[test]
fn the_history_has_what_the_log_lost() {
    let texts = [
        PROJECT.to_owned(),
        [PROJECT, MORE, EVER].concat(),
        PROJECT.replace("[identity]", "[identity]\nblocked = [\"u1\"]"),
        [PROJECT, EVER, "[audiences.old]\nwhen = \"born < '2000-01-01T00:00:00Z'\"\n[attributes]\nborn = \"time\"\n"]
            .concat(),
    ];
    for text in &texts {
        let world = CheckpointWorld { has_history: true, ..CheckpointWorld::new(100) };
        let expected = world.at_once(text);
        checkpointed(&world, 25, START_MS + 49_000, 2);
        let first = world.store().history(Tick::default()).next().unwrap().unwrap().tick;
        assert_eq!(first, Tick::from_ms(START_MS + 50_000), "the first half is gone");
        assert!(world.plan(text, false) == Ok(Some(expected)), "{text}");
    }

    // Without any checkpoint, too; and where the log does not follow on the one that is left.
    for lines_left in [0, 1] {
        let world = CheckpointWorld { has_history: true, ..CheckpointWorld::new(100) };
        let expected = world.at_once(&texts[1]);
        checkpointed(&world, 25, START_MS + 49_000, 2);
        drop_up_to(&world.store(), Tick::from_ms(START_MS + 80_000)).unwrap();
        let list = world.data().join("CHECKPOINTS");
        let lines = fs::read_to_string(&list).unwrap();
        let left: String = lines.lines().take(lines_left).collect();
        fs::write(&list, if left.is_empty() { "none\n" } else { &left }).unwrap();
        assert!(world.plan(&texts[1], false) == Ok(Some(expected)), "{lines_left} checkpoints left");
    }
}

#[test]
fn a_history_that_begins_late_says_so() {
    let mut world = CheckpointWorld::new(200);
    world.checkpoints(100);
    drop_up_to(&world.store(), Tick::from_ms(START_MS + 50_000)).unwrap();
    world.has_history = true;
    let gatherer = world.gatherer(&world.store(), &world.project(PROJECT));
    gatherer.catch_up(&mut world.archive().unwrap(), Tick::from_ms(START_MS + 199_000)).unwrap();
    drop(gatherer);
    let archive = world.archive().unwrap();
    assert_eq!(
        (archive.begins(), archive.until()),
        (Tick::from_ms(START_MS + 49_000), Tick::from_ms(START_MS + 199_000))
    );
    // Now the log goes further; what is said is where the history begins.
    drop_up_to(&world.store(), Tick::from_ms(START_MS + 150_000)).unwrap();
    world.plan(&[PROJECT, MORE].concat(), false).unwrap();
    check_gone(&world, &[PROJECT, MORE, EVER].concat(), "new, and cannot be counted completely: audience regular");
    // The history was away for a while: there is a gap, and it begins behind it.
    let gatherer = world.gatherer(&world.store(), &world.project(PROJECT));
    let other = CheckpointWorld { folder: tempfile::tempdir().unwrap(), has_history: true };
    let mut archive = other.archive().unwrap();
    archive.begin(Tick::from_ms(START_MS + 20_000)).unwrap();
    gatherer.catch_up(&mut archive, Tick::from_ms(START_MS + 199_000)).unwrap();
    assert_eq!(archive.begins(), Tick::from_ms(START_MS + 149_000));
}

/// What is in the history is what was in the log, without what does not count, and with its places.
#[test]
fn the_history_has_what_counted() {
    let world = CheckpointWorld { has_history: true, ..CheckpointWorld::new(100) };
    let gatherer = world.gatherer(&world.store(), &world.project(PROJECT));
    let mut expected: Vec<Portion> = gatherer.log(Tick::default()).collect::<Result<_, _>>().unwrap();
    drop(gatherer);
    let repeated = [(61, 61), (70, 70)].map(|(s, id): (u64, u128)| (Tick::from_ms(START_MS + s * 1_000), id));
    repeated::keep_for_tests(&world.store(), repeated);
    // Once caught up with, once as checkpoints are made.
    let gatherer = world.gatherer(&world.store(), &world.project(PROJECT));
    gatherer.catch_up(&mut world.archive().unwrap(), Tick::from_ms(START_MS + 80_000)).unwrap();
    drop(gatherer);
    checkpointed(&world, 25, START_MS + 49_000, 2);
    expected.retain(|portion| !repeated.iter().any(|(tick, _)| *tick == portion.tick));
    let archive = world.archive().unwrap();
    let found: Vec<Portion> = archive.portions(Tick::default(), Tick::MAX).collect::<Result<_, _>>().unwrap();
    assert!(found == expected);
    assert!(found.iter().all(|portion| portion.events[0].position.tick == portion.tick));
    assert_eq!(archive.until(), Tick::from_ms(START_MS + 99_000));
}

/// What its people's facts are without an event is what they are in a log that never had it.
#[test]
fn facts_are_gathered_anew_without_an_event() {
    let world = CheckpointWorld { has_history: true, ..CheckpointWorld::new(100) };
    let (store, project) = (world.store(), world.project(PROJECT));
    let at = Tick::from_ms(START_MS + 70_000);
    let cause: Repeated = [(Tick::from_ms(START_MS + 21_000), 21u128)].into_iter().collect();
    let all = |left_out: LeftOut| {
        let (gatherer, until) = (world.gatherer(&store, &project), Tick::from_ms(at.as_ms() - 1));
        let gathered =
            gatherer.gather(gatherer.log(Tick::default()), (until, u64::MAX, &|_| true), &left_out, None).unwrap();
        let mut facts = gathered.facts();
        facts.values_mut().for_each(|facts| facts.settle(until, &project.definitions));
        facts
    };
    let with = all(LeftOut::default());
    let without = all(LeftOut { repeated: cause.clone(), all_but: None });
    let check = |gatherer: &Gatherer, past: &PastSources<'_>| {
        let replaced = gatherer.without(past, &cause, &LeftOut::default(), at).unwrap();
        assert_eq!(replaced.len(), 3, "a user, a device and an address");
        for replacement in &replaced {
            assert_eq!(Some(&replacement.before), with.get(&replacement.id));
            assert_eq!(Some(&replacement.after), without.get(&replacement.id));
        }
        assert!(replaced.iter().any(|replacement| replacement.before != replacement.after), "it had an effect");
        for (id, facts) in with.iter().filter(|(id, _)| replaced.iter().all(|replacement| replacement.id != **id)) {
            assert_eq!(without.get(id), Some(facts), "nobody else is concerned");
        }
    };
    check(&world.gatherer(&store, &project), &PastSources::new(begins(&store, Tick::default()).unwrap(), None));
    drop(store);
    // From the history, where the log does not have it any more; without one it is refused.
    checkpointed(&world, 25, START_MS + 49_000, 2);
    let store = world.store();
    let gatherer = world.gatherer(&store, &project);
    let log = begins(&store, Tick::default()).unwrap();
    assert_eq!(log, Some(Tick::from_ms(START_MS + 49_000)));
    check(&gatherer, &PastSources::new(log, world.archive().as_ref()));
    let refused =
        gatherer.without(&PastSources::new(log, None), &cause, &LeftOut::default(), at).unwrap_err().to_string();
    assert!(refused.contains("neither in the history nor in the log"), "{refused}");
}

#[test]
fn the_end_of_the_log_stays() {
    let world = CheckpointWorld::new(35);
    assert_eq!(drop_up_to(&world.store(), Tick::MAX).unwrap(), 30, "in whole segments");
    let log = DurableLog::open(world.store(), Durability::Os).unwrap();
    assert_eq!(log.last(), Some(Tick::from_ms(START_MS + 34_000)));
    assert_eq!(log.history(Tick::default()).count(), 5);
}

/// The newest checkpoint's file.
fn newest(world: &CheckpointWorld) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(world.data().join("checkpoints")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.pop().unwrap()
}

#[track_caller]
fn check_refused(world: &CheckpointWorld, expected: &[&str]) {
    let kept = CheckpointList::open(&world.data());
    let error = match kept {
        Err(error) => error.to_string(),
        Ok(_) => world.plan(PROJECT, false).unwrap_err(),
    };
    for part in expected {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_checkpoint_that_is_not_as_it_was_is_refused_and_can_be_left_out() {
    let world = CheckpointWorld::new(100);
    world.checkpoints(50);
    let (file, list) = (newest(&world), world.data().join("CHECKPOINTS"));
    let name = file.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(&file).unwrap();

    for at in [0, 1, 9, 20, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        check_refused(&world, &[name, "delete its line in"]);
    }
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    check_refused(&world, &[name, "bytes and not", "delete its line in", "CHECKPOINTS"]);
    fs::remove_file(&file).unwrap();
    check_refused(&world, &[name, "cannot be had", "delete its line in", "CHECKPOINTS"]);

    // The way out that the message names.
    let lines = fs::read_to_string(&list).unwrap();
    fs::write(&list, lines.lines().next().unwrap()).unwrap();
    let content = world.plan(PROJECT, false).unwrap().unwrap();
    assert_eq!(content.messages.len(), 50);

    fs::write(&list, "somewhere else\n").unwrap();
    check_refused(&world, &["CHECKPOINTS, line 1: expected"]);
    fs::write(&list, "1 2 3 ../../TAIL\n").unwrap();
    check_refused(&world, &["CHECKPOINTS, line 1: expected"]);
}

#[test]
fn what_is_not_listed_goes() {
    let world = CheckpointWorld::new(10);
    world.checkpoints(10);
    let left = world.data().join("checkpoints").join("half");
    fs::write(&left, "half").unwrap();
    world.kept().sweep();
    assert!(!left.exists());
    assert_eq!(world.kept().entries().len(), 1);
}
