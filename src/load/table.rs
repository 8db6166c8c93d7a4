//! The table on the terminal: a line for each rate.

use hdrhistogram::Histogram;

use super::judge::{ChangeCounts, CountsByTrigger, FinalComparison, MessageCounts};
use super::tally::{LoadStage, RateStep};
use super::triggers::LoadTrigger;

/// The percentiles that are shown, beside the maximum.
pub const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Nanoseconds of a millisecond.
pub const NS_PER_MS: f64 = 1e6;

/// A line.
#[derive(Clone, Debug)]
pub struct TableLine {
    /// Events a second that were asked for.
    pub rate: u64,
    /// Events a second that were acknowledged.
    pub achieved: f64,
    /// What was recorded, in the order of [`LoadStage::ALL`].
    pub stages: [Histogram<u64>; LoadStage::ALL.len()],
    /// What the judge counted.
    pub counts: ChangeCounts,
    /// Of messages: all of them, then by trigger; nothing without triggers.
    pub messages: Vec<LoadTriggerLine>,
    /// Answers 429 and 503.
    pub refused: u64,
    /// Events that could not be sent.
    pub unsent: u64,
    /// Reads that failed.
    pub failed_reads: u64,
}

/// What is shown of the messages of a trigger, or of all.
#[derive(Clone, Debug)]
pub struct LoadTriggerLine {
    /// The trigger.
    pub name: &'static str,
    /// How long they took from when they were due.
    pub latencies: Histogram<u64>,
    /// What the judge counted.
    pub counts: MessageCounts,
}

impl LoadTriggerLine {
    /// The lines of a step with so many triggers.
    pub fn of(step: &RateStep, counts: &CountsByTrigger, triggers: usize) -> Vec<LoadTriggerLine> {
        let line = |name, latencies, counts| LoadTriggerLine { name, latencies, counts };
        let all = || line("all", step.messages(), counts.iter().copied().fold(Default::default(), MessageCounts::and));
        let each =
            |trigger: LoadTrigger| line(trigger.name(), step.message_histogram(trigger), counts[trigger as usize]);
        (triggers > 0).then(all).into_iter().chain(LoadTrigger::ALL.into_iter().take(triggers).map(each)).collect()
    }
}

impl TableLine {
    /// Whether the 99th percentiles of what was delivered, and of messages, are at most this, if there is such a limit.
    pub fn is_within(&self, p99_ms: Option<f64>) -> bool {
        let all = self.messages.first().map(|all| &all.latencies);
        let mut of = [&self.stages[LoadStage::Delivered as usize]].into_iter().chain(all);
        p99_ms.is_none_or(|ms| of.all(|of| of.value_at_percentile(99.0) as f64 <= ms * NS_PER_MS))
    }

    /// How many changes and messages were not as they should be.
    pub fn failed(&self) -> u64 {
        self.counts.wrong() + self.messages.first().map_or(0, |all| all.counts.failed())
    }
}

/// The head of the table.
pub fn head() -> String {
    let stages = LoadStage::ALL.map(|stage| format!("{:^29}", format!("due → {}, ms", stage.name())));
    let each = format!("{:>6} {:>6} {:>7} {:>7}", "p50", "p99", "p99.9", "max");
    format!(
        "{:>16} │ {} │ {} │ {} │ {:^46} │\n{:>7} {:>8} │ {each} │ {each} │ {each} │ {:>8} {:>8} {:>9} {:>7} {:>5} {:>4} │ {:>5} {:>7}\n",
        "events/s",
        stages[0],
        stages[1],
        stages[2],
        "changes",
        "asked",
        "done",
        "expected",
        "received",
        "cancelled",
        "missing",
        "extra",
        "late",
        "429s",
        "unsent",
    )
}

/// A line of it.
pub fn line(line: &TableLine) -> String {
    let stages = line.stages.each_ref().map(latencies).join(" │ ");
    let ChangeCounts { expected, received, cancelled, missing, extra, late } = line.counts;
    let TableLine { rate, achieved, refused, unsent, failed_reads, .. } = line;
    let mut text = format!(
        "{rate:>7} {achieved:>8.0} │ {stages} │ {expected:>8} {received:>8} {cancelled:>9} {missing:>7} {extra:>5} {late:>4} │ {refused:>5} {unsent:>7}\n"
    );
    if *failed_reads > 0 {
        text += &format!("        {failed_reads} reads failed\n");
    }
    if !line.messages.is_empty() {
        text += &format!(
            "{:>16} │ {:>6} {:>6} {:>7} {:>7} │ {:>8} {:>8} {:>7} {:>5} {:>5} {:>4} {:>7}\n",
            "due → webhook ms",
            "p50",
            "p99",
            "p99.9",
            "max",
            "expected",
            "received",
            "missing",
            "extra",
            "wrong",
            "late",
            "unclear"
        );
    }
    line.messages.iter().for_each(|messages| text += &message_line(messages));
    text
}

/// What came of a trigger.
fn message_line(LoadTriggerLine { name, latencies: of, counts }: &LoadTriggerLine) -> String {
    let MessageCounts { expected, received, missing, extra, wrong, late, unclear } = counts;
    let latencies = latencies(of);
    format!(
        "{name:>16} │ {latencies} │ {expected:>8} {received:>8} {missing:>7} {extra:>5} {wrong:>5} {late:>4} {unclear:>7}\n"
    )
}

/// The last lines: what the end came to.
pub fn end(comparison: FinalComparison, complaints: &[String], calls: u64) -> String {
    let FinalComparison { members, different } = comparison;
    let mut text = format!("{calls} webhook calls; the final state has {members} members, and {different} differ\n");
    for complaint in complaints {
        text += &format!("  {complaint}\n");
    }
    text
}

/// Percentiles and maximum.
fn latencies(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() {
        return format!("{:>6} {:>6} {:>7} {:>7}", "-", "-", "-", "-");
    }
    let at = |percent| milliseconds(histogram.value_at_percentile(percent));
    let [p50, p99, p999] = PERCENTILES.map(|(_, percent)| at(percent));
    format!("{p50:>6} {p99:>6} {p999:>7} {:>7}", milliseconds(histogram.max()))
}

/// Three digits are what a histogram knows; more than one after the point says nothing from ten on.
pub fn milliseconds(ns: u64) -> String {
    let ms = ns as f64 / NS_PER_MS;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 1_000.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::latency::Total;

    #[test]
    fn a_table() {
        let mut some = Total::new().histogram;
        (1..=2_000u64).for_each(|n| some.record(n * 123_456).unwrap());
        let none = Total::new().histogram;
        let counts = ChangeCounts { expected: 1_204, received: 1_200, cancelled: 2, missing: 2, extra: 1, late: 0 };
        let few = TableLine {
            rate: 1_000,
            achieved: 999.7,
            stages: [some.clone(), none.clone(), some.clone()],
            counts,
            messages: Vec::new(),
            refused: 0,
            unsent: 0,
            failed_reads: 0,
        };
        let many = TableLine {
            rate: 50_000,
            refused: 312,
            unsent: 1_200,
            failed_reads: 3,
            stages: [some.clone(), some, none],
            ..few.clone()
        };
        let counts = MessageCounts { expected: 70, received: 69, missing: 1, ..MessageCounts::default() };
        let of = |name| LoadTriggerLine { name, latencies: many.stages[0].clone(), counts };
        let with_messages = TableLine { messages: vec![of("all"), of("order")], ..few.clone() };
        assert_eq!((few.failed(), with_messages.failed()), (3, 4));
        let comparison = FinalComparison { members: 5_012, different: 2 };
        let complaints = ["add keen user_id:r-0-1 as of 17 did not come".to_owned()];
        insta::assert_snapshot!([head(), line(&few), line(&many), end(comparison, &complaints, 77)].concat());
        insta::assert_snapshot!(line(&with_messages));
    }
}
