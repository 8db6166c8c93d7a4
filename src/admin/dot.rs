//! `deltaic dot`: the dataflow as a graph for Graphviz, with the sizes that it has in a running engine, or without.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use clap::Args;
use dataflows::definitions::Definitions;
use dataflows::relations::{DesiredRows, LimitsReached, Memberships, Relation};
use reqwest::Url;

use super::caller::Caller;
use super::top::report;
use super::{AdminError, EngineAddress};
use crate::engine::{Listeners, Topology, Workers, WorkersError};
use crate::observe::introspection::{Figures, Introspection, dot};

/// What is asked for.
#[derive(Args, Clone, Debug)]
pub struct DotOptions {
    /// The URL of a running engine, instead of --url; or the folder of a project, for a graph without sizes.
    #[arg(value_name = "URL|PROJECT", conflicts_with = "url")]
    of: Option<String>,
    #[command(flatten)]
    engine: EngineAddress,
    /// Only the sizes of this worker of the process, counted from 0.
    #[arg(long, value_name = "N")]
    worker: Option<usize>,
}

impl DotOptions {
    /// The folder of the project, if that is what is meant.
    pub fn project(&self) -> Option<&Path> {
        let of = self.of.as_deref()?;
        (!of.contains("://")).then(|| Path::new(of))
    }
}

/// Writes the graph of a running engine.
pub async fn run(options: DotOptions, token: Option<String>, out: &mut impl Write) -> Result<(), AdminError> {
    let DotOptions { of, engine, worker } = options;
    let url = match of {
        Some(text) => text.parse::<Url>().map_err(|error| AdminError::Url { text, reason: error.to_string() })?,
        None => engine.url,
    };
    let caller = Caller::new(EngineAddress { url }, token)?;
    let report = report(&caller, worker).await?;
    if !report.logged {
        return Err(AdminError::NotLogged);
    }
    Ok(out.write_all(dot(&report.figures).as_bytes())?)
}

/// The graph of what would be maintained: the dataflow is built, and ends at once.
pub fn of_definitions(definitions: Arc<Definitions>) -> Result<String, WorkersError> {
    Ok(dot(&built(definitions)?))
}

/// The operators of the dataflow, and what leads from one to the other.
fn built(definitions: Arc<Definitions>) -> Result<Figures, WorkersError> {
    let topology = Topology::local(1);
    let introspection = Introspection::new(topology.threads, true);
    // Nothing comes of nothing: nobody needs to take it.
    let (outputs, _nobody) = channel();
    // Those that an engine is told of which delivers.
    let relations = vec![Memberships::NAME, LimitsReached::NAME, DesiredRows::NAME];
    let listeners = Listeners { introspection: introspection.clone(), relations, latest: None, triggers: Vec::new() };
    Workers::start_with(&topology, definitions, outputs, listeners)?.stop()?;
    let mut figures = introspection.figures(None).unwrap_or_default();
    for operator in &mut figures.operators {
        // What it took to build it and end it says nothing.
        (operator.time_ns, operator.own_ns, operator.activations, operator.longest_ns) = (0, 0, 0, 0);
    }
    figures.channels.iter_mut().for_each(|channel| channel.records = 0);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names that differential gives to operators that hold something or look it up, if nobody says otherwise.
    const DEFAULT_NAMES: [&str; 12] = [
        "Arrange",
        "ArrangeByKey",
        "ArrangeBySelf",
        "ArrangedSource",
        "Consolidate",
        "Count",
        "CountTotal",
        "Distinct",
        "Join",
        "Reduce",
        "Threshold",
        "ThresholdTotal",
    ];

    #[test]
    fn what_holds_something_has_a_name_that_says_what() {
        let operators = built(Arc::new(Definitions::default())).unwrap().operators;
        let names: Vec<&str> = operators.iter().map(|operator| operator.name.as_str()).collect();
        // With "Arrange: " and the name of a `reduce` begins that of the arrangement which the `reduce` makes of its input itself.
        let says_nothing = |name: &&&str| DEFAULT_NAMES.contains(*name) || name.starts_with("Arrange: ");
        let found: Vec<_> = names.iter().filter(says_nothing).collect();
        assert!(found.is_empty(), "give them names: {found:?}");
        let holding: Vec<&str> =
            operators.iter().filter(|of| of.arrangement.is_some()).map(|of| of.name.as_str()).collect();
        assert_eq!(holding.len(), 12, "{holding:?}");
        assert_eq!(holding.iter().collect::<BTreeSet<_>>().len(), 12, "two have one name: {holding:?}");
    }
}
