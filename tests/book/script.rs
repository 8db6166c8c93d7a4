//! Pages as shell scripts: the blocks of some pages, one after the other, in a folder of their own, with the real program.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::page::{PageBlock, PagePiece, pieces, root};
use crate::program::DEADLINE;

/// What scripts begin with. `start FILE` runs a script in the background until `stop`, and comes back when it says something; where that
/// is an engine, when it is ready.
const PREAMBLE: &str = r#"
set -euo pipefail
groups=()
stop() {
    for group in ${groups[@]+"${groups[@]}"}; do
        kill -TERM -- "-$group" 2>/dev/null || true
        while kill -0 -- "-$group" 2>/dev/null; do sleep 0.02; done
        wait "$group" 2>/dev/null || true
    done
    groups=()
}
trap stop EXIT
trap 'exit 143' TERM INT
start() {
    setsid bash -euo pipefail "$1" >"$1.out" 2>"$1.err" &
    local group=$! url
    groups=("$group" ${groups[@]+"${groups[@]}"})
    until [[ $(wc -l <"$1.out") -gt 0 ]]; do
        kill -0 "$group" 2>/dev/null || { cat "$1.err" >&2; return 1; }
        sleep 0.02
    done
    url=$(sed -n 's/.* listens on //p' "$1.out" | head -1)
    [[ -z $url ]] || until curl --silent --fail "$url/readyz" >/dev/null; do
        kill -0 "$group" 2>/dev/null || { cat "$1.err" >&2; return 1; }
        sleep 0.02
    done
}
# The commands that talk to a running engine, with the port of the page's.
deltaic() {
    case $1 in
    clock | cluster | dead-letters | destination | events | quarantine | take-over)
        [[ " $* " == *" --url "* ]] || set -- "$@" --url http://127.0.0.1:8080
        ;;
    esac
    command deltaic "$@"
}
# Waits until this file has so many lines.
lines() {
    local tries=0
    until [[ $(wc -l <"$1") -ge $2 ]]; do
        ((++tries < 500)) || { echo "not all that should have come has come:" >&2; cat "$1" >&2; return 1; }
        sleep 0.02
    done
}
"#;

/// FreePorts that pages name.
const PORTS: [&str; 5] = ["8080", "8081", "9000", "7001", "7002"];

/// A text with free ports in the place of those that pages name.
struct FreePorts(Vec<String>);

impl FreePorts {
    fn new() -> Self {
        let listeners = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        FreePorts(listeners.iter().map(|listener| listener.local_addr().unwrap().port().to_string()).collect())
    }

    fn put(&self, text: &str) -> String {
        PORTS.iter().zip(&self.0).fold(text.to_owned(), |text, (page, free)| {
            text.replace(&format!(":{page}"), &format!(":{free}"))
                .replace(&format!("port {page}"), &format!("port {free}"))
        })
    }
}

/// What a block of output is compared with.
struct ExpectedOutput {
    block: PageBlock,
    file: String,
    /// Whether its lines may come in any order, among others.
    is_any_order: bool,
}

/// Runs the blocks of these pages as one script.
#[track_caller]
pub fn run(pages: &[&str]) {
    let folder = TempDir::new().unwrap();
    let ports = FreePorts::new();
    copy(&root().join("examples"), &folder.path().join("examples"), &ports);
    let (script, expected) = script(pages, folder.path(), &ports);
    let program = Path::new(env!("CARGO_BIN_EXE_deltaic")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let file = folder.path().join("page.sh");
    std::fs::write(&file, script).unwrap();
    // Each step of a page may take as long as anything may, and the longest page has five starts.
    let ended = Command::new("timeout")
        .args([&(5 * DEADLINE.as_secs()).to_string(), "bash"])
        .arg(&file)
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("DELTAIC_LOG")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let begun = std::fs::read_to_string(folder.path().join("begun")).unwrap_or_default();
    assert!(ended.status.success(), "{}: {}\n{said}", begun.trim(), ended.status);
    for ExpectedOutput { block, file, is_any_order } in expected {
        let printed = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        let is_right = match block.language.as_str() {
            "json" => {
                let [page, printed] = [&block.text, &printed].map(|text| serde_json::from_str::<Value>(text));
                matches!((page, printed), (Ok(page), Ok(printed)) if is_json(&page, &printed))
            }
            _ if is_any_order => block.text.lines().all(|line| printed.lines().any(|printed| is_line(line, printed))),
            _ => {
                block.text.lines().count() == printed.lines().count()
                    && block.text.lines().zip(printed.lines()).all(|(line, printed)| is_line(line, printed))
            }
        };
        assert!(is_right, "{}: the page has\n{}\nand what is printed is\n{printed}", block.place(), block.text);
    }
}

/// The script, and what is to be compared after it.
fn script(pages: &[&str], folder: &Path, ports: &FreePorts) -> (String, Vec<ExpectedOutput>) {
    let (mut script, mut expected) = (ports.put(PREAMBLE), Vec::<ExpectedOutput>::new());
    let (mut latest, mut receiver, mut count) = (String::new(), String::new(), 0);
    for piece in pages.iter().flat_map(|page| pieces(page)) {
        match piece {
            PagePiece::Comment { kind, text } if kind == "run" => {
                writeln!(script, "{}", ports.put(&text)).unwrap();
            }
            PagePiece::Comment { .. } => {}
            PagePiece::Block(block) if block.is_shell() && !block.is("not-run") => {
                count += 1;
                let file = format!("block-{count}");
                // What a reader without an installed program writes.
                let text = block.text.replace("cargo run --release -- ", "deltaic ");
                std::fs::write(folder.join(&file), ports.put(&text)).unwrap();
                writeln!(script, "\necho {} >begun", block.place()).unwrap();
                if block.is("background") {
                    writeln!(script, "start {file}").unwrap();
                    if block.text.contains(" receive ") {
                        receiver = format!("{file}.out");
                    }
                } else {
                    // In this shell: what a block sets holds for those after it.
                    writeln!(script, ". ./{file} >{file}.out").unwrap();
                    latest = format!("{file}.out");
                }
            }
            PagePiece::Block(block) if block.is("printed") => {
                expected.push(ExpectedOutput { block, file: latest.clone(), is_any_order: false });
            }
            PagePiece::Block(block) if block.is("received") => {
                let came = expected.iter().filter(|came| came.file == receiver);
                let lines: usize = came.map(|came| came.block.text.lines().count()).sum();
                writeln!(script, "lines {receiver} {}", 1 + lines + block.text.lines().count()).unwrap();
                expected.push(ExpectedOutput { block, file: receiver.clone(), is_any_order: true });
            }
            PagePiece::Block(block) => {
                if let Some(file) = block.file() {
                    count += 1;
                    std::fs::write(folder.join(format!("block-{count}")), ports.put(&block.text)).unwrap();
                    writeln!(script, "\n# {}", block.place()).unwrap();
                    writeln!(script, "mkdir -p \"$(dirname {file})\"; cat block-{count} >>{file}").unwrap();
                }
            }
        }
    }
    (script, expected)
}

/// Copies a folder, with free ports in its projects.
fn copy(from: &Path, to: &Path, ports: &FreePorts) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to, ports);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            std::fs::write(to, ports.put(&std::fs::read_to_string(path).unwrap())).unwrap();
        } else {
            std::fs::copy(path, to).unwrap();
        }
    }
}

/// Whether a printed line is that of the page. `…` stands for anything, and a time for any other time.
fn is_line(page: &str, printed: &str) -> bool {
    let [page, printed] = [page, printed].map(without_times);
    let mut parts = page.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A text in which each number that may be a time in milliseconds is the same.
fn without_times(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        kept += if digits.len() == 13 { "TICK" } else { &digits };
        digits.clear();
        kept.push(c);
    }
    kept.trim_end_matches('\n').to_owned()
}

/// Whether a printed value is that of the page. The string `…` stands for anything, a time for any other time.
fn is_json(page: &Value, printed: &Value) -> bool {
    let is_tick = |value: &Value| value.as_u64().is_some_and(|number| number > 1_000_000_000_000);
    // A fraction of a second ends with its last digit that is not 0.
    let is_time = |text: &str| text.parse::<Timestamp>().is_ok();
    match (page, printed) {
        (Value::String(page), Value::String(printed)) => {
            page == "…" || page == printed || (is_time(page) && is_time(printed))
        }
        (Value::String(page), _) => page == "…",
        (Value::Array(page), Value::Array(printed)) => {
            page.len() == printed.len() && page.iter().zip(printed).all(|(page, printed)| is_json(page, printed))
        }
        (Value::Object(page), Value::Object(printed)) => {
            page.len() == printed.len()
                && page.iter().all(|(name, page)| printed.get(name).is_some_and(|printed| is_json(page, printed)))
        }
        _ => page == printed || (is_tick(page) && is_tick(printed)),
    }
}

#[test]
fn what_is_printed_is_compared() {
    assert!(is_line("add  as_of 1795302821498", "add  as_of 1795302821499"));
    assert!(!is_line("add  1", "add  2"));
    assert!(is_line("add … {\"a\":1}", "add  user_id:1  {\"a\":1}"));
    assert!(!is_line("add … {\"a\":1}", "add  user_id:1  {\"a\":2}"));
    assert!(!is_line("add", "added"));
    let json = |text| serde_json::from_str::<Value>(text).unwrap();
    let page = json(r#"{"token": 1795302821498, "accepted": 1, "id": "…"}"#);
    assert!(is_json(&page, &json(r#"{"token": 1795302821500, "accepted": 1, "id": "7"}"#)));
    for other in [r#"{"token": 1, "accepted": 1, "id": ""}"#, r#"{"token": 1795302821498, "accepted": 2, "id": ""}"#] {
        assert!(!is_json(&page, &json(other)), "{other}");
    }
    assert!(!is_json(&page, &json(r#"{"token": 1795302821498, "accepted": 1, "id": "", "more": 1}"#)));
    let page = json(r#""2026-11-21T23:13:41.498Z""#);
    assert!(
        is_json(&page, &json(r#""2028-01-01T03:45:12.87Z""#)) && is_json(&page, &json(r#""2028-01-01T03:45:12Z""#))
    );
    assert!(!is_json(&page, &json(r#""2028-01-01""#)));
}
