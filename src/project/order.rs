//! The order in which traits and audiences are evaluated: each after what it refers to. A cycle has none.

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, Step, TraitId};

use super::problem::{Place, Problem};
use super::syntax::{Kind, Node};

/// A trait or audience with what it refers to.
pub(super) struct Definition {
    pub(super) name: CompactString,
    pub(super) references: Vec<(Step, Place)>,
}

/// What an expression over a person refers to.
pub(super) fn references(node: &Node, find: &impl Fn(Reference<'_>) -> Option<Step>) -> Vec<(Step, Place)> {
    let mut found = Vec::new();
    let mut rest = vec![node];
    while let Some(Node { place, kind }) = rest.pop() {
        match kind {
            Kind::Name(name) => found.extend(find(Reference::Name(&name.path)).map(|step| (step, *place))),
            Kind::Call(call) if call.name == "audience" => {
                if let [Node { place, kind: Kind::Text(name) }] = call.positional.as_slice() {
                    found.extend(find(Reference::Audience(name)).map(|step| (step, *place)));
                }
            }
            // The arguments of other calls are about events.
            Kind::Call(_) | Kind::Text(_) | Kind::Number(_) | Kind::Bool(_) | Kind::Null => {}
            Kind::Not(inner) | Kind::Negate(inner) | Kind::IsNull(inner) => rest.push(inner),
            Kind::And(several) | Kind::Or(several) => rest.extend(several),
            Kind::Compare(_, a, b) | Kind::Arithmetic(_, a, b) | Kind::Like(a, b) => rest.extend([&**a, &**b]),
            Kind::In(of, list) => rest.extend(list.iter().chain([&**of])),
            Kind::Between(of, low, high) => rest.extend([&**of, &**low, &**high]),
        }
    }
    found
}

/// How an expression refers to another definition.
pub(super) enum Reference<'n> {
    /// By a bare name.
    Name(&'n [String]),
    /// By `audience('name')`.
    Audience(&'n str),
}

/// All of them in order, and a problem for each cycle.
pub(super) fn order(traits: Vec<Definition>, audiences: Vec<Definition>) -> (Vec<Step>, Vec<Problem>) {
    // Traits stand first, then audiences, both by id.
    let first_audience = traits.len();
    let steps = (0..traits.len()).map(|index| Step::Trait(TraitId::new(index)));
    let steps: Vec<Step> =
        steps.chain((0..audiences.len()).map(|index| Step::Audience(AudienceId::new(index)))).collect();
    let index_of = |step: Step| match step {
        Step::Trait(id) => id.index(),
        Step::Audience(id) => first_audience + id.index(),
    };
    let definitions: Vec<Definition> = traits.into_iter().chain(audiences).collect();
    let references: Vec<Vec<(usize, Place)>> = definitions
        .iter()
        .map(|definition| {
            let mut references: Vec<(usize, Place)> =
                definition.references.iter().map(|(step, place)| (index_of(*step), *place)).collect();
            references.sort();
            references.dedup_by_key(|(to, _)| *to);
            references
        })
        .collect();
    let mut is_done = vec![false; definitions.len()];
    let (mut order, mut problems) = (Vec::new(), Vec::new());
    loop {
        // Definitions are few, and rounds as many as the longest chain of references.
        let before = order.len();
        if before == definitions.len() {
            return (order, problems);
        }
        for at in 0..definitions.len() {
            if !is_done[at] && references[at].iter().all(|(to, _)| is_done[*to]) {
                is_done[at] = true;
                order.push(steps[at]);
            }
        }
        if order.len() > before {
            continue;
        }
        let Some(start) = is_done.iter().position(|done| !done) else {
            return (order, problems);
        };
        let cycle = find_cycle(start, &references, &is_done);
        problems.push(problem(&definitions, &cycle));
        // Taken as done, so that what merely refers to the cycle is not reported, but other cycles are.
        for (at, _) in cycle {
            is_done[at] = true;
            order.push(steps[at]);
        }
    }
}

/// Follows references that are not done, of which each that is not done has one, until one comes back.
fn find_cycle(start: usize, references: &[Vec<(usize, Place)>], is_done: &[bool]) -> Vec<(usize, Place)> {
    let mut path: Vec<(usize, Place)> = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = path.iter().position(|(visited, _)| *visited == at) {
            return path.split_off(first);
        }
        let Some((to, place)) = references[at].iter().find(|(to, _)| !is_done[*to]) else {
            // Cannot be: `at` would be done. Ending it here is better than not ending.
            return vec![(at, Place::default())];
        };
        path.push((at, *place));
        at = *to;
    }
}

fn problem(definitions: &[Definition], cycle: &[(usize, Place)]) -> Problem {
    // The same cycle reads the same wherever the search came upon it.
    let first = (0..cycle.len()).min_by_key(|at| &definitions[cycle[*at].0].name).unwrap_or(0);
    let mut names: Vec<&str> =
        cycle.iter().cycle().skip(first).take(cycle.len()).map(|(at, _)| definitions[*at].name.as_str()).collect();
    names.extend(names.first().copied());
    let place = cycle.get(first).map(|(_, place)| *place).unwrap_or_default();
    Problem::at(place, format!("definitions refer to each other in a cycle: {}", names.join(" → ")))
        .help("a definition can refer only to others that do not need it")
}
