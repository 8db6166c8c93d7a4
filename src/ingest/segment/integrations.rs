//! `integrations` of an event: to which destinations it is to go, as far as its sender says.

use crate::ingest::json::{self, Leaf};

/// What an event says. Where it says nothing, it goes to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integrations {
    /// By name, as they were written.
    said: Vec<(String, bool)>,
}

/// Stands for all destinations that are not named.
const ALL: &str = "All";

impl Integrations {
    /// Those of the text of an event, as it is stored.
    pub fn of(raw: &[u8]) -> Self {
        let mut said = Vec::new();
        let Ok(text) = std::str::from_utf8(raw) else { return Integrations::default() };
        let mut integrations = None;
        let read = json::object(
            text,
            |key| (key == "integrations").then_some(()),
            |(), value| {
                integrations = Some(value);
                Ok(())
            },
        );
        // It was read when it was accepted.
        let (Ok(()), Some(integrations)) = (read, integrations) else { return Integrations::default() };
        for (name, value) in json::members(integrations).map_while(Result::ok) {
            match Leaf::of(value) {
                Leaf::Bool(is_to_go) => said.push((name.into(), is_to_go)),
                // Options for the destination, which are none of ours.
                Leaf::Object(_) => said.push((name.into(), true)),
                _ => {}
            }
        }
        Integrations { said }
    }

    /// Whether the event is to go to the destination of this name. The latest word counts.
    pub fn allow(&self, destination: &str) -> bool {
        let of = |wanted: &str| {
            let is_meant = |(name, _): &&(String, bool)| name.trim().eq_ignore_ascii_case(wanted);
            self.said.iter().rev().find(is_meant).map(|(_, is_to_go)| *is_to_go)
        };
        of(destination).or_else(|| of(ALL)).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(integrations: &str, orders: bool, audit: bool) {
        let raw = format!(r#"{{"type":"page","integrations":{integrations},"userId":"1"}}"#);
        let read = Integrations::of(raw.as_bytes());
        assert_eq!((read.allow("orders"), read.allow("audit")), (orders, audit), "{integrations}");
    }

    #[test]
    fn where_an_event_is_to_go() {
        check("{}", true, true);
        check("null", true, true);
        check("[false]", true, true);
        check(r#"{"All":false}"#, false, false);
        check(r#"{"All":false,"orders":true}"#, true, false);
        check(r#"{"orders":true,"All":false}"#, true, false);
        check(r#"{"all":false,"Orders":{"key":"value"}}"#, true, false);
        check(r#"{"All":true,"orders":false}"#, false, true);
        check(r#"{"orders":false}"#, false, true);
        check(r#"{"orders":null,"audit":"false","All":0}"#, true, true);
        check(r#"{"orders":true,"orders":false}"#, false, true);
        check(r#"{"\u006frders":false}"#, false, true);
        let twice = br#"{"integrations":{"All":false},"integrations":{}}"#;
        assert_eq!(Integrations::of(twice), Integrations::default());
        assert_eq!(Integrations::of(b"17"), Integrations::default());
    }
}
