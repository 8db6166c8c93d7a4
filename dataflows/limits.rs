//! The limits of the dataflows, each with the reason for its value (invariant 7).

/// Attributes that one identifier may have, and purposes of consent likewise. Where it sets more, those with the names that
/// sort first stay.
///
/// People have tens of attributes; a thousand leaves room for generated ones and bounds what a hostile sender can pile up.
pub const TOPICS_PER_IDENTIFIER_MAX: usize = 1_000;
