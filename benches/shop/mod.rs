//! A shop-shaped stream of events: 55 % page views, 25 % product views, 8 % carts, 4 % purchases, 8 % logins, of which
//! 0.2 % on somebody else's device; people by popularity; 20 ms of event time between events. A seed gives the same stream.

use std::fmt::Write;

/// The project that the stream is for: three audiences with windows.
pub const PROJECT: &str = r#"
name = "bench"

[identity]
key = "bench"

[sources.shop]
write_key = "bench"

[audiences.spenders]
when = "sum('Order Completed', properties.total) >= 500"

[audiences.cart_abandoners]
when = "count('Product Added', within => '60 min') > 0 and count('Order Completed', within => '60 min') = 0"

[audiences.keen]
when = "count('Product Viewed', within => '30 min') >= 3 and count('Order Completed', within => '3 hours') > 0"
"#;

/// The first event's time: 2026-01-01T00:00:00Z.
pub const START_MS: u64 = 1_767_225_600_000;

/// The stream.
pub struct Stream {
    state: u64,
    people: u64,
    count: u64,
}

impl Stream {
    /// The stream of a seed, over so many people.
    pub fn new(seed: u64, people: u64) -> Self {
        Stream { state: seed, people, count: 0 }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fraction(&mut self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Appends the next event to `line`, as Segment-shaped JSON.
    pub fn next_event(&mut self, line: &mut String) {
        let at_ms = START_MS + self.count * 20;
        let id = self.count;
        self.count += 1;
        let fraction = self.fraction();
        // Popularity: the logarithm of the rank is uniform.
        let person = (self.people as f64).powf(fraction) as u64 % self.people;
        let device = person * 2 + self.random() % 2;
        let kind = self.fraction();
        let product = self.random() % 1_000;
        let cents = self.random() % 9_000 + 1_000;
        let owner = if self.fraction() < 0.002 { self.random() % self.people } else { person };
        let time = timestamp(at_ms);
        let head = format!(r#""messageId":"m-{id}","timestamp":"{time}","anonymousId":"a-{device:08}""#);
        let context = r#""context":{"library":{"name":"analytics.js","version":"2.1.0"},"locale":"de-DE","page":{"path":"/shop","url":"https://shop.example/shop"}}"#;
        // A string takes any text.
        _ = match kind {
            k if k < 0.55 => {
                write!(line, r#"{{"type":"page",{head},"properties":{{"title":"Shop","path":"/p/{product}"}},{context}}}"#)
            }
            k if k < 0.80 => {
                write!(line, r#"{{"type":"track","event":"Product Viewed",{head},"properties":{{"product_id":"p-{product}","category":"c-{}"}},{context}}}"#, product % 20)
            }
            k if k < 0.88 => {
                write!(line, r#"{{"type":"track","event":"Product Added",{head},"properties":{{"product_id":"p-{product}","quantity":1}},{context}}}"#)
            }
            k if k < 0.92 => {
                write!(line, r#"{{"type":"track","event":"Order Completed",{head},"properties":{{"order_id":"o-{id}","total":{}.{:02},"currency":"EUR"}},{context}}}"#, cents / 100, cents % 100)
            }
            _ => {
                let email = if self.random().is_multiple_of(2) { format!(r#""email":"p{owner}@shop.example""#) } else { String::new() };
                write!(line, r#"{{"type":"identify",{head},"userId":"u-{owner:08}","traits":{{{email}}},{context}}}"#)
            }
        };
    }
}

/// RFC 3339 of a time in January 2026, which is enough for 130 million events.
fn timestamp(at_ms: u64) -> String {
    let ms = at_ms - START_MS;
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}
