//! Ids over changes of a project, against plain rules; and what is written of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::definitions::Definitions;

use super::*;
use crate::project;

/// The definitions of a project with these audiences (name, condition), and a destination that is fed all of them.
fn definitions(audiences: &[(&str, &str)]) -> Arc<Definitions> {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "name = \"catalogue\"\n[identity]\nkey = \"0123456789abcdef\"\n\
                    [traits]\nseen = \"count('Seen')\"\n"
        .to_owned();
    for (name, condition) in audiences {
        text += &format!("[audiences.{name}]\nwhen = \"{condition}\"\n");
    }
    let names: Vec<&str> = audiences.iter().map(|(name, _)| *name).collect();
    text += &format!(
        "[destinations.crm]\ntype = \"file\"\npath = \"x\"\naudiences = {names:?}\nidentifiers = [\"user_id\"]\n"
    );
    std::fs::write(folder.path().join("deltaic.toml"), text).unwrap();
    project::load(folder.path(), &|_| None).unwrap().project.definitions
}

/// The id and version of each audience.
fn audiences(catalogue: &Catalogue) -> BTreeMap<String, (u32, u32)> {
    let of_kind = catalogue.iter().filter(|(kind, ..)| *kind == DefinitionKind::Audience);
    of_kind.map(|(_, name, of)| (name.to_owned(), (of.id.0, of.version))).collect()
}

const OFTEN: (&str, &str) = ("often", "seen >= 3");
const ABSENT: (&str, &str) = ("absent", "seen = 0");

#[test]
fn an_id_is_given_once() {
    let mut catalogue = Catalogue::default();
    let first = catalogue.update(&definitions(&[OFTEN]), Tick::default()).unwrap();
    // The audience, its measure, the trait and the destination.
    assert_eq!(first, Differences { added: 4, changed: 0, removed: 0 });
    let before = audiences(&catalogue);

    // One that sorts before it renumbers nothing; the destination has another view.
    let second = catalogue.update(&definitions(&[OFTEN, ABSENT]), Tick::default()).unwrap();
    assert_eq!(second, Differences { added: 1, changed: 1, removed: 0 });
    assert_eq!(audiences(&catalogue)["often"], before["often"]);
    assert_eq!(audiences(&catalogue)["absent"], (5, 1));
    assert_eq!(catalogue.update(&definitions(&[ABSENT, OFTEN]), Tick::default()).unwrap(), Differences::default());

    // The same under another version.
    catalogue.update(&definitions(&[("often", "seen >= 4"), ABSENT]), Tick::default()).unwrap();
    assert_eq!(audiences(&catalogue)["often"], (before["often"].0, 2));

    // Gone and back, as it was: another one.
    catalogue.update(&definitions(&[OFTEN]), Tick::default()).unwrap();
    assert_eq!(audiences(&catalogue)["often"], (before["often"].0, 3));
    catalogue.update(&definitions(&[OFTEN, ABSENT]), Tick::default()).unwrap();
    assert_eq!(audiences(&catalogue)["absent"], (6, 1));
    let ids: Vec<u32> = catalogue.iter().map(|(_, _, of)| of.id.0).collect();
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "{ids:?}");
}

#[test]
fn what_a_definition_refers_to_is_none_of_it() {
    let mut catalogue = Catalogue::default();
    catalogue.update(&definitions(&[OFTEN, ("both", "audience('often') and seen > 9")]), Tick::default()).unwrap();
    let differences = catalogue
        .update(&definitions(&[("often", "seen >= 5"), ("both", "audience('often') and seen > 9")]), Tick::default());
    assert_eq!(differences.unwrap(), Differences { added: 0, changed: 1, removed: 0 });
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Catalogue::read(folder.path()).unwrap(), None);
    let mut catalogue = Catalogue::default();
    catalogue.update(&definitions(&[OFTEN, ABSENT]), Tick::default()).unwrap();
    catalogue.update(&definitions(&[ABSENT]), Tick::default()).unwrap();
    catalogue.write(folder.path()).unwrap();
    // Half a file of a process that was killed.
    std::fs::write(folder.path().join("CATALOGUE.new"), "deltaic cat").unwrap();
    assert_eq!(Catalogue::read(folder.path()).unwrap(), Some(catalogue.clone()));

    let (path, whole) = (folder.path().join("CATALOGUE"), catalogue.to_text().into_bytes());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let cut = &whole[..at];
        for bytes in [&damaged, cut] {
            std::fs::write(&path, bytes).unwrap();
            let error = Catalogue::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("CATALOGUE"), "{error}");
        }
    }
    std::fs::write(&path, "deltaic catalogue, version 4\nwhatever").unwrap();
    let error = Catalogue::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("version \"4\"") && error.contains("run the version that wrote it"), "{error}");
    let large = std::fs::File::create(&path).unwrap();
    large.set_len(crate::limits::CATALOGUE_BYTES_MAX + 1).unwrap();
    assert!(Catalogue::read(folder.path()).unwrap_err().to_string().contains("larger than any can be"));
}

/// Who tells destinations of these names after these starts of so many processes, from a catalogue that an earlier version wrote
/// for the first.
#[track_caller]
fn check_tellers(processes: usize, starts: &[&[&str]], expected: &[(&str, usize)]) {
    let with = |names: &[&str]| {
        let id = |index: usize| format!("{} destination 1 0 ", index + 1);
        let lines: String = names.iter().enumerate().map(|(index, name)| format!("{}{name:?}\n", id(index))).collect();
        parsed(&format!("next {}\n{lines}", names.len() + 1)).unwrap()
    };
    let mut catalogue = Catalogue::default();
    for names in starts {
        let of = with(names);
        (catalogue.next, catalogue.by_name) = (of.next, of.by_name);
        catalogue.place(processes);
        catalogue = Catalogue::parse(&catalogue.to_text()).unwrap();
    }
    let tellers: Vec<(&str, usize)> = expected.iter().map(|(name, _)| (*name, catalogue.teller(name))).collect();
    assert_eq!(tellers, expected, "{starts:?}");
}

#[test]
fn a_destination_is_told_by_the_same_process_for_ever() {
    // The first as earlier versions did: by the place among all.
    check_tellers(3, &[&["b", "c", "d", "e"]], &[("b", 0), ("c", 1), ("d", 2), ("e", 0)]);
    check_tellers(3, &[&["b", "c"], &["a", "b", "c"]], &[("a", 2), ("b", 0), ("c", 1)]);
    check_tellers(2, &[&["b", "c"], &["b"], &["a", "b"], &["a", "b", "c"]], &[("a", 1), ("b", 0), ("c", 1)]);
    check_tellers(2, &[&["b"], &[], &["a", "b"]], &[("a", 1), ("b", 0)]);
    check_tellers(1, &[&["a", "b"]], &[("a", 0), ("b", 0)]);
}

#[test]
fn tellers_that_contradict_others_are_refused() {
    let catalogue = |lines: &str| {
        let text = format!("deltaic catalogue, version 2\nnext 1\n{lines}");
        let checksum = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        Catalogue::parse(&format!("{text}checksum {checksum:016x}\n"))
    };
    let first = catalogue("teller 1 \"a\"\nteller 0 \"b\"\n").unwrap();
    let moved = catalogue("teller 0 \"a\"\n").unwrap();
    assert_eq!(first.keeps_tellers(&Catalogue::default(), 2), Ok(()));
    assert!(
        moved.keeps_tellers(&first, 2).unwrap_err().contains("process 0 tells destination \"a\", and process 1 did")
    );
    assert!(first.keeps_tellers(&first, 1).unwrap_err().contains("and there are 1"));
    assert!(catalogue("teller 1 \"a\"\nteller 1 \"a\"\n").unwrap_err().contains("twice"));
    assert!(catalogue("teller x \"a\"\n").unwrap_err().contains("line 3 is no definition"));
    check_refused("next 1\nteller 1 \"a\"\n", "line 3 is no definition");
}

/// With its checksum made right, so that only the rules are left.
fn parsed(lines: &str) -> Result<Catalogue, String> {
    let text = format!("deltaic catalogue, version 1\n{lines}");
    let checksum = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
    Catalogue::parse(&format!("{text}checksum {checksum:016x}\n"))
}

#[track_caller]
fn check_refused(lines: &str, expected: &str) {
    let refused = parsed(lines).unwrap_err();
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn a_catalogue_that_contradicts_itself_is_refused() {
    check_refused("", "the next id");
    check_refused("next -1\n", "the next id");
    check_refused("next 2\n2 trait 1 0 \"a\"\n", "line 3: id 2 is not between");
    check_refused("next 3\n2 trait 1 0 \"a\"\n1 trait 1 0 \"b\"\n", "line 4: id 1 is not between");
    check_refused("next 3\n1 trait 1 0 \"a\"\n2 trait 1 0 \"a\"\n", "line 4: the definition is there twice");
    check_refused("next 3\n0 trait 1 0 \"a\"\n", "line 3: id 0 is not between");
    check_refused("next 3\n1 trait 0 0 \"a\"\n", "line 3 is no definition");
    check_refused("next 3\n1 treat 1 0 \"a\"\n", "line 3 is no definition");
    check_refused("next 3\n1 trait 1 0 a\n", "line 3 is no definition");
}

#[test]
fn ids_end_and_do_not_begin_again() {
    let text = |next| Catalogue { next, ..Catalogue::default() };
    assert!(matches!(text(u32::MAX).update(&definitions(&[OFTEN]), Tick::default()), Err(CatalogueError::Exhausted)));
}

/// What process 1 says to what process 0 has, after these projects each.
fn agreed(first: &[&[(&str, &str)]], second: &[&[(&str, &str)]], of_second: &[(&str, &str)]) -> Result<(), String> {
    let catalogue = |updates: &[&[(&str, &str)]]| {
        let mut catalogue = Catalogue::default();
        updates.iter().for_each(|to| _ = catalogue.update(&definitions(to), Tick::default()).unwrap());
        catalogue
    };
    let folder = tempfile::tempdir().unwrap();
    if !second.is_empty() {
        catalogue(second).write(folder.path()).unwrap();
    }
    let agreement =
        Agreement::open(Some(folder.path().to_owned()), definitions(of_second), (1, 2), Tick::default()).unwrap();
    agreement.hear(&catalogue(first).to_text())?;
    agreement.keep().unwrap();
    assert_eq!(agreement.agreed(), catalogue(first));
    assert_eq!(Catalogue::read(folder.path()).unwrap(), Some(catalogue(first)), "it is kept");
    Ok(())
}

#[test]
fn a_process_takes_what_process_0_has_if_it_is_of_its_own_past_and_project() {
    let (one, two): (&[_], &[_]) = (&[OFTEN], &[OFTEN, ABSENT]);
    assert_eq!(agreed(&[one, two], &[], two), Ok(()), "a new process");
    assert_eq!(agreed(&[one, two], &[one, two], two), Ok(()));
    assert_eq!(agreed(&[one, two, one, two], &[one], two), Ok(()), "it missed some starts");
    let refused = agreed(&[one, two], &[one, two], one).unwrap_err();
    assert!(refused.contains("give all of them the same project"), "{refused}");
    // An older copy of the folder of process 0.
    let refused = agreed(&[one], &[one, two, one], one).unwrap_err();
    assert!(refused.contains("start each process with the data folder that it had"), "{refused}");
    // The folder of another cluster: `absent` and `often` got their ids in another order.
    let refused = agreed(&[one, two], &[two], two).unwrap_err();
    assert!(refused.contains("has id"), "{refused}");
    let refused =
        Agreement::open(None, definitions(one), (1, 2), Tick::default()).unwrap().hear("deltaic").unwrap_err();
    assert!(refused.contains("the catalogue of process 0"), "{refused}");
}
