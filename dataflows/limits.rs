//! The limits of the dataflows, each with the reason for its value (invariant 7).

/// Topics (attributes and purposes of consent) that one identifier may set. A write to a further topic is left out.
///
/// People have tens of attributes; a thousand leaves room for generated ones and bounds what a hostile sender can pile up.
pub const TOPICS_PER_IDENTIFIER_MAX: usize = 1_000;
