//! What this program was built with: cargo features, each a part that costs every build and that not everybody needs.
//!
//! A part that was left out has a twin of the same name that refuses what needs it (`history/no_bucket.rs`), so nothing else asks.

/// Whether there can be a history in S3-compatible storage.
pub const HAS_S3: bool = cfg!(feature = "s3");

/// All features, each with whether it is in. `docs/reference/cargo-features.md` says what they are and what they cost.
pub const FEATURES: [(&str, bool); 2] = [("load", cfg!(feature = "load")), ("s3", HAS_S3)];

/// What is said where a history is to be in S3-compatible storage, and the program cannot.
pub const S3_MISSING: &str = "this program was built without S3-compatible storage";

/// What to do about it.
pub const S3_HELP: &str = "build it with `cargo build --release --features s3`";

/// The features that are in, with a comma between two.
pub fn listed() -> String {
    let named: Vec<&str> = FEATURES.iter().filter(|(_, is_in)| *is_in).map(|(name, _)| *name).collect();
    if named.is_empty() { "none".to_owned() } else { named.join(", ") }
}
