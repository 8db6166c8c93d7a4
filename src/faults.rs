//! Faults that tests of the program wish for. No release build has them.

/// Panics where the environment says so: `DELTAIC_FAULT=NAME@FILE`, as soon as there is that file. With `NAME:returns@FILE` says that
/// the loop is to end, as by a mistake.
#[cfg(debug_assertions)]
#[must_use]
pub fn point(name: &str) -> bool {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static FAULT: OnceLock<Option<(String, bool, PathBuf)>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| {
        let wished = std::env::var("DELTAIC_FAULT").ok()?;
        let (name, file) = wished.split_once('@')?;
        let (name, returns) = name.strip_suffix(":returns").map_or((name, false), |name| (name, true));
        Some((name.to_owned(), returns, file.into()))
    });
    let due = fault.as_ref().filter(|(wished, _, file)| wished == name && file.exists());
    let Some((_, returns, _)) = due else { return false };
    assert!(*returns, "a fault that a test wished for: {name}");
    true
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[must_use]
pub fn point(_name: &str) -> bool {
    false
}
