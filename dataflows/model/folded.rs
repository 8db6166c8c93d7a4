//! The form in which texts are compared without regard to case.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// The text in Unicode's normal form C after full case folding: `Straße`, `STRASSE` and `strasse` are one, and so are the ways to
/// write an accent.
///
/// A character that looks like ASCII stays what it is, so that nobody can pass for another: the Kelvin sign is no `k`, the long
/// s no `s`, the dotless i no `i`, the ligature `ﬁ` no `fi`. Of all beyond ASCII, only `ß` becomes ASCII.
///
/// ```
/// use dataflows::model::folded;
/// assert_eq!(folded("Ann"), "ann");
/// assert_eq!(folded("GA\u{308}ST"), folded("gäst"));
/// assert_eq!(folded("STRASSE"), folded("straße"));
/// assert_ne!(folded("\u{212a}"), folded("K"));
/// ```
pub fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let has_upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if has_upper { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    }
    let mut folded = String::with_capacity(text.len());
    // What looks like ASCII would not survive normalisation, so it stands outside of it.
    for part in text.split_inclusive(looks_like_ascii) {
        let apart = part.chars().next_back().filter(|c| looks_like_ascii(*c));
        let inner = apart.map_or(part, |apart| &part[..part.len() - apart.len_utf8()]);
        let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(inner);
        let caseless: String = decomposed.chars().flat_map(caseless).collect();
        folded.push_str(&ComposingNormalizerBorrowed::new_nfc().normalize(&caseless));
        folded.extend(apart);
    }
    Cow::Owned(folded)
}

/// The characters that one becomes by full case folding.
fn caseless(c: char) -> impl Iterator<Item = char> {
    // The capital ß has no upper case; the small one has two letters.
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Whether case folding or normalisation would make ASCII of it, which it is not.
fn looks_like_ascii(c: char) -> bool {
    const SHARP_S: [char; 2] = ['ß', 'ẞ'];
    // They are the same as `;` and a grave accent.
    const SIGNS: [char; 2] = ['\u{37e}', '\u{1fef}'];
    !c.is_ascii() && !SHARP_S.contains(&c) && (SIGNS.contains(&c) || caseless(c).all(|folded| folded.is_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_beyond_ascii_becomes_ascii() {
        for c in ('\u{80}'..='\u{1ffff}').filter(|c| !matches!(c, 'ß' | 'ẞ')) {
            let text = folded(c.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!text.is_ascii(), "{c} ({:x}) became {text:?}", u32::from(c));
            assert_eq!(folded(&text), text, "{c} ({:x}) twice", u32::from(c));
        }
        for (c, ascii) in [('\u{212a}', "k"), ('ſ', "s"), ('ı', "i"), ('ﬁ', "fi"), ('ﬆ', "st"), ('\u{37e}', ";")]
        {
            assert_eq!(folded(&format!("a{c}B")), format!("a{c}b"), "not {ascii}");
        }
    }

    #[test]
    fn case_and_composition_do_not_matter() {
        let same = [
            ["Straße", "STRASSE"],
            ["STRAẞE", "strasse"],
            ["ΣΊΣΥΦΟΣ", "σίσυφος"],
            ["\u{c5}", "a\u{30a}"],
            ["\u{212b}", "\u{e5}"],
            ["É", "e\u{301}"],
            ["\u{1e69}", "S\u{307}\u{323}"],
            ["ǅ", "ǆ"],
            ["µ", "μ"],
            ["ᾳ", "ΑΙ"],
        ];
        for [a, b] in same {
            assert_eq!(folded(a), folded(b), "{a} {b}");
        }
        assert_ne!(folded("gast"), folded("gäst"));
    }
}
