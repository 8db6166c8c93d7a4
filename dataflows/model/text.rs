//! Texts that many rows share.

/// A text that is shared, such as that of an identifier, which stands in several arrangements.
///
/// One word wide, where an `Arc<str>` is two: a [`Part`](super::Part) is then two words instead of three, and there are a dozen
/// of them for each profile. The empty one takes no memory.
pub use arcstr::ArcStr as Text;
