//! Attributes below attributes: a write at `address`, whatever it writes, is a write to every path below it.
//!
//! What an object sets are its members; that it was there is a write of nothing at its own path. So of `address.zip` there is
//! only what was not written before the latest write at `address`: older writes below it are left out, for good, because a later
//! write at `address` would leave them out too.

use super::{Setting, Topic};

/// Leaves out what was written before a write above it. The settings are sorted by topic, each topic once.
pub(super) fn leave_out_overwritten(settings: &mut Vec<Setting>) {
    let is_overwritten = |setting: &Setting| {
        let Topic::Attribute(name) = &setting.topic else { return false };
        let mut above = name.match_indices('.').map(|(end, _)| &name[..end]);
        above.any(|above| is_later(settings, above, setting))
    };
    // Most records have no such paths at all.
    let overwritten: Vec<bool> = settings.iter().map(is_overwritten).collect();
    if overwritten.contains(&true) {
        let mut overwritten = overwritten.into_iter();
        settings.retain(|_| !overwritten.next().unwrap_or(false));
    }
}

/// Whether the attribute of this name was written later than a setting.
fn is_later(settings: &[Setting], name: &str, than: &Setting) -> bool {
    let found = settings.binary_search_by(|setting| match &setting.topic {
        Topic::Attribute(known) => known.as_str().cmp(name),
        // Attributes come first.
        Topic::Consent(_) => std::cmp::Ordering::Greater,
    });
    found.is_ok_and(|at| (settings[at].at, settings[at].position) > (than.at, than.position))
}

#[cfg(test)]
mod tests {
    use crate::model::{Position, Record, Setting, Tick, Topic, Value};

    /// Checks what is left of writes, each `name@time` with a value, or with `!` for none.
    #[track_caller]
    fn check(written: &str, expected: &str) {
        let setting = |text: &str| {
            let (name, at) = text.trim_end_matches('!').split_once('@').unwrap();
            let value = (!text.ends_with('!')).then(|| Value::text("x"));
            let (topic, position) = (Topic::Attribute(name.into()), Position::UNKNOWN);
            Setting { topic, at: Tick::from_ms(at.parse().unwrap()), position, value }
        };
        let record: Record = written.split(' ').map(setting).collect();
        let expected: Vec<Setting> = expected.split(' ').map(setting).collect();
        assert_eq!(record.settings(), expected, "{written}");
        assert_eq!(Record::from_bytes(record.as_bytes()), Some(record.clone()), "it is read as it was written");
        // In any order, and from any pieces.
        let again: Record = record.settings().into_iter().chain(written.split(' ').rev().map(setting)).collect();
        assert_eq!(again, record);
    }

    #[test]
    fn a_write_is_one_to_every_path_below() {
        check("address@5! address.zip@5 address.city@4", "address@5! address.zip@5");
        check("address@5 address.zip@4 address.zip@6", "address@5 address.zip@6");
        check("a@3! a.b@2! a.b.c@2 a.b.d@4 a.b.e.f@3", "a@3! a.b.d@4 a.b.e.f@3");
        check("a.b@5! a@1 a.b.c@4 a.c@4", "a@1 a.b@5! a.c@4");
        check("a@5! a-b.c@1 ab@1 a@5!", "a@5! a-b.c@1 ab@1");
    }
}
