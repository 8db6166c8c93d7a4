//! `deltaic log rewind`: a folder whose clock was wrong goes back, and goes on as if the wrong time had never been.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{EndedProgram, ServerProcess, block, checkpointed, project, run};

const PROJECT: &str = r#"
name = "rewind"
identity.key = "test"
sources.web.write_key = "web-key"
access.read_token = "read-token"
access.admin_token = "admin-token"
storage.folder = "data"
storage.checkpoint_events = 20
[traits]
orders = "count('Order')"
recent = "count('Order', within => '30 days')"
[audiences.buyers]
when = "recent > 0"
[destinations.members]
type = "file"
path = "members.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
[destinations.orders]
type = "file"
path = "orders.jsonl"
events = ["Order"]
keep = ["messageId"]
"#;

/// A clock that tests set; it shows this at the start of the server.
const BEGAN: &str = "2026-03-01T12:00:00Z";
const A_YEAR_LATER: &str = "2027-03-01T12:00:00Z";

struct RewindShop {
    folder: TempDir,
}

impl RewindShop {
    fn new() -> Self {
        RewindShop { folder: project(PROJECT) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self, clock: &str) -> ServerProcess {
        ServerProcess::start(self.folder.path(), &["--clock-from", clock], &[]).await
    }

    fn rewind(&self, to: impl ToString) -> EndedProgram {
        let command = block("docs/guides/wrong-clock.md", "rewind");
        let (data, to) = (self.path("data"), to.to_string());
        let word = |word: &str| match word {
            "data" => data.to_str().unwrap().to_owned(),
            "TICK" => to.clone(),
            word => word.to_owned(),
        };
        run(&command.split_whitespace().skip(1).map(word).collect::<Vec<_>>())
    }

    /// What a destination has been told of so far, each with how often.
    fn told(&self, file: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Who is a member at the destination, by what it was told.
    fn members_there(&self) -> BTreeSet<String> {
        let mut members = BTreeSet::new();
        for line in self.told("members.jsonl") {
            let user = line["identifiers"][0].as_str().unwrap().trim_start_matches("user_id:").to_owned();
            match line["action"].as_str().unwrap() {
                "add" => _ = members.insert(user),
                "delete" => _ = members.remove(&user),
                _ => {}
            }
        }
        members
    }
}

/// An order of each of these users, each with a message of its own.
async fn orders(server: &ServerProcess, users: std::ops::Range<u32>, day: &str) -> u64 {
    let order = |user| {
        json!({"type": "track", "event": "Order", "userId": format!("u{user}"), "messageId": format!("{day}-{user}"),
               "timestamp": format!("{day}T10:00:00Z")})
    };
    server.take(&users.map(order).collect::<Vec<_>>()).await
}

/// How often each of these users has ordered.
async fn counted(server: &ServerProcess, users: std::ops::Range<u32>, after: u64) -> Vec<Value> {
    let mut all = Vec::new();
    for user in users {
        let answer = server.get(&format!("/v1/profiles/user_id:u{user}?after={after}&wait_ms=30000")).await;
        all.push(if answer.status == 404 { Value::Null } else { answer.json()["profile"]["traits"]["orders"].clone() });
    }
    all
}

fn names(users: std::ops::Range<u32>) -> BTreeSet<String> {
    users.map(|user| format!("u{user}")).collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").args(["-a".as_ref(), from.as_os_str(), to.as_os_str()]).status();
    assert!(copied.unwrap().success());
}

/// A shop whose clock was a year ahead for a while: 0 to 9 bought before, 5 to 14 in that year. Gives the last right tick.
async fn a_year_ahead(shop: &RewindShop) -> u64 {
    let server = shop.start(BEGAN).await;
    orders(&server, 0..25, "2026-02-01").await;
    checkpointed(&shop.folder, orders(&server, 0..10, "2026-03-01").await).await;
    let right = orders(&server, 0..1, "2026-02-28").await;
    server.stop();
    assert_eq!(shop.members_there(), names(0..25));
    copy(&shop.path("data"), &shop.path("before"));
    let server = shop.start(A_YEAR_LATER).await;
    orders(&server, 5..15, "2027-03-01").await;
    let wrong = orders(&server, 5..15, "2027-02-28").await;
    assert!(wrong > right + 300 * 86_400_000);
    assert_eq!(counted(&server, 0..1, wrong).await, [json!(3)]);
    // Checkpoint, history and message ids have it, too.
    checkpointed(&shop.folder, wrong).await;
    server.stop();
    assert_eq!(shop.members_there(), names(5..15), "the others have left the window");
    right
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_back_and_on_as_if_the_wrong_year_had_never_been() {
    let shop = RewindShop::new();
    let right = a_year_ahead(&shop).await;
    let ended = shop.rewind(right);
    assert!(ended.status.success(), "{}", ended.stderr);
    let aside = shop.path(&format!("data.aside-{right}"));
    for said in [
        "set aside    20 events in 2 entries",
        "set aside    the checkpoint of tick",
        "frontiers    2 rows set back",
        "message ids  2",
        "history      2",
        "log dump",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    // So does what is written down of ticks without events.
    assert_eq!(written_down(&shop.path("data")), right);
    assert!(written_down(&aside) > right + 300 * 86_400_000);
    let dump = |data: &Path| run(&["log", "dump", data.to_str().unwrap()]).stdout;
    let verified = run(&["log", "verify", shop.path("data").to_str().unwrap()]);
    assert!(verified.status.success(), "{}", verified.stdout);
    // The log as it was, but for what the second checkpoint has dropped of it; the events of a year later are in the folder that was set aside.
    let after = dump(&shop.path("data"));
    assert!(dump(&shop.path("before")).ends_with(&after) && after.contains("2026-02-28-0"), "{after}");
    assert_eq!(dump(&aside).lines().filter(|line| line.contains("\"2027-")).count(), 20);

    let server = shop.start("2026-03-01T18:00:00Z").await;
    let again = orders(&server, 0..1, "2026-02-28").await;
    assert_eq!(counted(&server, 0..1, again).await, [json!(3)], "what was sent before is known");
    let sent_again = orders(&server, 9..15, "2027-03-01").await;
    // Their time is in the future, and so is that of the tick; what was set aside counts when it is sent again.
    let expected: Vec<Value> =
        (0..15).map(|user| json!(1 + u32::from(user < 10) + u32::from(user == 0 || user >= 9))).collect();
    assert_eq!(counted(&server, 0..15, sent_again).await, expected);
    server.stop();
    let server = shop.start("2026-03-01T19:00:00Z").await;
    server.stop();
    let members = shop.members_there();
    assert_eq!(members, names(0..25), "who had left by the wrong clock is back");
    let forwarded = shop.told("orders.jsonl");
    let of_year = |year: &str| {
        forwarded.iter().filter(|line| line.to_string().contains(&format!("\"messageId\":\"{year}-"))).count()
    };
    assert_eq!(of_year("2026"), 36, "each once");
    assert_eq!(of_year("2027"), 20 + 6, "those that were sent again");

    // An engine that is started on what was set aside tells nobody anything.
    std::fs::rename(shop.path("data"), shop.path("good")).unwrap();
    std::fs::rename(&aside, shop.path("data")).unwrap();
    let before = shop.told("members.jsonl").len();
    let server = shop.start("2027-03-02T12:00:00Z").await;
    assert!(server.messages().contains("the data folder was copied"), "{}", server.messages());
    server.stop();
    assert_eq!(shop.told("members.jsonl").len(), before);
}

/// The last tick that a folder has written down.
fn written_down(data: &Path) -> u64 {
    let text = std::fs::read_to_string(data.join("REACHED")).unwrap();
    text.lines().nth(1).and_then(|line| line.split(' ').next()).unwrap().parse().unwrap()
}

/// A clock that was wrong while nothing happened left nothing but the last tick.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_tick_of_a_quiet_time_goes_back() {
    let (without_destinations, _) = PROJECT.split_once("[destinations.").unwrap();
    // Where there are destinations, they were told how far ticks are; where not, nothing but this is to be changed.
    for (text, is_made_anew) in [(PROJECT, true), (without_destinations, false)] {
        let shop = RewindShop { folder: project(text) };
        let server = shop.start(BEGAN).await;
        let right = orders(&server, 0..1, "2026-03-01").await;
        server.stop();
        shop.start(A_YEAR_LATER).await.stop();
        let year_later = written_down(&shop.path("data"));
        assert!(year_later > right + 300 * 86_400_000);
        let to = year_later - 86_400_000;
        let ended = shop.rewind(to);
        assert!(ended.status.success(), "{}", ended.stderr);
        let in_place = format!("ticks without events were written down up to {year_later}, and are now up to {to}");
        assert_eq!(ended.stdout.contains(&in_place), !is_made_anew, "{}", ended.stdout);
        assert_eq!(written_down(&shop.path("data")), to, "{}", ended.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_and_leaves_the_folder_as_it_is() {
    let shop = RewindShop::new();
    let right = a_year_ahead(&shop).await;
    let refused = |to: u64, says: &str| {
        let ended = shop.rewind(to);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    };
    let later = shop.rewind(right + 400 * 86_400_000);
    assert!(later.status.success() && later.stdout.contains("it stays as it is"), "{}", later.stdout);
    std::fs::create_dir(shop.path("data.rewound")).unwrap();
    refused(right, "data.rewound is in the way");
    std::fs::remove_dir(shop.path("data.rewound")).unwrap();
    let server = shop.start("2027-03-02T12:00:00Z").await;
    refused(right, "in use");
    // Both checkpoints are of the wrong year now, and the log begins after the right one.
    for day in 1..4 {
        let day = format!("2027-02-0{day}");
        checkpointed(&shop.folder, orders(&server, 0..25, &day).await).await;
    }
    server.stop();
    refused(right, "and no checkpoint is of tick");
    let mistaken = run(&["log", "rewind", shop.path("nothing").to_str().unwrap(), "--to", "1"]);
    assert_eq!(mistaken.status.code(), Some(1));
    assert!(!shop.path("nothing").exists());
    assert!(!shop.path("data.rewound").exists());
    let verified = run(&["log", "verify", shop.path("data").to_str().unwrap()]);
    assert!(verified.status.success(), "{}", verified.stdout);
}

/// Seconds in the place of milliseconds, or a date that is midnight, would set everything aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_before_the_first_one_is_a_mistake() {
    let shop = RewindShop::new();
    let server = shop.start(BEGAN).await;
    orders(&server, 0..1, "2026-03-01").await;
    server.stop();
    for (to, code, says) in [
        ("5", 1, "so nothing would be left: its first tick is 17723664"),
        ("1772366400", 1, "ticks are milliseconds since"),
        ("2026-03-01T00:00:00Z", 1, "so nothing would be left"),
        ("2026-03-01", 2, "expected the number of a tick, or a time such as"),
    ] {
        let ended = shop.rewind(to);
        assert_eq!(ended.status.code(), Some(code), "{to}: {}", ended.stdout);
        assert!(ended.stderr.contains(says), "{to}: {}", ended.stderr);
    }
}
