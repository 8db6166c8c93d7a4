//! Faults that tests of the program wish for. No release build has them.

/// Panics where the environment says so: `DELTAIC_FAULT=NAME@FILE`, as soon as there is that file.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static FAULT: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| {
        let wished = std::env::var("DELTAIC_FAULT").ok()?;
        let (name, file) = wished.split_once('@')?;
        Some((name.to_owned(), file.into()))
    });
    if fault.as_ref().is_some_and(|(wished, file)| wished == name && file.exists()) {
        panic!("a fault that a test wished for: {name}");
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}
