//! The real program with a clock that is wrong: `libfaketime` lies to it, as a file says.
//!
//! The time since the machine was started stays true, as it does where somebody sets the clock on the wall; but for the test of a machine
//! that was suspended, for which both go on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DEADLINE, Faketime, HttpAnswer, ServerProcess, project};

const PROJECT: &str = r#"
name = "clock"
identity.key = "test"
sources.web.write_key = "web-key"
access.read_token = "read-token"
access.admin_token = "admin-token"
storage.folder = "data"
clock.dedupe_window = "40 min"
[traits]
orders = "count('Order')"
recent = "count('Order', within => '30 min')"
[audiences.recent_buyers]
when = "recent > 0"
[audiences.brief]
when = "count('Visit', within => '10 s') > 0"
"#;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// A project whose server is lied to.
struct Lied {
    folder: TempDir,
    time: Faketime,
}

impl Lied {
    fn new(is_suspended: bool) -> Self {
        let folder = project(PROJECT);
        let mut time = Faketime::new(folder.path().join("faketime"));
        time.is_suspended = is_suspended;
        Lied { folder, time }
    }

    fn clock(&self, told: &str) {
        self.time.set(told);
    }

    fn begin(&self, arguments: &[&str]) -> ServerProcess {
        self.time.server(self.folder.path().to_str().unwrap(), arguments)
    }

    async fn start(&self, arguments: &[&str]) -> ServerProcess {
        self.begin(arguments).ready().await
    }

    /// `deltaic clock`, at a running server.
    fn order(&self, server: &ServerProcess, command: &str) -> String {
        let arguments = ["clock", command, "--url", server.url()];
        let program = self.time.program(&arguments, &[("DELTAIC_ADMIN_TOKEN", "admin-token")]);
        let ended = tokio::task::block_in_place(|| program.end());
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stdout
    }
}

/// Takes an order without a time of its own; gives the token.
async fn order(server: &ServerProcess, user: &str, message: &str) -> u64 {
    server.take(&[json!({"type": "track", "event": "Order", "userId": user, "messageId": message})]).await
}

/// How many orders somebody has, at all and in the window.
async fn orders(server: &ServerProcess, user: &str, after: u64) -> Value {
    let profile = server.profile(&format!("user_id:{user}"), after).await;
    json!([profile["traits"]["orders"], profile["traits"]["recent"]])
}

/// Waits until `/readyz` says this.
async fn readyz(server: &ServerProcess, status: u16, text: &str) -> HttpAnswer {
    let began = Instant::now();
    loop {
        let answer = server.get("/readyz").await;
        if answer.status == status && answer.body.contains(text) {
            return answer;
        }
        assert!(began.elapsed() < 2 * DEADLINE, "{answer:?} in the place of {status} {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn clock_of(server: &ServerProcess) -> Value {
    let request = server.request(Method::GET, "/v1/clock").bearer_auth("admin-token");
    ServerProcess::try_send(request).await.unwrap().json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_a_year_ahead_changes_nothing() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    lied.clock("+365d");
    let answer = readyz(&server, 503, "deltaic clock accept").await;
    assert_eq!(answer.problem(), (503, "clock".to_owned()));
    server.says("the clock of this machine jumped: it shows");
    // Events are taken, at the time that it was before.
    let meanwhile = order(&server, "a", "m2").await;
    assert!(meanwhile - before < HOUR, "{before} {meanwhile}");
    assert_eq!(orders(&server, "a", meanwhile).await, json!([2, 2]));
    assert_eq!(server.size("recent_buyers", meanwhile).await, 1);
    let told = clock_of(&server).await;
    assert_eq!((&told["state"], told.get("follows_in_ms")), (&json!("apart"), None), "{told}");
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("deltaic_clock_apart 1"), "{metrics}");
    lied.clock("+0");
    readyz(&server, 200, "ready").await;
    let after = order(&server, "a", "m1").await;
    assert!(after - before < HOUR, "{before} {after}");
    assert_eq!(orders(&server, "a", after).await, json!([2, 2]), "the message counted once, and is known");
    server.stop();
    // So it is after a restart.
    let server = lied.start(&[]).await;
    let last = order(&server, "a", "m2").await;
    assert!(last - before < HOUR, "{before} {last}");
    assert_eq!(orders(&server, "a", last).await, json!([2, 2]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stays_an_hour_ahead_is_followed_after_a_minute() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    lied.clock("+1h");
    readyz(&server, 503, "ticks follow in").await;
    let meanwhile = order(&server, "a", "m2").await;
    assert!(meanwhile - before < HOUR, "{before} {meanwhile}");
    readyz(&server, 200, "ready").await;
    let after = order(&server, "a", "m2").await;
    assert!((HOUR..2 * HOUR).contains(&(after - before)), "{before} {after}");
    // The orders have left their window of half an hour. The message is known: of 40 minutes, one has passed.
    assert_eq!(orders(&server, "a", after).await, json!([2, 0]));
    assert_eq!(server.size("recent_buyers", after).await, 0);
    server.stop();
    let server = lied.start(&[]).await;
    let last = order(&server, "a", "m1").await;
    assert_eq!(orders(&server, "a", last).await, json!([2, 0]), "it is known after a restart, too");
    assert_eq!(clock_of(&server).await["jumps"].as_array().map(Vec::len), Some(1));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_end_and_events_count_while_the_clock_is_an_hour_behind() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    lied.clock("-1h");
    readyz(&server, 503, "behind the time that ticks have").await;
    let visit = json!({"type": "track", "event": "Visit", "userId": "a", "messageId": "v1"});
    let visited = server.take(&[visit]).await;
    assert!(visited > before);
    assert_eq!(server.size("brief", visited).await, 1, "it is stamped within its window");
    // Ten seconds, and the grain of such a window.
    assert_eq!(server.size("brief", visited + 10 * SECOND + 10).await, 0);
    // An order: ticks go at half speed, and events count.
    assert!(lied.order(&server, "status").contains("set it right; or, if it is right now, say so"));
    let told = lied.order(&server, "accept");
    assert!(told.contains("ticks go at half speed until it has caught up, in "), "{told}");
    readyz(&server, 200, "ready").await;
    let after = order(&server, "a", "m2").await;
    assert!(after > visited && after - before < HOUR, "{visited} {after}");
    assert_eq!(orders(&server, "a", after).await, json!([2, 2]));
    let began = Instant::now();
    let first = clock_of(&server).await;
    tokio::time::sleep(SECOND_OF_TIME).await;
    let (second, passed) = (clock_of(&server).await, began.elapsed());
    let ticks = second["tick"].as_u64().unwrap() - first["tick"].as_u64().unwrap();
    let half = u64::try_from(passed.as_millis()).unwrap() / 2;
    assert!(ticks <= half + 1 && ticks > 400, "{ticks} ms of ticks in {passed:?}");
    server.stop();
}

/// How long the speed of ticks is looked at: whatever the machine does meanwhile, ticks are half of it.
const SECOND_OF_TIME: Duration = Duration::from_secs(1);

/// No time has passed for who reads it: an hour of ticks would have been the end of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_over_a_jump_of_time() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let mut token = 0;
    for user in ["a", "b", "c"] {
        token = order(&server, user, user).await;
    }
    let members = "/v1/audiences/recent_buyers/members?limit=1";
    let first = server.get(&format!("{members}&after={token}&wait_ms=30000")).await.json();
    lied.clock("+1h");
    readyz(&server, 503, "ticks follow in").await;
    assert!(lied.order(&server, "accept").contains("ticks were set forward"));
    readyz(&server, 200, "ready").await;
    let after = order(&server, "d", "d").await;
    assert!(after - token >= HOUR - SECOND, "{token} {after}");
    // All three have left the window, and are in the list of before. Looks at lists are some a second.
    assert_eq!(server.size("recent_buyers", after).await, 1);
    tokio::time::sleep(SECOND_OF_TIME).await;
    let mut seen = first["members"].as_array().unwrap().clone();
    let mut next = first["next"].clone();
    while let Some(cursor) = next.as_str() {
        let page = server.get(&format!("{members}&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        assert_eq!(page["as_of"], first["as_of"]);
        seen.extend(page["members"].as_array().unwrap().clone());
        next = page["next"].clone();
    }
    let mut who: Vec<String> = seen.iter().map(|of| of["identifiers"][0].to_string()).collect();
    who.sort();
    assert_eq!(who, ["\"user_id:a\"", "\"user_id:b\"", "\"user_id:c\""]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_clock_that_is_behind_is_refused() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    server.stop();
    lied.clock("-1h");
    let files = files(&lied.folder.path().join("data"));
    let ended = lied.begin(&[]).failed();
    assert_eq!(ended.status.code(), Some(1));
    for said in ["before the last tick of", "--accept-clock", "deltaic log rewind", "wait until it is there"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert_eq!(files, self::files(&lied.folder.path().join("data")), "what is refused is left as it is");
    // A little is no fault: ticks go on after the last one.
    lied.clock("-3s");
    let server = lied.start(&[]).await;
    let after = order(&server, "a", "m2").await;
    assert!(after > before && after - before < 60 * SECOND, "{before} {after}");
    server.stop();
    lied.clock("-1h");
    let server = lied.start(&["--accept-clock"]).await;
    server.says("(--accept-clock): the clock of this machine shows ");
    assert!(server.messages().contains(": ticks go on after it, at half speed until the clock has caught up, "));
    assert!(!server.messages().contains("start with --accept-clock"), "it was: {}", server.messages());
    let accepted = order(&server, "a", "m3").await;
    assert!(accepted > after && accepted - after < 60 * SECOND, "{after} {accepted}");
    assert_eq!(orders(&server, "a", accepted).await, json!([3, 3]));
    assert_eq!(clock_of(&server).await["state"], "slow");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_clock_that_is_far_ahead_is_refused() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    server.stop();
    lied.clock("+365d");
    let ended = lied.begin(&[]).failed();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("more than `clock.pause_max`, 30 d"), "{}", ended.stderr);
    // A week switched off is no fault.
    lied.clock("+7d");
    let server = lied.start(&[]).await;
    let after = order(&server, "a", "m2").await;
    assert!(after - before >= 7 * 24 * HOUR, "{before} {after}");
    assert_eq!(orders(&server, "a", after).await, json!([2, 1]));
    server.stop();
    lied.clock("+365d");
    let server = lied.start(&["--accept-clock"]).await;
    let accepted = order(&server, "a", "m2").await;
    server.says(": ticks go on at what it shows, and windows that are over by then end");
    assert!(accepted - before >= 365 * 24 * HOUR, "{before} {accepted}");
    assert_eq!(orders(&server, "a", accepted).await, json!([2, 0]), "nobody knows that any of it passed");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_accepted_is_accepted_after_a_kill_and_forgotten_where_it_was_a_mistake() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    lied.clock("+365d");
    readyz(&server, 503, "deltaic clock accept").await;
    assert!(lied.order(&server, "accept").contains("ticks were set forward by 315"));
    // Nothing comes at the new time, and the data know nothing of it but that it was accepted.
    server.kill();
    let server = lied.start(&[]).await;
    assert_eq!(clock_of(&server).await["jumps"].as_array().map(Vec::len), Some(1));
    server.kill();
    // It was a mistake: set right, the clock is that of the data, and the year is forgotten.
    lied.clock("+0");
    let server = lied.start(&[]).await;
    assert_eq!(clock_of(&server).await["jumps"], json!([]));
    let after = order(&server, "a", "m1").await;
    assert!(after - before < HOUR, "{before} {after}");
    assert_eq!(orders(&server, "a", after).await, json!([1, 1]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_suspended_has_waited() {
    let lied = Lied::new(true);
    let server = lied.start(&[]).await;
    let visit = json!({"type": "track", "event": "Visit", "userId": "a", "messageId": "v1"});
    let before = server.take(&[visit]).await;
    lied.clock("+10m");
    // Connections that were idle for so long are closed.
    while ServerProcess::try_send(server.request(Method::GET, "/healthz")).await.is_none() {}
    let after = order(&server, "a", "m1").await;
    assert!((600 * SECOND..HOUR).contains(&(after - before)), "{before} {after}");
    assert_eq!(server.size("brief", after).await, 0);
    readyz(&server, 200, "ready").await;
    assert_eq!(clock_of(&server).await["jumps"], json!([]));
    server.stop();
}

/// Waits until the last tick of a quiet time is written down, later than `after`.
async fn written_down(lied: &Lied, after: u64) {
    let began = Instant::now();
    let file = lied.folder.path().join("data/REACHED");
    let tick = |text: String| text.lines().nth(1)?.split(' ').next()?.parse::<u64>().ok();
    while std::fs::read_to_string(&file).ok().and_then(tick).is_none_or(|tick| tick <= after) {
        assert!(began.elapsed() < DEADLINE, "nothing is written down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_quiet_time_knows_when_it_was() {
    let lied = Lied::new(true);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    // Forty days in which nothing happens, and a clean stop.
    lied.clock("+40d");
    while clock_of(&server).await["tick"].as_u64() < Some(before + 40 * 24 * HOUR) {}
    server.stop();
    let server = lied.start(&[]).await;
    // Twenty more, and a kill: the log is sixty days old.
    lied.clock("+60d");
    written_down(&lied, before + 60 * 24 * HOUR).await;
    server.kill();
    lied.clock("+61d");
    let server = lied.start(&[]).await;
    server.stop();
    // It takes nothing away from what a clock that is wrong is told.
    lied.clock("+500d");
    let ended = lied.begin(&[]).failed();
    assert!(ended.stderr.contains("more than `clock.pause_max`, 30 d"), "{}", ended.stderr);
    // Without what was written down, or where it is damaged, the log says how old it is.
    lied.clock("+61d");
    let file = lied.folder.path().join("data/REACHED");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 2]).unwrap();
    let ended = lied.begin(&[]).failed();
    assert!(ended.stderr.contains("REACHED is not as it was written"), "{}", ended.stderr);
    assert!(ended.stderr.contains("61 d"), "{}", ended.stderr);
    std::fs::write(&file, whole).unwrap();
    let server = lied.start(&[]).await;
    let after = order(&server, "a", "m1").await;
    assert!((61 * 24 * HOUR..62 * 24 * HOUR).contains(&(after - before)), "{before} {after}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_while_nothing_happened_does_no_harm() {
    let lied = Lied::new(false);
    let server = lied.start(&[]).await;
    let before = order(&server, "a", "m1").await;
    server.stop();
    // Accepted by mistake, and written down.
    for wrong in ["+365d", "+20d"] {
        lied.clock(wrong);
        let server = lied.start(&["--accept-clock"]).await;
        server.stop();
        written_down(&lied, before + 10 * 24 * HOUR).await;
        lied.clock("+0");
        let server = lied.start(&[]).await;
        let after = order(&server, "a", "m1").await;
        assert!(after - before < HOUR, "{before} {after}");
        assert_eq!(orders(&server, "a", after).await, json!([1, 1]));
        server.stop();
    }
}

/// All files of a folder, with what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push((entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    found.sort();
    found
}
