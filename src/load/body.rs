//! The stream as JSON, and the names that people have in it.

use std::fmt::Write;

use jiff::Timestamp;

use dataflows::model::IdentifierKey;

use super::stream::{CITIES, LoadAction, LoadEvent, is_regular};

/// What sets the people of one run apart from those of all others, and those of a lane from those of the other lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneNames {
    /// The run: lower-case letters and digits.
    pub run: String,
    /// Whether some of them are regulars, whose events say `club`.
    pub has_regulars: bool,
}

/// Somebody, within a lane: what webhook calls and reads name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneIdentifier {
    /// A user id.
    User(u32),
    /// The address of a user.
    Email(u32),
    /// The anonymous id of a device.
    Device(u32),
}

impl LaneNames {
    /// `type:value` of somebody.
    pub fn written(&self, lane: u32, identifier: LaneIdentifier) -> String {
        let run = &self.run;
        match identifier {
            LaneIdentifier::User(user) => format!("user_id:{run}-{lane}-{user}"),
            LaneIdentifier::Email(user) => format!("email:{run}-{lane}-{user}@load.example"),
            LaneIdentifier::Device(device) => format!("anonymous_id:{run}-{lane}-{device}"),
        }
    }

    /// The first half of the hash of somebody's identifier: it shifts the ends of windows.
    pub fn hash(&self, key: &IdentifierKey, lane: u32, identifier: LaneIdentifier) -> u64 {
        let written = self.written(lane, identifier);
        let (kind, value) = written.split_once(':').unwrap_or_default();
        let bytes = dataflows::model::Identifier::new(key, kind, value).id().to_bytes();
        bytes[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// Who that is; nobody for people of other runs.
    pub fn read(&self, written: &str) -> Option<(u32, LaneIdentifier)> {
        let (kind, value) = written.split_once(':')?;
        let (value, identifier): (_, fn(u32) -> LaneIdentifier) = match kind {
            "user_id" => (value, LaneIdentifier::User),
            "email" => (value.strip_suffix("@load.example")?, LaneIdentifier::Email),
            "anonymous_id" => (value, LaneIdentifier::Device),
            _ => return None,
        };
        let (lane, number) = value.strip_prefix(self.run.as_str())?.strip_prefix('-')?.split_once('-')?;
        Some((lane.parse().ok()?, identifier(number.parse().ok()?)))
    }

    /// The user id of the fence with this number.
    pub fn fence(&self, number: usize) -> String {
        format!("{}-fence{number}", self.run)
    }

    /// The body of a batch call with these events.
    pub fn batch(&self, lane: u32, events: &[LoadEvent]) -> String {
        let mut body = String::with_capacity(events.len() * 340 + 16);
        body.push_str(r#"{"batch":["#);
        for (place, event) in events.iter().enumerate() {
            body.push_str(if place == 0 { "" } else { "," });
            self.event(lane, event, &mut body);
        }
        body.push_str("]}");
        body
    }

    /// Appends one event.
    pub fn event(&self, lane: u32, event: &LoadEvent, to: &mut String) {
        /// What a browser sends along.
        const CONTEXT: &str = r#""context":{"library":{"name":"analytics.js","version":"2.1.0"},"locale":"de-DE","page":{"path":"/shop","url":"https://shop.example/shop"}}"#;
        let (run, number, device) = (&self.run, event.number, event.device);
        let (kind, name) = match event.what {
            LoadAction::Page => ("page", ""),
            LoadAction::View => ("track", r#""event":"Product Viewed","#),
            LoadAction::Cart => ("track", r#""event":"Product Added","#),
            LoadAction::Purchase { .. } => ("track", r#""event":"Order Completed","#),
            LoadAction::Login { .. } => ("identify", ""),
        };
        let time = JsTime(event.at_ms);
        // A string takes any text.
        _ = write!(to, r#"{{"type":"{kind}",{name}"messageId":"{run}-{lane}-{number}","timestamp":"{time}","#);
        _ = write!(to, r#""anonymousId":"{run}-{lane}-{device}","#);
        if let Some(user) = event.user {
            _ = write!(to, r#""userId":"{run}-{lane}-{user}","#);
        }
        let product = number % 1_000;
        let is_club = self.has_regulars && event.user.is_some_and(is_regular);
        let club = if is_club { format!(r#""club":{number},"#) } else { String::new() };
        _ = match event.what {
            LoadAction::Page => write!(to, r#""properties":{{{club}"title":"Shop","path":"/p/{product}"}},"#),
            LoadAction::View => {
                write!(to, r#""properties":{{{club}"product_id":"p-{product}","category":"c-{}"}},"#, product % 20)
            }
            LoadAction::Cart => write!(to, r#""properties":{{{club}"product_id":"p-{product}","quantity":1}},"#),
            LoadAction::Purchase { cents } => write!(
                to,
                r#""properties":{{{club}"order_id":"o-{number}","total":{}.{:02},"currency":"EUR"}},"#,
                cents / 100,
                cents % 100
            ),
            LoadAction::Login { email, city } => {
                let email = match event.user {
                    Some(user) if email => format!(r#""email":"{run}-{lane}-{user}@load.example""#),
                    _ => String::new(),
                };
                let city = city.map_or_else(String::new, |city| format!(r#""city":"{}""#, CITIES[city]));
                let comma = if email.is_empty() || city.is_empty() { "" } else { "," };
                write!(to, r#""traits":{{{email}{comma}{city}}},"#)
            }
        };
        to.push_str(CONTEXT);
        to.push('}');
    }

    /// The body that puts up a fence.
    pub fn fence_batch(&self, number: usize) -> String {
        let user = self.fence(number);
        format!(r#"{{"batch":[{{"type":"track","event":"Load Fence","messageId":"{user}","userId":"{user}"}}]}}"#)
    }
}

/// A time as JavaScript writes it.
struct JsTime(u64);

impl std::fmt::Display for JsTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = i64::try_from(self.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        write!(f, "{at:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> LaneNames {
        LaneNames { run: "r1".into(), has_regulars: false }
    }

    #[test]
    fn who_is_written_is_read() {
        for identifier in [LaneIdentifier::User(3), LaneIdentifier::Email(4), LaneIdentifier::Device(5)] {
            assert_eq!(names().read(&names().written(2, identifier)), Some((2, identifier)));
        }
        for other in ["user_id:r2-2-3", "user_id:r1-fence1", "phone:r1-2-3", "user_id:r1-2-x", "email:r1-2-3"] {
            assert_eq!(names().read(other), None, "{other}");
        }
    }

    #[test]
    fn events_of_regulars_say_so() {
        let names = LaneNames { has_regulars: true, ..names() };
        let said = |user| {
            let mut text = String::new();
            names.event(2, &LoadEvent { number: 9, at_ms: 1, device: 5, user, what: LoadAction::Cart }, &mut text);
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["properties"]["club"].as_u64()
        };
        assert_eq!([said(Some(4)), said(Some(5)), said(None)], [Some(9), None, None]);
    }

    #[test]
    fn events_are_those_of_a_shop() {
        let event = |user, what| LoadEvent { number: 9, at_ms: 1_767_225_600_001, device: 5, user, what };
        let events = [
            event(None, LoadAction::View),
            event(Some(3), LoadAction::Purchase { cents: 1_205 }),
            event(Some(3), LoadAction::Login { email: true, city: Some(1) }),
        ];
        let body: serde_json::Value = serde_json::from_str(&names().batch(2, &events)).unwrap();
        let shown: Vec<String> = body["batch"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| {
                let mut event = event.as_object().unwrap().clone();
                event.remove("context").unwrap();
                serde_json::Value::Object(event).to_string()
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
