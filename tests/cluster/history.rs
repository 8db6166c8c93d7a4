//! A history of a shop in which everything happens that makes workers talk to each other: devices that change hands,
//! people who become one, windows that end, events that come late or twice.

use std::fmt::Write;

/// The project that the history is for.
pub const PROJECT: &str = r#"
name = "cluster"

[identity]
key = "test"

[sources.web]
write_key = "web-key"

[access]
read_token = "read-token"

[traits]
orders = "count('Order Completed')"
revenue = "sum('Order Completed', properties.total)"
categories = "distinct('Product Viewed', properties.category, within => '1 hour')"
last_category = "last('Product Viewed', properties.category)"
city_of = "city"

[audiences.abandoners]
when = "count('Product Added', within => '10 min') > 0 and count('Order Completed', within => '10 min') = 0"
[audiences.browsers]
when = "categories >= 3"
[audiences.reachable]
when = "consent('marketing') and has(email)"
[audiences.spenders]
when = "revenue >= 300"
[audiences.valued]
when = "audience('spenders') and not audience('abandoners') and city_of = 'Berlin'"
"#;

/// 2026-01-01T00:00:00Z
const START_MS: u64 = 1_767_225_600_000;

/// SplitMix64.
struct HistoryChance(u64);

impl HistoryChance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

/// So many events as lines of JSON.
pub fn history(seed: u64, events: usize) -> String {
    let mut chance = HistoryChance(seed);
    let mut lines: Vec<String> = Vec::new();
    let mut at_ms = START_MS;
    for number in 0..events {
        // Many come in the same millisecond, and at times nothing comes for minutes.
        at_ms += [0, 0, 3, 700, 4_000, 90_000][chance.below(6) as usize];
        let late_ms = if chance.below(8) == 0 { chance.below(2 * 3_600_000) } else { 0 };
        let time = |ms: u64| jiff::Timestamp::from_millisecond(ms.cast_signed()).unwrap();
        let head = format!(
            r#""messageId":"m{number}","receivedAt":"{}","timestamp":"{}""#,
            time(at_ms),
            time(at_ms - late_ms)
        );
        let (person, device) = (chance.below(120), chance.below(150));
        let mut line = String::new();
        _ = match chance.below(20) {
            0..6 => write!(
                line,
                r#"{{"type":"track","event":"Product Viewed",{head},"anonymousId":"d{device}","properties":{{"category":"{}"}}}}"#,
                chance.of(&["books", "shoes", "tools", "toys"])
            ),
            6..10 => write!(line, r#"{{"type":"track","event":"Product Added",{head},"anonymousId":"d{device}"}}"#),
            10..13 => write!(
                line,
                r#"{{"type":"track","event":"Order Completed",{head},"userId":"u{person}","anonymousId":"d{device}","properties":{{"total":{}.{}5}}}}"#,
                chance.below(90),
                chance.below(10)
            ),
            13..16 => write!(line, r#"{{"type":"identify",{head},"userId":"u{person}","anonymousId":"d{device}"}}"#),
            16 => write!(
                line,
                r#"{{"type":"identify",{head},"anonymousId":"d{device}","traits":{{"email":"p{person}@x.org"}}}}"#
            ),
            17 => write!(
                line,
                r#"{{"type":"identify",{head},"userId":"u{person}","traits":{{"city":"{}"}},"context":{{"consent":{{"categoryPreferences":{{"marketing":{}}}}}}}}}"#,
                chance.of(&["Berlin", "Paris"]),
                chance.below(2) == 0
            ),
            18 => write!(line, r#"{{"type":"alias",{head},"userId":"u{person}","previousId":"d{device}"}}"#),
            _ => match lines.len().checked_sub(1 + chance.below(50) as usize) {
                // The same message again.
                Some(earlier) => write!(line, "{}", lines[earlier]),
                None => write!(line, r#"{{"type":"page",{head},"userId":"null","anonymousId":"d{device}"}}"#),
            },
        };
        lines.push(line);
    }
    lines.join("\n")
}
