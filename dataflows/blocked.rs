//! Which identifiers identify nobody: the rules of [`IdentityRules::blocked`](crate::definitions::IdentityRules), prepared for a
//! look at each identifier of each event.

use compact_str::CompactString;
use rustc_hash::FxHashSet;

use crate::definitions::Blocked;
use crate::expression::Pattern;
use crate::model::{Identifier, folded};

/// What systems write where they know nobody, in lower case. Beside it, whatever has only zeros and signs in it, such as the nil
/// UUID.
pub const NOBODY: [&str; 11] =
    ["null", "(null)", "nil", "none", "undefined", "anonymous", "unknown", "n/a", "nan", "test", "-1"];

/// The rules.
#[derive(Clone, Debug)]
pub struct Blocklist {
    /// Values of any type, as [`bare`] leaves them.
    values: FxHashSet<CompactString>,
    /// The bits of their first characters, of those that are ASCII.
    begins: u128,
    /// The bytes of the longest.
    bytes_max: usize,
    zeros: bool,
    patterns: Vec<(CompactString, Pattern)>,
}

impl Blocklist {
    /// By these rules.
    pub fn new(rules: &[Blocked]) -> Self {
        let (mut values, mut patterns, mut zeros) = (FxHashSet::default(), Vec::new(), false);
        for rule in rules {
            match rule {
                Blocked::Nobody => {
                    values.extend(NOBODY.map(CompactString::from));
                    zeros = true;
                }
                Blocked::Value(value) => _ = values.insert(bare(value)),
                Blocked::Pattern(kind, pattern) => patterns.push((kind.clone(), pattern.clone())),
            }
        }
        let begins = values.iter().filter_map(|value| value.bytes().next()).fold(0, |bits, first| bits | bit(first));
        let bytes_max = values.iter().map(|value| value.len()).max().unwrap_or(0);
        Blocklist { values, begins, bytes_max, zeros, patterns }
    }

    /// Whether this one identifies nobody.
    pub fn has(&self, identifier: &Identifier) -> bool {
        let value = identifier.value();
        let is_zero = |byte| matches!(byte, b'0' | b'-' | b'+' | b'{' | b'}' | b' ');
        (self.zeros && value.bytes().all(is_zero))
            || self.has_value(value)
            || self.patterns.iter().any(|(kind, pattern)| identifier.kind() == kind && pattern.matches(value))
    }

    fn has_value(&self, value: &str) -> bool {
        if !value.is_ascii() {
            return self.values.contains(&bare(value));
        }
        let first = value.bytes().find(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
        // Nearly all end here, with no look at the rest of them.
        if self.begins & bit(first) == 0 || (value.len() > self.bytes_max && !value.as_bytes().contains(&b' ')) {
            return false;
        }
        let bare = value.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| byte.to_ascii_lowercase());
        let bare: CompactString = bare.take(self.bytes_max + 1).map(char::from).collect();
        self.values.contains(&bare)
    }
}

/// The value without white space, in any case of letters.
fn bare(value: &str) -> CompactString {
    folded(value).chars().filter(|c| !c.is_whitespace()).collect()
}

/// The bit of an ASCII character, in lower case; no bit for others.
fn bit(first: u8) -> u128 {
    if first.is_ascii() { 1 << first.to_ascii_lowercase() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IdentifierKey;

    #[track_caller]
    fn check(rules: &[Blocked], kind: &str, value: &str, expected: bool) {
        let identifier = Identifier::new(&IdentifierKey::from_secret("test"), kind, value);
        assert_eq!(Blocklist::new(rules).has(&identifier), expected, "{kind}:{value:?}");
    }

    #[test]
    fn nobody_is_written_in_many_ways() {
        let nobody = [
            "null",
            "NULL",
            "(null)",
            "( Null )",
            "nil",
            "None",
            "undefined",
            "Anonymous",
            "UNKNOWN",
            "n/a",
            "N/A",
            "n / a",
            "N\u{a0}/\u{2003}A",
            "nan",
            "NaN",
            "test",
            "T e s t",
            "-1",
            "",
            " ",
            "0",
            "+0",
            "+0000000",
            "0000 0000",
            "---",
            "00000000-0000-0000-0000-000000000000",
            "{00000000-0000-0000-0000-000000000000}",
        ];
        for value in nobody {
            check(&[Blocked::Nobody], "user_id", value, true);
            check(&[], "user_id", value, false);
        }
        for somebody in
            ["1", "10", "-2", "test1", "tes", "nulla", "a0", "00000000-0000-0000-0000-000000000001", "nobody"]
        {
            check(&[Blocked::Nobody], "user_id", somebody, false);
        }
        check(&[Blocked::Nobody], "user_id", &format!("null{}", "x".repeat(600)), false);
        check(&[Blocked::Nobody], "user_id", &format!("null{}x", " ".repeat(600)), false);
    }

    #[test]
    fn values_of_a_project_are_compared_without_case() {
        let rules = ["Gäst", "guest user", "Straße", "9"].map(|value| Blocked::Value(value.into()));
        for value in
            ["gäst", "GÄST", "ga\u{308}st", " GA\u{308}ST", "Guest User", "guestuser", "STRASSE", "straße", "9"]
        {
            check(&rules, "user_id", value, true);
            check(&rules, "email", value, true);
        }
        for value in ["gast", "gäste", "guest", "8", "null"] {
            check(&rules, "user_id", value, false);
        }
    }

    #[test]
    fn patterns_are_of_one_type() {
        let rules = [Blocked::Pattern("email".into(), Pattern::new("%@internal.test"))];
        check(&rules, "email", "qa@internal.test", true);
        check(&rules, "phone", "qa@internal.test", false);
    }
}
