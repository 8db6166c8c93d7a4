//! `deltaic take-over`: says to a running engine that it is the one that delivers, although its data folder is a copy.

use std::io::Write;

use reqwest::Method;

use super::caller::Caller;
use super::{AdminError, EngineAddress};

/// Orders it; writes to `out` what came of it.
pub async fn run(engine: EngineAddress, token: Option<String>, out: &mut impl Write) -> Result<(), AdminError> {
    let answer = Caller::new(engine, token)?.call(Method::POST, &["take-over"], &[], None).await?;
    let was_held = answer["was_held"].as_bool().unwrap_or_default();
    let told = if was_held { "the data folder is that of this engine now: it delivers" } else { "it delivers already" };
    Ok(writeln!(out, "{told}")?)
}
