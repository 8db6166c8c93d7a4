//! What is shown of a dataflow, and its form as JSON.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// What is shown of the dataflow of one worker, or of several together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// For how long it has been logged.
    pub elapsed_ns: u64,
    /// The operators by address, so that a scope comes before what is in it.
    pub operators: Vec<Operator>,
    /// What leads from operator to operator, by scope.
    pub channels: Vec<Channel>,
}

/// An operator, or a scope with operators in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Its name.
    pub name: String,
    /// Where it is: the numbers of the scopes that it is in, from the outermost on, and its own.
    pub address: Vec<usize>,
    /// The names of these scopes.
    pub scope: Vec<String>,
    /// How long it ran, what is in it included.
    pub time_ns: u64,
    /// How long it ran itself.
    pub own_ns: u64,
    /// How often it ran.
    pub activations: u64,
    /// The longest that it ran at a time, what is in it included, within the last 10 to 20 seconds.
    pub longest_ns: u64,
    /// What it holds, where it keeps an arrangement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrangement: Option<Arrangement>,
}

/// What an arrangement holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrangement {
    /// Updates: (key, value, time, difference).
    pub records: u64,
    /// The batches that they are in.
    pub batches: u64,
    /// What the batches have allocated for themselves; not what values point to.
    pub bytes: u64,
    /// Updates that wait for their tick to be complete, and are in no batch yet.
    pub waiting: u64,
}

/// What leads from an operator to another one of the same scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Channel {
    /// The address of the scope.
    pub scope: Vec<usize>,
    /// The operator by its number in the scope, and its output; 0 is the scope itself, with what comes in by that input.
    pub from: (usize, usize),
    /// The operator by its number in the scope, and its input; 0 is the scope itself, with what leaves by that output.
    pub to: (usize, usize),
    /// Records that were sent. A batch of an arrangement is one.
    pub records: u64,
}

/// Who holds memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryHolder {
    /// What it is.
    pub of: String,
    /// How much it holds.
    pub bytes: u64,
}

/// The answer of `GET /v1/dataflow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The process that answers, and how many there are.
    pub process: usize,
    /// How many processes there are.
    pub processes: usize,
    /// The workers of this process.
    pub workers: usize,
    /// The one that this is about; nothing where it is about all of them.
    pub worker: Option<usize>,
    /// Resident memory of the process; nothing where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Who holds how much of it, as far as that is known.
    #[serde(default)]
    pub memory: Vec<MemoryHolder>,
    /// Ticks with events since the start.
    pub ticks: u64,
    /// Ticks with events a second.
    pub ticks_per_s: f64,
    /// How far each stage is, in the order in which an event meets them.
    pub stages: Vec<StageProgress>,
    /// Whether the dataflow is logged; what follows is empty where it is not.
    pub logged: bool,
    /// The dataflow.
    #[serde(flatten)]
    pub figures: Figures,
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageProgress {
    /// `log`, `dataflow` or `egress`.
    pub stage: String,
    /// The destination, of egress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// How far its frontier is behind the clock.
    pub lag_ms: u64,
    /// What waits before it or in it: events, of egress changes and events; nothing where none can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
}

/// All workers build the same dataflow: what has the same address is the same operator.
impl Sum for Figures {
    fn sum<I: Iterator<Item = Figures>>(all: I) -> Figures {
        let mut elapsed_ns = 0;
        let mut operators: BTreeMap<Vec<usize>, Operator> = BTreeMap::new();
        let mut channels: BTreeMap<Channel, u64> = BTreeMap::new();
        for figures in all {
            elapsed_ns = elapsed_ns.max(figures.elapsed_ns);
            for operator in figures.operators {
                match operators.get_mut(&operator.address) {
                    Some(sum) => sum.add(&operator),
                    None => _ = operators.insert(operator.address.clone(), operator),
                }
            }
            for channel in figures.channels {
                let records = channel.records;
                *channels.entry(Channel { records: 0, ..channel }).or_default() += records;
            }
        }
        Figures {
            elapsed_ns,
            operators: operators.into_values().collect(),
            channels: channels.into_iter().map(|(channel, records)| Channel { records, ..channel }).collect(),
        }
    }
}

impl Operator {
    fn add(&mut self, other: &Operator) {
        self.time_ns += other.time_ns;
        self.own_ns += other.own_ns;
        self.activations += other.activations;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
        if let Some(more) = other.arrangement {
            let sum = self.arrangement.get_or_insert_default();
            sum.records += more.records;
            sum.batches += more.batches;
            sum.bytes += more.bytes;
            sum.waiting += more.waiting;
        }
    }
}
