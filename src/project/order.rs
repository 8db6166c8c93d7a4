//! The order in which traits and audiences are evaluated: each after what it refers to. A cycle has none.

use compact_str::CompactString;
use dataflows::definitions::{AudienceId, EvaluationStep, TraitId};

use super::problem::{ProjectProblem, TextSpan};
use super::syntax::{NodeKind, SyntaxNode};

/// A trait or audience with what it refers to.
pub(super) struct Definition {
    pub(super) name: CompactString,
    pub(super) references: Vec<(EvaluationStep, TextSpan)>,
}

/// What an expression over a person refers to.
pub(super) fn references(
    node: &SyntaxNode,
    find: &impl Fn(Reference<'_>) -> Option<EvaluationStep>,
) -> Vec<(EvaluationStep, TextSpan)> {
    let mut found = Vec::new();
    // Each with whether `item` is an element there, whatever else has that name.
    let mut rest = vec![(node, false)];
    while let Some((SyntaxNode { place, kind }, of_items)) = rest.pop() {
        match kind {
            NodeKind::Any(list, condition) => rest.extend([(&**list, of_items), (&**condition, true)]),
            // An element by its place is one of an event.
            NodeKind::Name(name) if !name.beyond.is_empty() || of_items && name.is_of_item() => {}
            NodeKind::Name(name) => found.extend(find(Reference::Name(&name.path)).map(|step| (step, *place))),
            NodeKind::Call(call) if call.name == "audience" => {
                if let [SyntaxNode { place, kind: NodeKind::Text(name) }] = call.positional.as_slice() {
                    found.extend(find(Reference::Audience(name)).map(|step| (step, *place)));
                }
            }
            // The arguments of other calls are about events, and not among the children.
            kind => rest.extend(kind.children().into_iter().map(|node| (node, of_items))),
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
pub(super) fn order(traits: Vec<Definition>, audiences: Vec<Definition>) -> (Vec<EvaluationStep>, Vec<ProjectProblem>) {
    // Traits stand first, then audiences, both by id.
    let first_audience = traits.len();
    let steps = (0..traits.len()).map(|index| EvaluationStep::Trait(TraitId::new(index)));
    let steps: Vec<EvaluationStep> =
        steps.chain((0..audiences.len()).map(|index| EvaluationStep::Audience(AudienceId::new(index)))).collect();
    let index_of = |step: EvaluationStep| match step {
        EvaluationStep::Trait(id) => id.index(),
        EvaluationStep::Audience(id) => first_audience + id.index(),
    };
    let definitions: Vec<Definition> = traits.into_iter().chain(audiences).collect();
    let references: Vec<Vec<(usize, TextSpan)>> = definitions
        .iter()
        .map(|definition| {
            let mut references: Vec<(usize, TextSpan)> =
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
fn find_cycle(start: usize, references: &[Vec<(usize, TextSpan)>], is_done: &[bool]) -> Vec<(usize, TextSpan)> {
    let mut path: Vec<(usize, TextSpan)> = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = path.iter().position(|(visited, _)| *visited == at) {
            return path.split_off(first);
        }
        let Some((to, place)) = references[at].iter().find(|(to, _)| !is_done[*to]) else {
            // Cannot be: `at` would be done. Ending it here is better than not ending.
            return vec![(at, TextSpan::default())];
        };
        path.push((at, *place));
        at = *to;
    }
}

fn problem(definitions: &[Definition], cycle: &[(usize, TextSpan)]) -> ProjectProblem {
    // The same cycle reads the same wherever the search came upon it.
    let first = (0..cycle.len()).min_by_key(|at| &definitions[cycle[*at].0].name).unwrap_or(0);
    let mut names: Vec<&str> =
        cycle.iter().cycle().skip(first).take(cycle.len()).map(|(at, _)| definitions[*at].name.as_str()).collect();
    names.extend(names.first().copied());
    let place = cycle.get(first).map(|(_, place)| *place).unwrap_or_default();
    ProjectProblem::at(place, format!("definitions refer to each other in a cycle: {}", names.join(" → ")))
        .help("a definition can refer only to others that do not need it")
}
