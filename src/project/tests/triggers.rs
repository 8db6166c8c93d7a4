//! What is said of triggers that are not right.

use super::check;

#[test]
fn triggers_that_are_not_right() {
    check(
        "triggers_wrong",
        r#"
[sessions.visit]
gap = "30 min"
values = { carts = "count('Product Added')" }
[sequences]
fails = "sequence(at_least(3, step('Payment Failed')), over => '1 hour')"
[audiences.buyers]
when = "count('Order') > 0"
[destinations.mail]
type = "webhook"
url = "http://127.0.0.1:9"
[triggers.nearly]
on = "visit end"
destinations = ["mail"]
[triggers.other_end]
on = "fails ended"
destinations = ["mail"]
[triggers.misspelt]
on = "vist ended"
destinations = ["mail"]
[triggers.plain]
on = "Order"
when = "properties.total > 1 and event.total > 1 and session.carts > 1"
unless = "count('Order', where => properties.id = event.properties.id) > 1"
at_most = "twice a day"
destinations = ["mial", { to = "mail" }]
[triggers.of_session]
on = "visit ended"
where = "properties.total > 1"
when = "session.cart > 0 and event.properties.total > 1 and occurred_at = 3"
destinations = []
[triggers.a]
on = "b fired"
destinations = ["mail"]
[triggers.b]
on = "a fired"
destinations = ["mail"]
[triggers.timed]
on = { cron = "61 * * * *", zone = "Europe/Berln", audience = "buyrs" }
wait = "1 min"
destinations = [{ if = "true", to = "mail" }, { to = "mail" }, { to = "mail" }]
[traits]
ended = "count('visit ended')"
fired = "count('a fired')"
"#,
    );
}
