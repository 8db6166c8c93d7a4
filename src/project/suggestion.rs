//! "Did you mean …?"

use strsim::damerau_levenshtein;

/// The candidate that `word` is most probably a misspelling of.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    // Two typing errors in a long word, one in a short one; of words of two letters every one is like every other.
    let allowed = match lower.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=11 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (candidate.len().abs_diff(word.len()), candidate))
        // Cheap to tell, and most candidates end here.
        .filter(|(difference, _)| *difference <= allowed)
        .map(|(difference, candidate)| (damerau_levenshtein(&lower, &candidate.to_lowercase()), difference, candidate))
        .filter(|(distance, ..)| *distance <= allowed)
        .min()
        .map(|(.., candidate)| candidate)
}

/// The hint that goes with [`nearest`].
pub(super) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Names as they stand in a sentence: `a`, `b` and `c`.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        text.push_str(match index {
            0 => "",
            last if last + 1 == names.len() => " and ",
            _ => ", ",
        });
        text.push('`');
        text.push_str(name.as_ref());
        text.push('`');
    }
    text
}
