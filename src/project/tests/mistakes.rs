//! What people write who come from SQL, Segment, dbt or a spreadsheet: a line each, with what is said to it.

use std::fmt::Write;

use super::{Colour, loaded};

/// Where what was meant is clear, it is accepted, or the hint can be copied.
const MISTAKES: &[&str] = &[
    // PostgreSQL, and other SQL.
    "count(*)",
    "count(distinct properties.sku)",
    "count('Order') filter (where properties.total > 5)",
    "sum(properties.total)",
    "sum('Order', 'total')",
    "sum('Order', total)",
    "avg('Order')",
    "count('Order', properties.total)",
    "select count('Order')",
    "count('Order') where properties.total > 5",
    "count('Order', where properties.total > 5)",
    "count('Order', where = properties.total > 5)",
    "count('Order', within = '30 days')",
    "count('Order', within => 30)",
    "count('Order', within => '30')",
    "count('Order', within => '1 month')",
    "count('Order', within => interval '30 days')",
    "count('Order', last => '30 days')",
    "count(Order)",
    "count(Order Completed)",
    "count(\"Order\")",
    "count('Order') == 3",
    "count('Order') > 3 && vip",
    "!vip",
    "vip || member",
    "city = \"Rome\"",
    "city = null",
    "city is 'Rome'",
    "city != 'Rome'",
    "city in ['Rome', 'Paris']",
    "city in 'Rome'",
    "city in (\"Rome\")",
    "city not null",
    "city isnull",
    "city like 'R*'",
    "city = 5 and city = 'Rome'",
    "age > '18'",
    "age between 18, 30",
    "18 < age < 30",
    "age::int > 5",
    "cast(age as integer) > 5",
    "cast(age as date) > '2026-01-01'",
    "convert(age, int)",
    "try_cast(city as number) > 5",
    "ifnull(city, 'x')",
    "nvl(city, 'x')",
    "isnull(city)",
    "concat(city, '!')",
    "city + '!'",
    "len(city) > 3",
    "left(city, 2)",
    "city ~ '('",
    "decode(city, 'Rome', 1, 2)",
    "datediff('day', seen, now()) > 5",
    "now() - seen > interval '5 days'",
    "seen > current_date",
    "seen > current_timestamp - interval '5 days'",
    "seen > today()",
    "seen > date '2026-01-01'",
    "seen > timestamp '2026-01-01 00:00:00'",
    "dateadd(day, 5, seen)",
    "seen - interval '1 month' > '2026-01-01'",
    "date_trunc(day, seen)",
    "date_trunc('days', seen)",
    "date_trunc('day', seen, 'CET/Berlin')",
    "extract('hour' from seen) > 5",
    "hour(seen) > 5",
    "seen at time zone 'Europe/Berlin' > '2026-01-01'",
    "row_number() over (partition by city)",
    "max(age) over ()",
    "exists (select 1)",
    "random() < 0.5",
    "hash_bucket(100)",
    "case city when 'Rome' then 1 else 'x' end",
    "case when city then 1 end",
    "coalesce(city, 0)",
    // Segment and its kind.
    "traits.city = 'Rome'",
    "properties.total > 5",
    "context.device.type = 'ios'",
    "event('Order')",
    "user_id = '42'",
    "userId is not null",
    "has('email') and has(emial)",
    "audience(buyers)",
    "audience('buyer')",
    "buyers",
    "consent(marketing)",
    "last('Order', properties.items[0].sku)",
    "last('Order', event)",
    "sum('Order', revenue)",
    // dbt and templates.
    "{{ ref('orders') }} > 5",
    "count('Order') > {{ var('n') }}",
    "count('Order') > ${N}",
    "orders.total > 5",
    // Spreadsheets.
    "=count('Order')",
    "IF(age > 18, 'a', 'b')",
    "COUNTIF('Order', properties.total > 5)",
    "AND(vip, age > 18)",
    "age > 1,000",
    "age > 1.000,50",
    "age <> \"\"",
    "age => 18",
    "age >< 18",
    "age > 18%",
    "TRUE",
    "ROUND(age; 2)",
    "'sale' in (properties.tags)",
    "count('Order', where => properties.tags = 'sale')",
    "count('Order', where => contains(properties.tags, 'sale'))",
    "count('Order', where => 'sale' = any(properties.tags))",
    "count('Order', where => properties.products.sku = 'a')",
    "sum('Order', properties.products.price)",
    "sum('Order', price * quantity, each => properties.products)",
    "sum('Order', products.price, each => properties.products)",
    "array_length(tags)",
    "tags[0]",
    "list('Order', properties.sku, 5)",
    "last_n('Order', 5, properties.sku)",
    // Of sequences.
    "sequence('A', 'B')",
    "sequence(step('A'), step('B'))",
    "sequence(step('A'), step('B'), within => '7 days')",
    "sequence(step('A'), step('B'), over => '7 days', where => properties.x > 1)",
    "sequence(step('A'), over => '7 days')",
    "sequence(over => '7 days')",
    "sequence(absent('A', within => '1 day'), over => '7 days')",
    "sequence(absent('A', within => '1 day'), step('B'), over => '7 days')",
    "sequence(step('A', within => '1 hour'), step('B'), over => '7 days')",
    "sequence(step('A'), step('B', within => '9 days'), over => '7 days')",
    "sequence(step('A'), absent('B'), over => '7 days')",
    "sequence(step('A'), absent('B', within => '7 days'), over => '7 days')",
    "sequence(step('A'), not step('B'), over => '7 days')",
    "sequence(step('A', 'B'), step('C'), over => '7 days')",
    "sequence(step('A', properties.x > 1), step('C'), over => '7 days')",
    "sequence(step('A', where => city = 'Rome'), step('C'), over => '7 days')",
    "sequence(step('A', where => now() > timestamp), step('C'), over => '7 days')",
    "sequence(step('A'), step('B'), over => '7 days', same => product_id)",
    "sequence(step('A'), step('B'), over => '7 days', same => 'product_id')",
    "sequence(at_least(3, 'A'), over => '7 days')",
    "sequence(at_least(0, step('A')), over => '7 days')",
    "sequence(at_least(step('A'), 3), over => '7 days')",
    "sequence(step('A'), step('B'), over => '7 days') > 1",
    "count(sequence(step('A'), step('B'), over => '7 days'))",
    "count_of('bought') > 1",
    "count_of(bought) > 1",
    "last_of(count('A'))",
    "dropped_at(sequence(step('A'), step('B'), over => '7 days'), 1)",
    "dropped_at(sequence(step('A'), step('B', within => '7 days'), over => '7 days'), 1)",
    "dropped_at(sequence(step('A'), step('B', within => '1 day'), over => '7 days'), 2)",
    "dropped_at(sequence(step('A'), absent('B', within => '1 day'), over => '7 days'), 1)",
    "step('A')",
    "absent('A', within => '1 day')",
    "funnel('A', 'B')",
    "followed_by('A', 'B')",
    // Of sessions; there is one that is called `visit`.
    "session.visit.cart",
    "session.visit",
    "session.visits.carts",
    "session.carts",
    "session.visit.carts = 'one'",
    "in_session(visit)",
    "in_session('visits')",
    "in_session()",
    "count('A', where => session.visit.carts > 1)",
    "count('A', where => in_session('visit'))",
    "session_count('visit')",
];

#[test]
fn mistakes_are_understood() {
    let mut told = String::new();
    for mistake in MISTAKES {
        let literal = toml::Value::String((*mistake).to_owned());
        let source = format!(
            "identity.key = 'k'\n[attributes]\ncity = 'string'\nage = 'number'\nvip = 'boolean'\nmember = 'boolean'\nseen = 'time'\n\
             [sessions.visit]\ngap = '30 min'\nvalues = {{ carts = \"count('A')\" }}\n\
             [audiences.buyers]\nwhen = \"count('Order') > 0\"\n[traits]\nx = {literal}\n"
        );
        writeln!(told, "{mistake}").unwrap();
        match loaded(&source) {
            Ok(loaded) if loaded.warnings.is_empty() => writeln!(told, "  accepted").unwrap(),
            Ok(loaded) => {
                let shown = loaded.warnings.render(Colour::Plain);
                let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
                let help = flat.split_once("help: ").map(|(_, help)| help).unwrap_or_default();
                writeln!(told, "  accepted, with a warning\n  → {help}").unwrap();
            }
            Err(problems) => {
                let flat = problems.split_whitespace().collect::<Vec<_>>().join(" ");
                let said = flat.split('×').nth(1).unwrap_or_default().trim();
                let (message, rest) = said.split_once('╭').unwrap_or((said, ""));
                writeln!(told, "  {}", message.trim()).unwrap();
                match rest.split_once("help: ") {
                    Some((_, help)) => writeln!(told, "  → {}", help.trim()).unwrap(),
                    None => writeln!(told, "  (no hint)").unwrap(),
                }
            }
        }
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("mistakes", told);
    });
}
