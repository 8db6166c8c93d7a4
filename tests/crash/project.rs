//! The project that is run: with something of everything that recovery could get wrong.

/// The key of the source, and its name.
pub const WRITE_KEY: &str = "the-write-key";

/// See [`WRITE_KEY`].
pub const SOURCE: &str = "app";

/// Who may read.
pub const READ_TOKEN: &str = "the-read-token";

/// The project. Windows that end within a life, within some lives, and hardly ever; identities that merge and move; a
/// destination that people leave with their consent.
pub fn text(webhook: &str) -> String {
    format!(
        r#"
name = "crash"
[identity]
key = "0123456789abcdef"
exclusive = ["user_id"]
[sources.{SOURCE}]
write_key = "{WRITE_KEY}"
[access]
read_token = "{READ_TOKEN}"
[traits]
seen = "count('Seen')"
seen_1s = "count('Seen', within => '1 s')"
seen_30s = "count('Seen', within => '30 s')"
first_seen = "first('Seen', timestamp)"
last_seen = "last('Seen', timestamp)"
shelf = "last('Seen', properties.shelf)"
shelves_1h = "distinct('Seen', properties.shelf, within => '1 hour')"
spent = "sum('Bought', properties.total)"
spent_1h = "sum('Bought', properties.total, within => '1 hour')"
dearest = "max('Bought', properties.total, where => properties.shelf <> 'toys')"
home = "city"
[audiences.regulars]
when = "seen >= 10"
[audiences.hurried]
when = "seen_1s >= 2"
[audiences.keen]
when = "seen_30s >= 5 and spent_1h < 200"
[audiences.spenders]
when = "spent >= 100"
[audiences.reachable]
when = "has(email) and consent('news')"
[audiences.quiet]
when = "audience('regulars') and not audience('keen')"
[destinations.crm]
type = "webhook"
url = "{webhook}"
audiences = ["regulars", "hurried", "keen", "quiet", "spenders"]
identifiers = ["user_id", "email", "anonymous_id"]
traits = ["seen", "shelf", "city"]
timeout = "2 s"
backoff_min = "10 ms"
backoff_max = "50 ms"
[destinations.news]
type = "webhook"
url = "{webhook}"
audiences = ["reachable", "regulars"]
identifiers = ["email"]
traits = ["city"]
requires_consent = "news"
timeout = "2 s"
backoff_min = "10 ms"
backoff_max = "50 ms"
[storage]
checkpoint_events = 100
folder = "data"
"#
    )
}
