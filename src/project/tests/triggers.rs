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
on = "buyers exited"
destinations = ["mail"]
[triggers.timed]
on = { cron = "61 * * * *", zone = "Europe/Berln", audience = "buyrs" }
wait = "1 min"
destinations = [{ if = "true", to = "mail" }, { to = "mail" }, { to = "mail" }]
[traits]
ended = "max('visit ended', properties.cart)"
text = "sum('visit ended', properties.start)"
each = "count('visit ended', each => properties.products)"
completed = "count('fails completed')"
fired = "count('a fired')"
[sessions.of_sessions]
gap = "1 h"
events = ["visit ended"]
values = { ended = "count('visit ended')" }
"#,
    );
}

#[test]
fn triggers_that_set_each_other_off() {
    check(
        "triggers_circle",
        r#"
[destinations.mail]
type = "webhook"
url = "http://127.0.0.1:9"
[triggers.a]
on = "b fired"
destinations = ["mail"]
[triggers.b]
on = "a fired"
destinations = ["mail"]
[triggers.behind]
on = "a fired"
destinations = ["mail"]
"#,
    );
}

#[test]
fn audiences_that_hang_on_their_own_events() {
    check(
        "derived_circle",
        r#"
[sessions.visit]
gap = "30 min"
values = { left = "count('regulars left')" }
[sequences]
came_back = "sequence(step('Order'), step('visit ended', where => properties.left > 0), over => '7 days')"
[traits]
returns = "count_of(came_back)"
[audiences.buyers]
when = "count('Order') > 0"
[audiences.regulars]
when = "returns > 0 and count('reminder fired') = 0"
[destinations.mail]
type = "webhook"
url = "http://127.0.0.1:9"
[triggers.reminder]
on = "buyers entered"
destinations = ["mail"]
"#,
    );
}

#[test]
fn derived_events_in_all_places() {
    check(
        "derived_events",
        r#"
[sessions.visit]
gap = "30 min"
values = { carts = "count('Product Added')", landing = "first('page', properties.url)", golds = "count('gold entered')" }
[sequences]
abandoned = "sequence(step('visit ended', where => properties.carts > 0), absent('Order Completed', within => '1 day'), over => '7 days')"
[traits]
visits = "count('visit ended', within => '30 days')"
longest = "max('visit ended', properties.duration)"
landings = "list('visit ended', properties.landing)"
mixed = "count(('visit ended', 'page'), where => properties.carts is null)"
[audiences.gold]
when = "count('Order Completed') > 3"
[audiences.old_gold]
when = "count('gold left') > 0 or abandoned"
[destinations.mail]
type = "webhook"
url = "http://127.0.0.1:9"
events = ["visit ended", "gold entered"]
where = "properties.carts > 1"
[triggers.welcome]
on = "gold entered"
destinations = ["mail"]
"#,
    );
}
