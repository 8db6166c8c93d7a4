//! `keep`, `drop`, `history` and `max_age` of a destination: what leaves of the events that it is sent, and which of them are too late.

use compact_str::CompactString;

use super::problem::ProjectProblem;
use super::resolved::{EventPayload, FieldPath, Sending};
use super::section::List;
use super::suggestion::nearest;
use super::text::SubstitutedText;
use super::written::WrittenSending;

/// What events have at their top. What is like one of these and none of them is a mistake, by which personal data would leave.
const MEMBERS: [&str; 16] = [
    "anonymousId",
    "category",
    "channel",
    "context",
    "event",
    "groupId",
    "integrations",
    "messageId",
    "name",
    "originalTimestamp",
    "previousId",
    "properties",
    "timestamp",
    "traits",
    "type",
    "userId",
];

/// What the destination `name` says of it. Without `events` it may say nothing.
pub(super) fn resolve(
    name: &SubstitutedText,
    is_sent_events: bool,
    written: WrittenSending,
    problems: &mut Vec<ProjectProblem>,
    warnings: &mut Vec<ProjectProblem>,
) -> Sending {
    let WrittenSending { keep, drop, history, max_age } = written;
    if !is_sent_events {
        let said = [
            ("keep", keep.is_some()),
            ("drop", drop.is_some()),
            ("history", history.is_some()),
            ("max_age", max_age.is_some()),
        ];
        for (key, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
            let problem =
                ProjectProblem::at(name.place, format!("`{key}` of destination `{}` has no events", name.value));
            problems.push(problem.help("list the events that it is sent: events = [\"Order Completed\"]"));
        }
        return Sending::default();
    }
    let payload = match (keep, drop) {
        (Some(_), Some(_)) => {
            let problem =
                ProjectProblem::at(name.place, format!("destination `{}` has both `keep` and `drop`", name.value));
            problems.push(problem.help("say either what leaves of an event, or what does not"));
            EventPayload::default()
        }
        (Some(keep), None) => EventPayload::Keep(paths(keep, problems)),
        (None, Some(drop)) => EventPayload::Drop(paths(drop, problems)),
        (None, None) => {
            let message = format!("all of an event but `context.ip` goes to destination `{}`", name.value);
            let help =
                "say what leaves, such as keep = [\"properties.order_id\"], or what does not: drop = [\"context\"]";
            warnings.push(ProjectProblem::at(name.place, message).help(help).into_warning());
            EventPayload::default()
        }
    };
    Sending { payload, history: history.unwrap_or_default(), max_age: max_age.map(|(max_age, _)| max_age) }
}

fn paths(list: List, problems: &mut Vec<ProjectProblem>) -> Vec<FieldPath> {
    let mut paths: Vec<FieldPath> = Vec::with_capacity(list.items.len());
    for item in list.items.into_iter().filter(|item| !item.is_broken) {
        let Some(path) = path(&item.value) else {
            let problem = ProjectProblem::at(item.place, format!("`{}` is no field of an event", item.value));
            problems.push(
                problem.help("such as \"properties.order_id\"; a name with a dot is in quotes: 'context.\"a.b\"'"),
            );
            continue;
        };
        if let Some(meant) = nearest(&path[0], MEMBERS).filter(|meant| *meant != path[0]) {
            let problem = ProjectProblem::at(item.place, format!("`{}` is at the top of no event", path[0]));
            problems.push(problem.help(format!("did you mean `{meant}`?")));
        }
        if paths.contains(&path) {
            problems.push(ProjectProblem::at(item.place, format!("`{}` is listed twice", item.value)));
        }
        paths.push(path);
    }
    paths
}

/// The names that lead to a field, with dots between them; one in double quotes may have a dot itself.
pub(crate) fn path(text: &str) -> Option<FieldPath> {
    let mut path = FieldPath::default();
    let mut rest = text.trim();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if name.is_empty() || name.contains(['"', '*', '[']) {
            return None;
        }
        path.push(CompactString::from(name));
        if after.is_empty() {
            return Some(path);
        }
        rest = after.strip_prefix('.')?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::TextSpan;
    use super::*;

    #[test]
    fn what_is_nearly_a_member_of_events_is_none() {
        let check = |name: &str| {
            let list = List { items: vec![SubstitutedText::key(name, TextSpan::default())] };
            let mut problems = Vec::new();
            paths(list, &mut problems);
            problems.len()
        };
        for wrong in ["propertes.card_number", "contxt", "userid", "Properties.total", "trait.email"] {
            assert_eq!(check(wrong), 1, "{wrong}");
        }
        for right in ["properties.card_numbr", "context.ip", "userId", "request_ip", "receivedAt", "rudderId"] {
            assert_eq!(check(right), 0, "{right}");
        }
    }

    #[test]
    fn names_of_fields() {
        let read = |text: &str| path(text).map(|path| path.join("/"));
        assert_eq!(read("userId").as_deref(), Some("userId"));
        assert_eq!(read("properties.address.zip").as_deref(), Some("properties/address/zip"));
        assert_eq!(read("context.\"a.b\".c d").as_deref(), Some("context/a.b/c d"));
        for wrong in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "properties.*", "items[0]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
