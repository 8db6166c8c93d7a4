//! Amounts of memory as people write them: `512 MB`, `2 GB`, `1.5 GB` is not one.

/// Units with their length in bytes.
const UNITS: [(&str, u64); 7] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// The bytes that the text stands for.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[digits..].trim().to_lowercase();
    let (_, bytes) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    text[..digits].parse::<u64>().ok()?.checked_mul(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_and_a_unit() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(parse_bytes(text), expected, "{text:?}");
        }
        check("2 GB", Some(2_000_000_000));
        check(" 512mib ", Some(512 << 20));
        check("7 B", Some(7));
        for wrong in ["", "2", "GB", "1.5 GB", "-1 GB", "2 TB", "99999999999 GB"] {
            check(wrong, None);
        }
    }
}
