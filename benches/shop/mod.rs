//! A shop-shaped stream of events: 55 % page views, 25 % product views, 8 % carts, 4 % purchases, 8 % logins, of which
//! 0.2 % on somebody else's device; people by popularity; 20 ms of event time between events. A seed gives the same stream.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use deltaic::project::Project;

/// The project that the stream is for: three audiences with windows.
pub const PROJECT: &str = r#"
name = "bench"

[identity]
key = "bench"

[sources.shop]
write_key = "bench"

[access]
read_token = "bench-read"

[audiences.spenders]
when = "sum('Order Completed', properties.total) >= 500"

[audiences.cart_abandoners]
when = "count('Product Added', within => '60 min') > 0 and count('Order Completed', within => '60 min') = 0"

[audiences.keen]
when = "count('Product Viewed', within => '30 min') >= 3 and count('Order Completed', within => '3 hours') > 0"
"#;

/// The first event's time: 2026-01-01T00:00:00Z.
pub const START_MS: u64 = 1_767_225_600_000;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number in 0..1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of so many, by popularity: the logarithm of the rank is uniform.
    pub fn popular(&mut self, people: u64) -> u64 {
        (people as f64).powf(self.fraction()) as u64 % people
    }
}

/// The stream.
pub struct ShopStream {
    random: Random,
    people: u64,
    count: u64,
    /// Live events have no time of their own: they happen when they arrive.
    is_live: bool,
}

impl ShopStream {
    /// The stream of a seed, over so many people.
    pub fn new(seed: u64, people: u64) -> Self {
        ShopStream { random: Random::new(seed), people, count: 0, is_live: false }
    }

    /// The same stream, of events that happen when they arrive.
    pub fn live(seed: u64, people: u64) -> Self {
        ShopStream { is_live: true, ..ShopStream::new(seed, people) }
    }

    /// The next so many events, as the body of a batch call.
    pub fn batch(&mut self, events: u64) -> String {
        let mut body = String::from(r#"{"batch":["#);
        for place in 0..events {
            body.push_str(if place == 0 { "" } else { "," });
            self.next_event(&mut body);
        }
        body.push_str("]}");
        body
    }

    /// Appends the next event to `line`, as Segment-shaped JSON.
    pub fn next_event(&mut self, line: &mut String) {
        let at_ms = START_MS + self.count * 20;
        let id = self.count;
        self.count += 1;
        let person = self.random.popular(self.people);
        let device = person * 2 + self.random.next() % 2;
        let kind = self.random.fraction();
        let product = self.random.next() % 1_000;
        let cents = self.random.next() % 9_000 + 1_000;
        let owner = if self.random.fraction() < 0.002 { self.random.next() % self.people } else { person };
        let time = if self.is_live { String::new() } else { format!(r#""timestamp":"{}","#, timestamp(at_ms)) };
        let head = format!(r#""messageId":"m-{id}",{time}"anonymousId":"a-{device:08}""#);
        let context = r#""context":{"library":{"name":"analytics.js","version":"2.1.0"},"locale":"de-DE","page":{"path":"/shop","url":"https://shop.example/shop"}}"#;
        // A string takes any text.
        _ = match kind {
            k if k < 0.55 => {
                write!(
                    line,
                    r#"{{"type":"page",{head},"properties":{{"title":"Shop","path":"/p/{product}"}},{context}}}"#
                )
            }
            k if k < 0.80 => {
                write!(
                    line,
                    r#"{{"type":"track","event":"Product Viewed",{head},"properties":{{"product_id":"p-{product}","category":"c-{}"}},{context}}}"#,
                    product % 20
                )
            }
            k if k < 0.88 => {
                write!(
                    line,
                    r#"{{"type":"track","event":"Product Added",{head},"properties":{{"product_id":"p-{product}","quantity":1}},{context}}}"#
                )
            }
            k if k < 0.92 => {
                write!(
                    line,
                    r#"{{"type":"track","event":"Order Completed",{head},"properties":{{"order_id":"o-{id}","total":{}.{:02},"currency":"EUR"}},{context}}}"#,
                    cents / 100,
                    cents % 100
                )
            }
            _ => {
                let email = if self.random.next().is_multiple_of(2) {
                    format!(r#""email":"p{owner}@shop.example""#)
                } else {
                    String::new()
                };
                write!(line, r#"{{"type":"identify",{head},"userId":"u-{owner:08}","traits":{{{email}}},{context}}}"#)
            }
        };
    }
}

/// RFC 3339 of a time in January 2026, which is enough for 130 million events.
pub fn timestamp(at_ms: u64) -> String {
    let ms = at_ms - START_MS;
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (day, hour, minute, second) = (seconds / 86_400 + 1, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The project, in a folder.
pub fn project(folder: &Path) -> Project {
    load(folder, PROJECT)
}

/// A project with three audiences that need no window.
pub fn project_without_windows(folder: &Path) -> Project {
    let audiences = r#"
name = "bench"

[identity]
key = "bench"

[audiences.berliners]
when = "city = 'Berlin'"

[audiences.golden]
when = "plan = 'gold' and firstName is not null"

[audiences.reachable]
when = "has(email) and has(user_id)"
"#;
    load(folder, audiences)
}

/// The project with a webhook that gets all audiences.
pub fn project_with_webhook(folder: &Path, url: &str) -> Project {
    let destination = format!(
        r#"
[destinations.receiver]
type = "webhook"
url = "{url}"
audiences = ["spenders", "cart_abandoners", "keen"]
identifiers = ["user_id", "email", "anonymous_id"]
traits = []
batch_changes_max = 1000
"#
    );
    load(folder, &[PROJECT, &destination].concat())
}

/// A project of this text, in a folder.
pub fn load(folder: &Path, text: &str) -> Project {
    std::fs::write(folder.join("deltaic.toml"), text).expect("there is room for a project file");
    deltaic::project::load(folder, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")).project
}

/// `--name value` pairs of the command line; what cargo adds is passed over.
pub struct BenchArguments(Vec<String>);

impl BenchArguments {
    /// Those that this process was started with.
    pub fn of_command_line() -> Self {
        BenchArguments(std::env::args().skip(1).collect())
    }

    /// The number after `--name`.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.numbers(name, &[default])[0]
    }

    /// The numbers after `--name`, which commas are between. If it is there twice, the last one counts.
    pub fn numbers(&self, name: &str, default: &[u64]) -> Vec<u64> {
        let flag = format!("--{name}");
        let place = self.0.iter().rposition(|argument| *argument == flag);
        place.map_or(default.to_owned(), |place| {
            let value = self.0.get(place + 1).map_or("", String::as_str);
            let number = |text: &str| {
                text.replace('_', "").parse().unwrap_or_else(|_| panic!("{flag} wants a number, not {text:?}"))
            };
            value.split(',').map(number).collect()
        })
    }
}

/// The memory of this process.
pub struct Memory {
    resident_kb: u64,
}

impl Memory {
    /// The memory now.
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        Memory { resident_kb: resident.unwrap_or_default() }
    }

    /// No memory at all, to count from.
    pub fn none() -> Self {
        Memory { resident_kb: 0 }
    }

    /// How many bytes more than before are resident.
    pub fn bytes_since(&self, before: &Memory) -> u64 {
        self.resident_kb.saturating_sub(before.resident_kb) * 1024
    }

    /// How many bytes more than before are resident once the arrangements have finished the merges that were under way.
    pub fn at_rest_since(before: &Memory) -> u64 {
        let mut last = u64::MAX;
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = Memory::now().bytes_since(before);
            if now >= last {
                return last;
            }
            last = now;
        }
    }

    /// What [`Memory::bytes_since`] gives, to be read.
    pub fn since(&self, before: &Memory) -> String {
        format!("{} MB resident", self.bytes_since(before) / 1_000_000)
    }
}
