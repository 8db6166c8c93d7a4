//! Random events of few people on few devices, so that everything that can collide does.

use dataflows::model::Tick;
use deltaic::json::TimeText;
use serde_json::{Value, json};

use super::CrashChance;

/// People, and devices, of which each person has several and lends them.
const PEOPLE: u64 = 20;
const DEVICES: u64 = 30;
const SHELVES: [&str; 4] = ["books", "shoes", "tools", "toys"];

/// How far an event may be ahead of the clock: it opens windows without anything arriving.
const AHEAD_MS_MAX: u64 = 300;

/// How late an event may be: longer than the longest window.
const LATE_S_MAX: u64 = 2 * 3_600;

/// The next event, of this number, sent at `now_ms`.
pub fn event(chance: &mut CrashChance, number: u64, now_ms: u64) -> Value {
    let timestamp_ms = if chance.one_in(4) {
        // Whole seconds: several have one time.
        (now_ms / 1_000 - chance.below(LATE_S_MAX)) * 1_000
    } else {
        now_ms - chance.below(200) + chance.below(AHEAD_MS_MAX)
    };
    let (user, device) = (format!("u{}", chance.below(PEOPLE)), format!("d{}", chance.below(DEVICES)));
    let shelf = SHELVES[chance.below(SHELVES.len() as u64) as usize];
    let email = format!("p{}@x.org", chance.below(PEOPLE));
    let mut event = match chance.below(20) {
        0..7 => json!({"type": "track", "event": "Seen", "anonymousId": device, "properties": {"shelf": shelf}}),
        7..11 => json!({"type": "track", "event": "Seen", "userId": user, "properties": {"shelf": shelf}}),
        11..14 => json!({"type": "track", "event": "Bought", "userId": user, "anonymousId": device,
            "properties": {"shelf": shelf, "total": chance.below(5_000) as f64 / 100.0}}),
        // The last login owns the device; a late one may come after a later one.
        14..17 => json!({"type": "identify", "userId": user, "anonymousId": device}),
        // Devices that nobody owns become one person.
        17 => json!({"type": "identify", "anonymousId": device, "traits": {"email": email}}),
        18 => json!({"type": "identify", "userId": user, "traits": {"email": email, "city": shelf},
            "context": {"consent": {"categoryPreferences": {"news": chance.one_in(2)}}}}),
        _ => json!({"type": "alias", "userId": user, "previousId": device}),
    };
    stamp(&mut event, number, timestamp_ms);
    event
}

/// An event from so far ahead that it is cut to its tick.
pub fn ahead(chance: &mut CrashChance, number: u64, now_ms: u64) -> Value {
    let mut event = json!({"type": "track", "event": "Seen", "userId": format!("u{}", chance.below(PEOPLE)),
        "properties": {"shelf": "ahead"}});
    stamp(&mut event, number, now_ms + 3_600_000 + chance.below(3_600_000));
    event
}

fn stamp(event: &mut Value, number: u64, timestamp_ms: u64) {
    event["messageId"] = message_id(number).into();
    event["timestamp"] = TimeText(Tick::from_ms(timestamp_ms)).to_string().into();
}

/// The message id of an event.
pub fn message_id(number: u64) -> String {
    format!("m{number}")
}

/// The number of the event that has this message id.
pub fn number(message_id: &str) -> Option<u64> {
    message_id.strip_prefix('m')?.parse().ok()
}
