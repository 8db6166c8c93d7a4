//! The triggers that `--triggers` adds to the project of the load test, one of each kind: on an event, on one with a wait, on the end of a
//! session, on the completion of a sequence, on a firing.
//!
//! Who is in them: an order is told of anybody, since nothing but the order itself decides. What depends on the person is told of *regulars*
//! only ([`is_regular`](super::stream::is_regular)), whose events say `club`. With `at_most` on each of these three it does not matter how
//! long a record takes: what waits for one is refused, before it as after it.

/// A trigger of the load test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadTrigger {
    /// On an event, with `when`.
    Order,
    /// On an event, with `wait`, `unless` and `at_most`.
    Reminder,
    /// On the end of a session.
    Visit,
    /// On the completion of a sequence with `absent`.
    Left,
    /// On the firing of the first one.
    BigOrder,
}

/// Orders above so much are told.
pub const ORDER_CENTS: u32 = 5_000;

/// Those above so much are told once more.
pub const BIG_ORDER_CENTS: u32 = 7_500;

/// `wait` of the reminder.
pub const REMINDER_WAIT_MS: u64 = 1_000;

/// Who has ordered within this time before it is due is not reminded.
pub const REMINDER_UNLESS_MS: u64 = 2_000;

/// `gap` of the session.
pub const VISIT_GAP_MS: u64 = 2_000;

/// How long after the view somebody may add the product, and be in the sequence.
pub const LEFT_WITHIN_MS: u64 = 5_000;

/// How long `absent` waits for an order.
pub const LEFT_ABSENT_MS: u64 = 1_000;

impl LoadTrigger {
    /// All, in the order in which `--triggers` adds them.
    pub const ALL: [LoadTrigger; 5] =
        [LoadTrigger::Order, LoadTrigger::Reminder, LoadTrigger::Visit, LoadTrigger::Left, LoadTrigger::BigOrder];

    /// The name in the project.
    pub fn name(self) -> &'static str {
        ["order", "reminder", "visit_over", "left_behind", "big_order"][self as usize]
    }

    /// The trigger of that name.
    pub fn named(name: &str) -> Option<Self> {
        LoadTrigger::ALL.into_iter().find(|trigger| trigger.name() == name)
    }

    /// What it is on.
    pub fn on(self) -> &'static str {
        ["Order Completed", "Product Added", "visit ended", "left completed", "order fired"][self as usize]
    }

    /// Within which time a person has one message of it at most.
    pub fn at_most_ms(self) -> Option<u64> {
        [None, Some(5_000), Some(3_000), Some(2_000), None][self as usize]
    }

    /// What the project says of it.
    pub fn definition(self) -> &'static str {
        match self {
            LoadTrigger::Order => {
                r#"
[triggers.order]
on = "Order Completed"
when = "event.properties.total > 50"
destinations = ["load"]
identifiers = ["user_id", "email", "anonymous_id"]
payload = { order = "event.properties.order_id", total = "event.properties.total" }
"#
            }
            LoadTrigger::Reminder => {
                r#"
[triggers.reminder]
on = "Product Added"
where = "properties.club is not null"
wait = "1 s"
unless = "count('Order Completed', within => '2 s') > 0"
at_most = "1 per 5 s"
destinations = ["load"]
identifiers = ["user_id", "email", "anonymous_id"]
payload = { club = "event.properties.club", product = "event.properties.product_id", orders = "count('Order Completed')" }
"#
            }
            LoadTrigger::Visit => {
                r#"
[sessions.visit]
gap = "2 s"
values = { club = "count('Order Completed', where => properties.club is not null)", spent = "sum('Order Completed', properties.total)" }

[triggers.visit_over]
on = "visit ended"
when = "session.club > 0"
at_most = "1 per 3 s"
destinations = ["load"]
identifiers = ["user_id", "email", "anonymous_id"]
payload = { events = "session.events", orders = "session.club", spent = "session.spent", seconds = "session.duration" }
"#
            }
            LoadTrigger::Left => {
                r#"
[sequences]
left = "sequence(step('Product Viewed', where => properties.club is not null), step('Product Added', within => '5 s'), absent('Order Completed', within => '1 s'), over => '10 min')"

[triggers.left_behind]
on = "left completed"
at_most = "1 per 2 s"
destinations = ["load"]
identifiers = ["user_id", "email", "anonymous_id"]
payload = { views = "count('Product Viewed')" }
"#
            }
            LoadTrigger::BigOrder => {
                r#"
[triggers.big_order]
on = "order fired"
when = "event.properties.total > 75"
destinations = ["load"]
identifiers = ["user_id", "email", "anonymous_id"]
payload = { order = "event.properties.order", total = "event.properties.total" }
"#
            }
        }
    }
}
