//! People of a bounded number, each with four identifiers (`u-N`, `pN@shop.example`, `d-N`, `a-N`) and five attributes, and what
//! they do: 60 % page views, 20 % product views, 6 % carts, 4 % purchases, by any of them; and 10 % logins in turn that put a
//! person into the audience `probed` or take them out of it, so that each must change something at the destination.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::fmt::Write;
use std::path::Path;

use deltaic::project::Project;

/// The lengths of the windows, as the project file has them.
pub struct Windows {
    /// Of views.
    pub views: &'static str,
    /// Of carts, and of the purchases that they are compared with.
    pub carts: &'static str,
    /// Of purchases.
    pub orders: &'static str,
}

/// Those of the shop.
pub const SHOP: Windows = Windows { views: "30 min", carts: "60 min", orders: "3 hours" };

/// The shop's three audiences and `probed`, for a webhook at `url`; `more` are other parts of the project file.
pub fn project(folder: &Path, url: &str, windows: &Windows, more: &str) -> Project {
    let Windows { views, carts, orders } = windows;
    let text = format!(
        r#"
name = "bench"

[access]
read_token = "bench-read"
admin_token = "bench-admin"

[identity]
key = "bench"

[sources.shop]
write_key = "bench"

[audiences.spenders]
when = "sum('Order Completed', properties.total) >= 500"

[audiences.cart_abandoners]
when = "count('Product Added', within => '{carts}') > 0 and count('Order Completed', within => '{carts}') = 0"

[audiences.keen]
when = "count('Product Viewed', within => '{views}') >= 3 and count('Order Completed', within => '{orders}') > 0"

[audiences.probed]
when = "lamp = 'on'"

[destinations.receiver]
type = "webhook"
url = "{url}"
audiences = ["spenders", "cart_abandoners", "keen", "probed"]
identifiers = ["user_id"]
traits = []
batch_changes_max = 1000
{more}"#
    );
    crate::shop::load(folder, &text)
}

/// Where reading a profile finds the person.
pub fn profile_path(person: u64) -> String {
    format!("/v1/profiles/user_id:u-{person}")
}

/// The people.
pub struct Crowd {
    people: u64,
    state: u64,
    messages: u64,
    /// Whether each is in `probed`; those whose turn it is.
    probed: Vec<bool>,
    turn: usize,
}

/// The most people that are put in and taken out: enough that nobody's turn comes again within a second.
const PROBED_MAX: u64 = 50_000;

impl Crowd {
    /// So many people.
    pub fn new(people: u64) -> Self {
        Crowd { people, state: 1, messages: 0, probed: vec![false; people.min(PROBED_MAX) as usize], turn: 0 }
    }

    /// How many there are.
    pub fn people(&self) -> u64 {
        self.people
    }

    /// A number below `end`, by SplitMix64.
    pub fn random(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// A message id that was not there before.
    pub fn message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    /// The first event of a person, which has all of their identifiers and attributes.
    pub fn introduction(&mut self, person: u64) -> String {
        let id = self.message();
        format!(
            r#"{{"type":"identify","messageId":"m-{id}","userId":"u-{person}","anonymousId":"a-{person}","context":{{"device":{{"id":"d-{person}"}}}},"traits":{{"email":"p{person}@shop.example","firstName":"Ada","lastName":"Lovelace","city":"Berlin","plan":"gold"}}}}"#
        )
    }

    /// The body of a batch of these events.
    pub fn body(events: &[String]) -> String {
        format!(r#"{{"batch":[{}]}}"#, events.join(","))
    }

    /// Puts the next person into `probed`, or takes them out: the event, and who it is.
    pub fn probe(&mut self) -> (String, u64) {
        let person = self.turn;
        self.turn = (self.turn + 1) % self.probed.len();
        self.probed[person] = !self.probed[person];
        let (id, lamp) = (self.message(), if self.probed[person] { "on" } else { "off" });
        let event =
            format!(r#"{{"type":"identify","messageId":"m-{id}","userId":"u-{person}","traits":{{"lamp":"{lamp}"}}}}"#);
        (event, person as u64)
    }

    /// What anybody does.
    pub fn deed(&mut self) -> String {
        let person = self.random(self.people);
        self.deed_of(person)
    }

    /// What this person does.
    pub fn deed_of(&mut self, person: u64) -> String {
        let (id, kind) = (self.message(), self.random(90));
        let mut event = format!(r#"{{"messageId":"m-{id}","anonymousId":"a-{person}","#);
        // A string takes any text.
        _ = match kind {
            0..60 => write!(event, r#""type":"page","properties":{{"title":"Shop","path":"/p/{id}"}}}}"#),
            60..80 => write!(event, r#""type":"track","event":"Product Viewed","properties":{{"category":"c-1"}}}}"#),
            80..86 => write!(event, r#""type":"track","event":"Product Added","properties":{{"quantity":1}}}}"#),
            _ => write!(event, r#""type":"track","event":"Order Completed","properties":{{"total":12.5}}}}"#),
        };
        event
    }

    /// So many events, one in ten a probe; and who is probed by them.
    pub fn batch(&mut self, events: u64) -> (Vec<String>, Vec<u64>) {
        let (mut batch, mut probed) = (Vec::new(), Vec::new());
        for _ in 0..events {
            let number = self.messages;
            if number.is_multiple_of(10) {
                let (event, person) = self.probe();
                batch.push(event);
                probed.push(person);
            } else {
                batch.push(self.deed());
            }
        }
        (batch, probed)
    }
}
