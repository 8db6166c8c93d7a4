//! `deltaic check` with files: what definitions read, and events do not have.

use std::path::Path;

use crate::program::{EndedProgram, example, project, run};

const PROJECT: &str = r#"
name = "shop"
identity.key = "k"
[sources.web]
write_key = "web-key"
[traits]
ltv = "sum('Order Completed', properties.total)"
first_item = "last('Order Completed', properties.items)"
skus = "distinct('Order Completed', properties.sku.id)"
spent = "sum('Order Completed', item.prise * item.quantity, each => properties.products)"
cheap = "count('Order Completed', where => any(properties.items, item = 'cheap'))"
first_price = "first('Order Completed', properties.products.price)"
has_interests = "length(interests) > 0 and any(interests, item = 'x')"
[audiences.a]
when = "city = 'Rome' and plan = 'pro' and count('Product Veiwed', where => properties.price > 5) > 0"
[destinations.all]
type = "file"
path = "out"
events = ["*"]
drop = []
where = "context.app.name = 'shop'"
"#;

const EVENTS: [&str; 5] = [
    r#"{"type":"track","event":"Order Completed","userId":"a","timestamp":"2026-01-01","properties":{"total":"12,50","items":[1,2],"sku":{"id":"x"},"products":[{"price":1,"quantity":1},{"quantity":"2"}]}}"#,
    r#"{"type":"track","event":"Order Completed","userId":"a","timestamp":"2026-01-01","properties":{"total":[5],"items":{"a":1}}}"#,
    r#"{"type":"track","event":"Product Viewed","userId":"a","timestamp":"2026-01-01","context":{"app":{"name":"shop"}}}"#,
    r#"{"type":"identify","userId":"a","timestamp":"2026-01-01","traits":{"city":"Rome","interests":"x, y"}}"#,
    "not JSON",
];

fn check(folder: &Path, more: &[&str]) -> EndedProgram {
    run(&[&["check", folder.to_str().unwrap()], more].concat())
}

#[test]
fn files_of_events_say_what_definitions_miss() {
    let folder = project(PROJECT);
    let events = folder.path().join("events.jsonl");
    std::fs::write(&events, EVENTS.join("\n")).unwrap();
    let ended = check(folder.path(), &["--events", events.to_str().unwrap()]);
    assert!(ended.status.success(), "{ended:?}");
    let expected = r#"shop: 7 traits, 1 audience, 7 measures, 1 destination: no errors
  4 events looked at
  ⚠ 1 lines rejected: not_json; the first is EVENTS:5: not JSON: expected ident at line 1 column 2
  ⚠ properties.items[] (string) of "Order Completed" is an object in 1 of 2 events: the fields in it have names of their own, so trait cheap misses it
  ⚠ properties.items[] (string) of "Order Completed" is something else in 1 of 2 events: the definition expects another type, so trait cheap misses it
  ⚠ properties.products.price (any type) of "Order Completed" is within an array in 1 of 2 events: its elements are looked into by `[0]`, `any` or `each`, so trait first_price misses it
  ⚠ properties.total (number) of "Order Completed" is a list in 1 of 2 events: its elements have names of their own, such as [0], so trait ltv misses it
  ⚠ properties.total (number) of "Order Completed" is something else in 1 of 2 events: the definition expects another type, so trait ltv misses it
  ⚠ properties.products[].prise (number) of "Order Completed" is never there, and trait spent reads it
  ⚠ no event is "Product Veiwed", which audience a reads; there is "Product Viewed"
  ⚠ attribute interests is something else than a list in 1 of 1 events: trait has_interests misses it
  ⚠ no event sets attribute plan, which audience a reads
"#;
    assert_eq!(ended.stdout, expected.replace("EVENTS", events.to_str().unwrap()));
    // Without a file there is nothing to say.
    assert_eq!(check(folder.path(), &[]).stdout, expected.lines().next().unwrap().to_owned() + "\n");
    // Where none is right, a script is to know.
    std::fs::write(&events, "not JSON\n{}\n").unwrap();
    let wrong = check(folder.path(), &["--events", events.to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(wrong.stdout.contains("0 events looked at") && wrong.stdout.contains(":1: not JSON"), "{wrong:?}");
    let missing = check(folder.path(), &["--events", "/no/such/file"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}

#[test]
fn tables_say_it_by_themselves() {
    let table = r#"
name = "table"
identity.key = "k"
[replay]
events = ["orders.csv"]
[replay.csv]
event = "Order Completed"
timestamp.column = "at"
identifiers = { user_id = "who" }
properties = { total = "total" }
[traits]
ltv = "sum('Order Completed', properties.total)"
[audiences.a]
when = "city = 'Rome' and last('Order Completed', properties.sku) = 'x'"
"#;
    let folder = project(table);
    let write = |text: &str| std::fs::write(folder.path().join("orders.csv"), text).unwrap();
    let first = "table: 1 trait, 1 audience, 2 measures, 0 destinations: no errors\n";
    assert_eq!(check(folder.path(), &[]).stdout, first, "there is no such file yet");
    write("at,who,total\n2026-01-01,ann,5\n");
    let expected = "  1 events looked at
  ⚠ properties.sku (string) of \"Order Completed\" is never there, and audience a reads it
  ⚠ no event sets attribute city, which audience a reads
";
    assert_eq!(check(folder.path(), &[]).stdout, format!("{first}{expected}"));
    write("at,who,amount\n2026-01-01,ann,5\n");
    let ended = check(folder.path(), &[]);
    assert!(ended.status.success() && ended.stdout.contains("has no column \"total\": expected one of"), "{ended:?}");
    // Where events come from elsewhere too, only the columns can be wrong.
    std::fs::write(folder.path().join("deltaic.toml"), format!("{table}[sources.web]\nwrite_key = 'w'\n")).unwrap();
    assert!(check(folder.path(), &[]).stdout.contains("has no column \"total\""));
    write("at,who,total\n2026-01-01,ann,5\n");
    assert_eq!(check(folder.path(), &[]).stdout, first);
}

#[test]
fn the_file_may_be_named_in_the_place_of_its_folder() {
    let folder = example("cdnow");
    let by_folder = check(&folder, &[]);
    let by_file = check(&folder.join("deltaic.toml"), &[]);
    assert!(by_folder.status.success(), "{by_folder:?}");
    assert_eq!((by_file.status.code(), &by_file.stdout), (Some(0), &by_folder.stdout));
    let other = run(&["check", folder.join("expected.py").to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(1));
    let replayed = run(&["replay", folder.join("deltaic.toml").to_str().unwrap(), "--now", "2026-01-01"]);
    assert!(
        replayed.stderr.contains("6919 events"),
        "paths of the project are those of its folder: {}",
        replayed.stderr
    );
}
