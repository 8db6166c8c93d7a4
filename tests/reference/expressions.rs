//! Expressions: the page has all functions, and what it says of its examples is what a running engine computes.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{page, tables_and_blocks};
use crate::program::{ServerProcess, project, run};

const PAGE: &str = "reference/expressions.md";

/// What is known of whom the examples are evaluated for.
const PROJECT: &str = r#"
name = "shop"
[identity]
key = "k"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[sessions.visit]
gap = "30 min"
[audiences.buyers]
when = "count('Order') > 0"
"#;

/// `EXPRESSION is VALUE` of a page, where an expression is in backquotes. The value of one that is missing is `None`.
fn examples(text: &str) -> Vec<(String, Option<Value>)> {
    let (rows, _) = tables_and_blocks(text);
    let of_cell = |cell: String| {
        let at = cell.rfind("` is ").filter(|at| cell[..*at].contains('`'))?;
        let expression = cell[..at].rsplit('`').next()?.to_owned();
        let value = cell[at + "` is ".len()..].to_owned();
        let value = match value.as_str() {
            "missing" => None,
            text if text.starts_with('\'') => Some(json!(text.trim_matches('\''))),
            other => Some(serde_json::from_str(other).unwrap_or_else(|error| panic!("{error}: {cell}"))),
        };
        Some((expression, value))
    };
    rows.into_iter().filter_map(|row| of_cell(row.cells.into_iter().next_back()?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_have_the_values_that_the_page_says() {
    let examples = examples(&page(PAGE));
    assert!(examples.len() >= 30, "{examples:?}");
    let mut toml = format!(
        "{PROJECT}[attributes]\ncity = \"string\"\nage = \"number\"\nvip = \"boolean\"\nplan = \"string\"\ntags = \"list\"\n[traits]\n"
    );
    for (index, (expression, _)) in examples.iter().enumerate() {
        writeln!(toml, "example_{index} = {}", toml::Value::String(expression.clone())).unwrap();
    }
    let folder = project(&toml);
    let server = ServerProcess::start(folder.path(), &[], &[]).await;
    let order = |at: &str, total: u32, sku: &str, products: Value| {
        let properties = json!({"total": total, "sku": sku, "products": products});
        json!({"type": "track", "event": "Order", "userId": "ann", "timestamp": at, "properties": properties})
    };
    let now = jiff::Timestamp::now();
    let ago = |hours: i64| (now - jiff::SignedDuration::from_hours(hours)).to_string();
    let token = server
        .take(&[
            json!({"type": "identify", "userId": "ann", "traits": {"city": "Rome", "age": 42, "vip": true, "tags": ["new", "sale"]},
                   "context": {"consent": {"categoryPreferences": {"marketing": true}}}}),
            // The later one comes first.
            order(&ago(1), 5, "b", json!([{"sku": "b", "price": 5, "quantity": 1}])),
            order(
                &ago(2),
                20,
                "a",
                json!([{"sku": "a", "price": 8, "quantity": 2}, {"sku": "c", "price": 4, "quantity": 1}]),
            ),
        ])
        .await;
    let traits = server.profile("user_id:ann", token).await["traits"].clone();
    for (index, (expression, expected)) in examples.iter().enumerate() {
        let found = traits.get(format!("example_{index}"));
        let is_equal = match (found, expected) {
            (Some(found), Some(expected)) => {
                found == expected || (found.as_f64().is_some() && found.as_f64() == expected.as_f64())
            }
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(is_equal, "{expression} is {found:?}, and the page says {expected:?}");
    }
    server.stop();
}

/// What `deltaic check` says of this trait.
fn told(expression: &str) -> String {
    let folder = project(&format!("{PROJECT}[traits]\nx = {}\n", toml::Value::String(expression.to_owned())));
    let ended = run(&["check", folder.path().to_str().unwrap()]);
    format!("{}{}", ended.stdout, ended.stderr)
}

#[test]
fn the_page_has_each_function_and_no_other() {
    let told = told("no_such_function_at_all('a')");
    let (_, listed) = told.split_once("there are ").unwrap_or_else(|| panic!("{told}"));
    let known: BTreeSet<String> = super::codes(listed).into_iter().collect();
    let (rows, _) = tables_and_blocks(&page(PAGE));
    let over_values = ["Choices and types", "Text", "Numbers", "Time", "Lists"];
    let is_function = |heading: &str| heading.starts_with("Functions over") || over_values.contains(&heading);
    let functions = rows.iter().filter(|row| is_function(&row.heading));
    // Arguments with a name and operators have rows, too.
    let names = functions.filter(|row| row.cells.len() >= 4).filter_map(|row| row.code(0)?.split(['(', ' ']).next());
    let on_page: BTreeSet<String> = names.filter(|name| *name != "x").map(str::to_owned).collect();
    assert_eq!(on_page, known);
}

#[test]
fn the_page_has_each_argument_and_each_name_of_an_event() {
    let (rows, _) = tables_and_blocks(&page(PAGE));
    let all_codes = |heading: &str| -> BTreeSet<String> {
        let rows = rows.iter().filter(|row| row.heading == heading);
        rows.filter_map(|row| Some(row.code(0)?.split(['.', '(']).next()?.to_owned())).collect()
    };
    let told_arguments = told("count('Order', no_such_argument => 1)");
    let (_, listed) = told_arguments.split_once("there are ").unwrap_or_else(|| panic!("{told_arguments}"));
    for argument in super::codes(listed) {
        assert!(all_codes("Functions over the events of a person").contains(&argument), "{argument}");
    }
    let told_names = told("last('Order', no_such_name_of_an_event)");
    let (_, listed) = told_names.split_once("an event has `properties.NAME`").unwrap_or_else(|| panic!("{told_names}"));
    let listed = format!("`properties.NAME`{}", listed.split("did you mean").next().unwrap());
    let known: BTreeSet<String> =
        super::codes(&listed).into_iter().map(|name| name.split('.').next().unwrap().to_owned()).collect();
    assert_eq!(all_codes("Names"), known);
}

#[test]
fn what_the_page_says_is_not_there_is_refused() {
    for (expression, is_possible) in [
        ("count('Order', where => now() > timestamp)", false),
        ("case when true then 1 else 2 end", true),
        ("city ilike 'r%'", true),
        ("city ~ '^R' and city::string <> 'x' and city !~* 'x'", true),
        ("substring(city from 2 for 3) = trim(city) and ceil(age) = floor(age)", true),
        ("date_trunc('day', '2026-01-01', 'Europe/Rome') is null", true),
        ("date_trunc('day', '2026-01-01' at time zone 'Europe/Rome') < '2026-01-02'", true),
        ("interval '2 hours' + last('Order', timestamp) > '2026-01-01'", true),
        ("last('Order', timestamp) - interval '30' day > '2026-01-01'", true),
        ("count(distinct city)", false),
        ("age == 1", false),
        ("age is not null && age > 1", false),
        ("city = null", false),
        ("\"Plan Type\" = 'pro' and not (age in (1, 2)) -- a comment", true),
        ("city not like 'R%' and age not between 1 and 2 and city not in ('a')", true),
        ("city = 'it''s'", true),
        ("'sale' = any(tags) and not 5 > any(list('Order', properties.total))", true),
        ("any(tags, any(tags, item = 'a'))", false),
        ("count('Order', each => properties.products, where => any(properties.tags, item = 'a')) > 1", false),
        ("any(tags, item > now())", false),
        ("tags[0] = 'a'", false),
        ("count('Order', where => properties.a.b[0].c[-2] = properties.\"d e\"[1]) > 0", true),
        // What binds more: `not` less than a comparison, `and` more than `or`.
        ("not age = 1", true),
    ] {
        assert_eq!(told(expression).contains("no errors"), is_possible, "{expression}: {}", told(expression));
    }
}
