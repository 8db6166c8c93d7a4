//! Files that are not as they were written, or not there.

use super::*;
use crate::dedupe::folder::RunFolder;

/// A folder with several runs, which have all ids that are in its log.
fn folder_with_runs() -> DedupeWorld {
    let mut world = DedupeWorld::new();
    let mut engine = world.start();
    for number in 0..80 {
        world.now += 1;
        world.send(&mut engine, &[number], true).unwrap();
        engine.work(1);
    }
    engine.work(usize::MAX);
    let runs = engine.shared.handed().runs.clone();
    assert!(runs.len() >= 2, "{runs:?}");
    world.checkpoint = runs.last().map(|newest| newest.through);
    world.log.retain(|tick, _| Some(*tick) <= world.checkpoint);
    world
}

/// Which numbers are recognised at the next tick.
fn recognised(world: &DedupeWorld, ids: &mut OnDisk) -> Vec<u64> {
    let tick = ms(world.now + 1);
    let is_known = |number: &u64| {
        let is_new = ids.admit(id(*number), tick).unwrap();
        ids.take_back(id(*number), tick);
        !is_new
    };
    (0..80).filter(is_known).collect()
}

fn paths(world: &DedupeWorld) -> Vec<PathBuf> {
    let runs = RunFolder::of(world.data(), None).read().unwrap();
    assert_eq!(world.expected().verify().unwrap(), (runs.len(), Vec::new()));
    files(&world.data().join("messages")).into_keys().filter(|path| !path.ends_with("RUNS")).collect()
}

#[test]
fn a_run_that_is_not_as_it_was_is_refused_and_looking_changes_nothing() {
    let world = folder_with_runs();
    for path in paths(&world) {
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let before = files(path.parent().unwrap());
            let said = match world.expected().verify() {
                Ok((_, said)) => said.join(" "),
                Err(error) => error.to_string(),
            };
            let name = path.to_str().unwrap();
            assert!(said.contains(name) && said.contains("delete its line in the file RUNS"), "byte {at}: {said}");
            assert_eq!(files(path.parent().unwrap()), before);
        }
        for end in [0, 10, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..end]).unwrap();
            let error = world.shared(world.expected()).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn what_was_looked_up_in_a_damaged_run_is_an_error() {
    let world = folder_with_runs();
    let mut found = 0;
    for path in paths(&world) {
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged.iter_mut().skip(64).for_each(|byte| *byte ^= 1);
        fs::write(&path, damaged).unwrap();
        let run = Run::open(&path).unwrap();
        assert!((0..80).all(|number| run.find(id(number)).is_err()));
        assert!(run.indexed().is_err());
        fs::write(&path, whole).unwrap();
        let run = Run::open(&path).unwrap();
        let indexed = run.indexed().unwrap();
        for number in 0..80 {
            let counted = run.find(id(number)).unwrap();
            assert_eq!(indexed.find(id(number)).unwrap(), counted);
            assert!(counted.is_none_or(|counted| world.counted[&id(number)] == counted));
            found += usize::from(counted.is_some());
        }
    }
    assert_eq!(found, world.log.len());
}

#[test]
fn lines_that_are_deleted_are_read_from_the_log_as_far_as_it_goes_back() {
    let world = folder_with_runs();
    let expected = recognised(&world, &mut world.start().ids);
    assert!(expected.len() > 40, "{expected:?}");
    let folder = world.data().join("messages");
    let list = folder.join("RUNS");
    let lines = fs::read_to_string(&list).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "process 0 of 1");
    for deleted in 1..=lines.len() {
        // All of them, at the end.
        let left = |n: &usize| *n == 0 || (deleted < lines.len() && *n != deleted);
        let rest: String = (0..lines.len()).filter(left).map(|n| lines[n].to_owned() + "\n").collect();
        let before = files(&folder);
        fs::write(&list, &rest).unwrap();

        let without_log = || ExpectedRuns { log_begins: Some(Tick::MAX), ..world.expected() };
        let error = world.shared(without_log()).unwrap_err().to_string();
        assert!(error.contains("are not in") && error.contains("--accept-partial"), "{error}");
        assert_eq!(without_log().check().unwrap_err().to_string(), error, "it is known before anything is opened");
        assert_eq!(without_log().verify().unwrap().1, [error.as_str()], "a look says so, too");
        assert_eq!(world.expected().verify().unwrap().1, Vec::<String>::new(), "the log has them");
        let untouched = files(&folder);
        assert_eq!(untouched.len(), before.len(), "refused means untouched");

        assert_eq!(recognised(&world, &mut world.start().ids), expected, "without line {deleted}");
        assert_eq!(recognised(&world, &mut world.start().ids), expected, "and it is in runs again");
        before.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
    // Those of a cluster nobody tells that are behind the checkpoint of their own process.
    fs::write(&list, "").unwrap();
    let cluster = || ExpectedRuns { told_by: ToldBy::AllLogs, ..world.expected() };
    assert!(matches!(cluster().check(), Err(DedupeError::Gone { from, .. }) if from == Tick::default()));
    let later = world.checkpoint.unwrap().after_ms(WINDOW_MS);
    assert!(ExpectedRuns { now: later, ..cluster() }.check().is_ok(), "they are over");
    assert!(ExpectedRuns { accept_partial: true, ..cluster() }.check().is_ok());
    assert!(ExpectedRuns { complete: None, ..cluster() }.check().is_ok());
    let without_log = || ExpectedRuns { log_begins: Some(Tick::MAX), ..world.expected() };
    let partial = world.shared(ExpectedRuns { accept_partial: true, ..without_log() }).unwrap();
    let mut ids = OnDisk::new(Arc::new(partial), window(), LOT, None);
    assert_eq!(recognised(&world, &mut ids), Vec::<u64>::new(), "whoever accepts it goes on without");
    for bad in ["1 2", "5 4 x", "x 4 x", "0 4 ../../x"] {
        fs::write(&list, bad).unwrap();
        let error = world.shared(without_log()).unwrap_err().to_string();
        assert!(error.contains("RUNS, line 1: expected"), "{error}");
    }
}

#[test]
fn the_ids_of_another_process_are_refused() {
    let world = folder_with_runs();
    let list = world.data().join("messages/RUNS");
    let whole = fs::read_to_string(&list).unwrap();
    let runs = whole.strip_prefix("process 0 of 1\n").unwrap();
    // As earlier versions wrote it.
    fs::write(&list, runs).unwrap();
    let expected = recognised(&world, &mut world.start().ids);
    assert_eq!(fs::read_to_string(&list).unwrap(), whole, "it says now whose it is");
    for other in ["process 1 of 3", "process 0 of 3"] {
        fs::write(&list, format!("{other}\n{runs}")).unwrap();
        let error = world.shared(world.expected()).unwrap_err().to_string();
        assert!(error.contains(&format!("are those of {other}, and this is process 0 of 1")), "{error}");
        assert_eq!(world.expected().check().unwrap_err().to_string(), error);
        assert_eq!(world.expected().verify().unwrap_err().to_string(), error);
        let unknown = ExpectedRuns { owner: None, ..world.expected() };
        assert!(unknown.check().is_ok(), "whoever does not know cannot say");
    }
    fs::write(&list, format!("process 3 of 3\n{runs}")).unwrap();
    assert!(world.expected().check().unwrap_err().to_string().contains("RUNS, line 1: expected"));
    fs::write(&list, whole).unwrap();
    assert_eq!(recognised(&world, &mut world.start().ids), expected);
}
