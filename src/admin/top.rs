//! `deltaic top`: what takes the time of a running engine, and what holds how much, as a table that is drawn anew every second.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use console::Term;
use reqwest::{Method, Url};

use super::caller::Caller;
use super::{AdminError, EngineAddress};
use crate::observe::introspection::{MemoryHolder, Operator, Report};

/// How often the table is drawn: over less time, shares would jump.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of a terminal that does not tell.
const LINES: usize = 24;

/// What is asked for.
#[derive(Args, Clone, Debug)]
pub struct TopOptions {
    /// The URL of the engine, instead of --url.
    #[arg(value_name = "URL", conflicts_with = "url", value_parser = super::engine_url)]
    at: Option<Url>,
    #[command(flatten)]
    engine: EngineAddress,
    /// Only this worker of the process, counted from 0.
    #[arg(long, value_name = "N")]
    worker: Option<usize>,
    /// Print one table with all operators, and exit. This is the default if the output is not a terminal.
    #[arg(long)]
    once: bool,
}

/// Shows tables until the process is ended, or one.
pub async fn run(options: TopOptions, token: Option<String>, out: &mut impl Write) -> Result<(), AdminError> {
    let TopOptions { at, engine, worker, once } = options;
    let caller = Caller::new(EngineAddress { url: at.unwrap_or(engine.url) }, token)?;
    let term = Term::stdout();
    let once = once || !std::io::stdout().is_terminal();
    let mut before = report(&caller, worker).await?;
    loop {
        tokio::time::sleep(EVERY).await;
        let now = report(&caller, worker).await?;
        let table = table(&before, &now);
        if once {
            return Ok(out.write_all(table.as_bytes())?);
        }
        let (lines, columns) =
            term.size_checked().map_or((LINES, usize::MAX), |(lines, columns)| (lines.into(), columns.into()));
        out.write_all(drawn(&table, lines, columns).as_bytes())?;
        out.flush()?;
        before = now;
    }
}

pub(super) async fn report(caller: &Caller, worker: Option<usize>) -> Result<Report, AdminError> {
    let query: Vec<_> = worker.map(|worker| ("worker", worker.to_string())).into_iter().collect();
    Ok(serde_json::from_value(caller.call(Method::GET, &["dataflow"], &query, None).await?)?)
}

/// The table over what was there before: home, each line to its end, and nothing below.
fn drawn(table: &str, lines: usize, columns: usize) -> String {
    let shown = table.lines().take(lines.saturating_sub(1));
    let lines: Vec<String> = shown.map(|line| line.chars().take(columns).collect::<String>() + "\x1b[K\n").collect();
    format!("\x1b[H{}\x1b[J", lines.concat())
}

const COLUMNS: usize = 9;

/// A line for each operator, what took most of the time between the two reports first; above them how the stages are doing.
fn table(before: &Report, now: &Report) -> String {
    const HEADINGS: [&str; COLUMNS] =
        ["share", "ms/s", "runs/s", "max ms", "records", "batches", "MB", "waiting", "operator"];
    let mut text = head(before, now);
    if !now.logged {
        return text + "the dataflow is not logged: set `dataflow_log = true` under [observe] in deltaic.toml\n";
    }
    let seconds = now.figures.elapsed_ns.saturating_sub(before.figures.elapsed_ns) as f64 / 1e9;
    let earlier: BTreeMap<&[usize], &Operator> =
        before.figures.operators.iter().map(|operator| (&operator.address[..], operator)).collect();
    let mut rows: Vec<(u64, u64, &Operator)> = now
        .figures
        .operators
        .iter()
        .map(|operator| {
            let (own, runs) = earlier.get(&operator.address[..]).map_or((0, 0), |of| (of.own_ns, of.activations));
            (operator.own_ns.saturating_sub(own), operator.activations.saturating_sub(runs), operator)
        })
        .collect();
    rows.sort_by_key(|(own_ns, _, operator)| (u64::MAX - own_ns, &operator.address));
    let busy_ns: u64 = rows.iter().map(|(own_ns, _, _)| own_ns).sum();
    let per_s = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    for (own_ns, runs, operator) in rows {
        let share = if busy_ns > 0 { own_ns as f64 / busy_ns as f64 * 100.0 } else { 0.0 };
        let held = |value: fn(&crate::observe::introspection::Arrangement) -> String| {
            operator.arrangement.as_ref().map_or_else(|| "-".to_owned(), value)
        };
        let scopes = operator.scope.iter().skip(1).map(|scope| format!("{scope} / "));
        lines.push([
            format!("{share:.1} %"),
            format!("{:.2}", per_s(own_ns as f64 / 1e6)),
            format!("{:.0}", per_s(runs as f64)),
            format!("{:.2}", operator.longest_ns as f64 / 1e6),
            held(|held| held.records.to_string()),
            held(|held| held.batches.to_string()),
            held(|held| format!("{:.1}", held.bytes as f64 / 1e6)),
            held(|held| held.waiting.to_string()),
            scopes.collect::<String>() + &operator.name,
        ]);
    }
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    for line in &lines {
        let (name, numbers) = (&line[COLUMNS - 1], &line[..COLUMNS - 1]);
        let cells: Vec<String> = numbers.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        text += &format!("{}  {name}\n", cells.join("  "));
    }
    text
}

/// How the process and its stages are doing.
fn head(before: &Report, now: &Report) -> String {
    let time = |report: &Report| report.figures.operators.iter().map(|operator| operator.own_ns).sum::<u64>();
    let elapsed_ns = now.figures.elapsed_ns.saturating_sub(before.figures.elapsed_ns);
    let workers = if now.worker.is_some() { 1 } else { now.workers };
    let busy = match elapsed_ns {
        0 => 0.0,
        elapsed_ns => time(now).saturating_sub(time(before)) as f64 / (elapsed_ns * workers as u64) as f64 * 100.0,
    };
    let of = now.worker.map_or_else(|| format!("{workers} workers"), |worker| format!("worker {worker}"));
    let memory = now.memory_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
    let mut text = format!(
        "process {} of {}, {of}: busy {busy:.1} %, memory {memory}, {:.1} ticks/s with events\n",
        now.process, now.processes, now.ticks_per_s
    );
    for stage in &now.stages {
        let name = stage.destination.as_deref().unwrap_or(&stage.stage);
        let queued = stage.queued.map(|queued| format!(" ({queued} waiting)")).unwrap_or_default();
        text += &format!("{name} {} ms behind{queued}  ", stage.lag_ms);
    }
    text.truncate(text.trim_end().len());
    let held = |of: &MemoryHolder| format!("{} {:.1} MB", of.of.replace('_', " "), of.bytes as f64 / 1e6);
    let held: Vec<String> = now.memory.iter().map(held).collect();
    format!("{text}\nof memory: {}\n\n", held.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::observe::introspection::{Arrangement, Figures, StageProgress};

    use super::*;

    fn report(elapsed_ms: u64, own_ms: [u64; 2], logged: bool) -> Report {
        let stage = |stage: &str, destination: Option<&str>, lag_ms, queued| StageProgress {
            stage: stage.to_owned(),
            destination: destination.map(str::to_owned),
            lag_ms,
            queued,
        };
        let operator = |address: &[usize], name: &str, scope: &[&str], own_ms: u64, arrangement| Operator {
            name: name.to_owned(),
            address: address.to_vec(),
            scope: scope.iter().map(|scope| (*scope).to_owned()).collect(),
            time_ns: 0,
            own_ns: own_ms * 1_000_000,
            activations: own_ms * 10,
            longest_ns: 2_345_678,
            arrangement,
        };
        let arrangement = Arrangement { records: 1_200, batches: 3, bytes: 2_500_000, waiting: 7 };
        Report {
            process: 0,
            processes: 1,
            workers: 2,
            worker: None,
            memory_bytes: Some(95_200_000),
            memory: vec![MemoryHolder { of: "message_ids".to_owned(), bytes: 26_000_000 }],
            ticks: 9,
            ticks_per_s: 42.0,
            stages: vec![stage("log", None, 3, None), stage("egress", Some("crm"), 5, Some(2))],
            logged,
            figures: Figures {
                elapsed_ns: elapsed_ms * 1_000_000,
                operators: vec![
                    operator(&[0], "Deltaic", &[], own_ms[0], None),
                    operator(&[0, 1, 2], "Min label", &["Deltaic", "Resolve identities"], own_ms[1], Some(arrangement)),
                ],
                channels: Vec::new(),
            },
        }
    }

    #[test]
    fn what_took_most_of_the_time_comes_first() {
        let expected = "\
process 0 of 1, 2 workers: busy 1.0 %, memory 95.2 MB, 42.0 ticks/s with events
log 3 ms behind  crm 5 ms behind (2 waiting)
of memory: message ids 26.0 MB

 share  ms/s  runs/s  max ms  records  batches   MB  waiting  operator
75.0 %  15.00     150    2.35     1200        3  2.5        7  Resolve identities / Min label
25.0 %   5.00      50    2.35        -        -    -        -  Deltaic
";
        let expected = expected.replace("share  ms/s", "share   ms/s");
        assert_eq!(table(&report(1_000, [100, 50], true), &report(3_000, [110, 80], true)), expected);
    }

    #[test]
    fn without_a_log_there_is_a_hint() {
        let table = table(&report(1_000, [0, 0], false), &report(1_000, [0, 0], false));
        assert!(table.contains("dataflow_log = true") && !table.contains("operator"), "{table}");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        assert_eq!(drawn("abc\nde\nf\n", 3, 2), "\x1b[Hab\x1b[K\nde\x1b[K\n\x1b[J");
    }
}
