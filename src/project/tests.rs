//! Project files against what becomes of them: definitions, or the text of the problems.
//!
//! Long because it is a table: what is covered can be seen in one place.
//!
//! A snapshot has the file, a line `----`, and what became of it. `INSTA_UPDATE=always cargo test` writes them anew.

use std::fmt::{Debug, Write};
use std::path::Path;
use std::time::Duration;

use dataflows::definitions::{Definitions, EvaluationStep, Reach, TraitId};
use dataflows::expression::Expression;
use dataflows::model::{IdentifierKey, Number, Value, ValueType};
use proptest::prelude::*;

mod described;
mod hints;
mod mistakes;
mod triggers;

use super::{
    Colour, ContextTraits, Destination, Detail, Durability, HistorySettings, Loaded, Secret, Storage,
    check as check_folder, load, load_text,
};
use crate::connectors::Connectors;
use crate::egress::destinations::WebhookSettings;
use crate::limits::MemoryLimit;

fn environment(name: &str) -> Option<String> {
    match name {
        "WRITE_KEY" => Some("hunter2-hunter2".into()),
        "EMPTY" => Some(String::new()),
        "CITY" => Some("Berlin".into()),
        "EVIL" => Some("\"\nname = \"evil".into()),
        _ => None,
    }
}

fn loaded(source: &str) -> Result<Loaded, String> {
    load_text(source, "deltaic.toml", Path::new("/projects/shop"), &environment, &Connectors::default())
        .map_err(|problems| problems.render(Colour::Plain))
}

#[track_caller]
fn definitions(source: &str) -> Definitions {
    match loaded(source) {
        Ok(loaded) => (*loaded.project.definitions).clone(),
        Err(problems) => panic!("{source}\n{problems}"),
    }
}

/// Everything that differs from the default, one line each.
fn shown(definitions: &Definitions) -> String {
    fn lines<T: Debug>(text: &mut String, title: &str, all: &[T]) {
        for (index, one) in all.iter().enumerate() {
            writeln!(text, "{title} {index}: {one:?}").expect("a string takes everything");
        }
    }
    let mut text = String::new();
    if definitions.identity != Definitions::default().identity {
        lines(&mut text, "identity", &[&definitions.identity]);
    }
    lines(&mut text, "field", &definitions.fields);
    lines(&mut text, "measure", &definitions.measures);
    lines(&mut text, "trait", &definitions.traits);
    lines(&mut text, "audience", &definitions.audiences);
    lines(&mut text, "order", &[&definitions.order]);
    lines(&mut text, "destination", &definitions.destinations);
    lines(&mut text, "forward", &definitions.forwards);
    text
}

#[test]
fn storage_is_in_memory_unless_there_is_a_section() {
    assert_eq!(loaded("").unwrap().project.storage, None);
    let storage = Storage::in_folder("/projects/shop/data".into());
    assert_eq!(loaded("[storage]").unwrap().project.storage, Some(storage));
    let problems = loaded("[storage]\ndurability = \"always\"").unwrap_err();
    assert!(problems.contains("expected \"sync\" or \"os\""), "{problems}");
}

/// Compares with the snapshot of this name.
#[track_caller]
fn check(name: &str, source: &str) {
    let result = match loaded(source) {
        Ok(loaded) => shown(&loaded.project.definitions),
        Err(problems) => problems,
    };
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, format!("{source}\n----\n{result}"));
    });
}

/// Checks one expression of a trait.
#[track_caller]
fn expression(name: &str, expressions: &[&str]) {
    let mut source = String::from("[traits]\n");
    for (index, expression) in expressions.iter().enumerate() {
        writeln!(source, "t{index} = \"{expression}\"").expect("a string takes everything");
    }
    check(name, &source);
}

#[test]
fn the_example_of_the_design() {
    check(
        "design",
        r#"name = "shop"
[traits]
lifetime_value = "sum('Order Completed', properties.total)"
orders_30d     = "count('Order Completed', within => '30 days')"
[audiences.cart_abandoners]
when = "count('Product Added', within => '1 hour') > 0 and count('Order Completed', within => '1 hour') = 0"
[audiences.vip_in_berlin]
when = "lifetime_value >= 500 and city = 'Berlin' and consent('marketing')"
[destinations.crm]
type = "webhook"
url = "https://example.com/hooks"
audiences = ["vip_in_berlin"]
identifiers = ["email"]
traits = ["lifetime_value", "city"]
requires_consent = "marketing"
"#,
    );
}

#[test]
fn events_that_destinations_are_sent() {
    check(
        "forwards",
        r#"[traits]
orders_30d = "count('Order Completed', within => '30 days')"
[audiences.buyers]
when = "orders_30d > 0"
[destinations.crm]
type = "webhook"
url = "https://example.com/hooks"
events = ["Order Completed", "identify", "track:Order Completed", "track:identify"]
where = "properties.total > 100 and properties.placed > '2026-01-31'"
enrich = { identifiers = ["email"], traits = ["orders_30d", "city"], consent = ["marketing"] }
requires_consent = "marketing"
[destinations.both]
type = "file"
path = "out.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
events = ["Order Completed"]
"#,
    );
}

#[test]
fn places_of_identifiers() {
    let from = |from: &str| {
        let sources = "[sources.app]\nwrite_key = 'a'\n[sources.web]\nwrite_key = 'b'\ncontext_traits = 'full'\n";
        loaded(&format!("{sources}[identity]\norder = ['user_id', 'crm']\nexclusive = ['user_id']\n{from}"))
    };
    let shown = |text: &str| -> Vec<String> {
        from(text).expect("it is right").project.origins.iter().map(ToString::to_string).collect()
    };
    assert!(shown("").is_empty());
    let short = ["properties.email is email", "traits.ids.crm is crm"];
    assert_eq!(shown("from = ['properties.email', 'traits.ids.crm']"), short);
    let entries = "[[identity.from]]\nfield = 'context.a.b'\ntype = 'phone'\nlink = 'weak'\n\
                   sources = ['web', 'app', 'web']\n\
                   [[identity.from]]\nfield = 'context.a.b'\nlink = 'off'\ntype = 'crm'\n\
                   events = ['page', 'track:page', 'A', 'track:A']";
    let long = [
        r#"context.a.b is phone, weakly from ["app", "web"]"#,
        r#"context.a.b is none in ["page", "track:page", "A"]"#,
    ];
    assert_eq!(shown(entries), long);
    let sources = from("").expect("it is right").project.sources;
    assert_eq!(sources.iter().filter(|one| one.context_traits == ContextTraits::Full).count(), 1);
    for (wrong, expected) in [
        ("from = 5", "expected a list, found an integer"),
        ("from = [5]", "expected a section [[identity.from]], found an integer"),
        ("from = ['email']", "`email` is no field of events"),
        ("from = ['properties']", "`properties` is no field of events"),
        ("from = ['properties..email']", "`properties..email` is no field of events"),
        ("from = ['properties.a.b.c.d.e.f.g.h.email']", "is no field of events"),
        ("from = ['properties.mail']", "unknown identifier type `mail`"),
        ("from = ['properties.email', 'properties.email']", "`from` says twice what a field is"),
        ("from = [{ type = 'email' }]", "[[identity.from]] has no `field`"),
        ("from = [{ field = 'traits.x', type = 'emial' }]", "did you mean `email`?"),
        ("from = [{ field = 'traits.email', link = 'none' }]", "expected \"strong\", \"weak\" or \"off\""),
        ("from = [{ field = 'traits.email', sources = ['wbe'] }]", "did you mean `web`?"),
        ("from = [{ field = 'traits.email', events = [' '] }]", "expected the name of an event"),
        ("from = [{ field = 'traits.email', event = 'A' }]", "did you mean `events`?"),
    ] {
        let problems = from(wrong).expect_err(wrong);
        assert!(problems.contains(expected), "{wrong}\n{problems}");
    }
    let many = format!("from = [{}]", "'traits.email',".repeat(201));
    assert!(from(&many).expect_err("too many").contains("`from` has 201 entries"));
    let worth = loaded("[sources.a]\nwrite_key = 'a'\ncontext_traits = 'strong'").expect_err("no such word");
    assert!(worth.contains("expected \"weak\" or \"full\""), "{worth}");
}

#[test]
fn purposes_of_consent() {
    let project = |head: &str| {
        let text = "[audiences.a]\nwhen = \"consent('Ads') and consent('ADS') and consent('news')\"\n\
                    [destinations.d]\ntype = 'file'\npath = 'x'\naudiences = ['a']\nidentifiers = ['email']\n\
                    requires_consent = 'News'\nevents = ['A']\nenrich = { consent = ['NEWS', 'geo'] }";
        loaded(&format!("{head}\n{text}"))
    };
    let right = project("").expect("it is right").project;
    assert_eq!(right.purposes, ["Ads", "geo", "news"]);
    assert_eq!(right.definitions.destinations[0].requires_consent.as_deref(), Some("news"));
    assert_eq!(right.definitions.forwards[0].consent, ["news", "geo"]);
    let declared = project("consent.purposes = ['ads', 'GEO', 'News', 'more']").expect("it is right").project;
    assert_eq!(declared.purposes, ["GEO", "News", "ads", "more"]);
    assert_eq!(declared.definitions.forwards[0].consent, ["News", "GEO"]);
    let signature = declared.definitions.audiences[0].signature(&declared.definitions);
    assert_eq!(signature, r#"(and consent "ads" consent "ads" consent "News")"#);
    let problems = project("consent.purposes = ['ads', 'gee', 'ADS']").expect_err("two are not there");
    for expected in ["unknown purpose `news`", "unknown purpose `geo`", "the purpose `ADS` is listed twice"] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
    let many: String = (0..101).map(|n| format!("'p{n}',")).collect();
    let many = loaded(&format!("[consent]\npurposes = [{many}]")).expect_err("too many");
    assert!(many.contains("more than 100 purposes"), "{many}");
}

#[test]
fn what_is_wrong_about_events() {
    check(
        "forwards_wrong",
        r#"[destinations.a]
type = "file"
path = "a"
events = []
where = "properties.total > 'x' + 1"
enrich = { identifiers = ["emial"], traits = ["city", "city"], consent = "ads", trait = ["x"] }
[destinations.b]
type = "file"
path = "b"
events = ["A", "A", " "]
where = "properties.n"
identifiers = ["email"]
traits = ["city"]
[destinations.c]
type = "file"
path = "c"
audiences = []
identifiers = ["email"]
where = "true"
enrich = { traits = ["city"] }
[destinations.d]
type = "file"
path = "d"
events = ["A"]
where = "properties.n > 1 and properties.n = 'x' and orders > 1 and count('A') > 1"
[destinations.e]
type = "file"
path = "e"
events = ["A"]
where = "properties.total >"
enrich = ["email"]
[destinations.f]
type = "file"
path = "f"
[limits]
forward_events_max = 0
"#,
    );
}

/// Within `any`, `item` is the element, and a trait of that name is written in quotes; it is evaluated before.
#[test]
fn a_trait_may_be_called_item() {
    let source =
        "identity.key = 'k'\n[traits]\na = \"any(tags, item = 'x' and \\\"item\\\" > 1)\"\nitem = \"count('O')\"\n";
    let Ok(loaded) = loaded(source) else { panic!("it is right") };
    let definitions = &loaded.project.definitions;
    let order = [1, 0].map(|id| EvaluationStep::Trait(TraitId::new(id)));
    assert_eq!(definitions.order, order);
    let cycle = "identity.key = 'k'\n[traits]\nitem = \"any(tags, item = 'x')\"\n";
    assert!(self::loaded(cycle).is_ok(), "it does not refer to itself");
}

#[test]
fn every_aggregate() {
    expression(
        "aggregates",
        &[
            "count('A', where => properties.plan = 'pro' or traits.age > 18)",
            "sum('A', properties.price * properties.quantity)",
            "avg('A', properties.price * properties.quantity)",
            "min('A', properties.at.noon)",
            "max('A', context.ip)",
            "first('A', timestamp)",
            "last('A', name, within => '1 hour')",
            "count('page', where => name = 'Home' and category like 'Doc%' and type <> 'screen')",
            "last('group', groupId)",
            "count('track:page') + count('track:A') + count('track:track:x')",
            "distinct('A', properties.sku) / 2",
            "count(('B', 'A', 'page', 'B'), within => '1 hour') + sum(array['A', 'B'], properties.total)",
            "count(*) > 0 and last(*, name) = 'x' and count(*, where => type = 'screen') = 2",
            "count(('A')) = count('A')",
            "count('A', from => '14 days', to => '7 days') > count('A', within => '7 days')",
            "max('A', timestamp, to => '1 hour')",
            "count('A', during => 'this week') > count('A', during => 'yesterday', zone => 'europe/berlin')",
            "top('A', properties.plan) = 'pro' and top('A', properties.sku, n => 3) is null",
            "counts('A', properties.plan)['pro'] > 2 and counts('A', properties.price)[-1] = 0",
            "counts('A', timestamp)['2024-01-01'] = 1 and counts('A', properties.flag, where => properties.flag)[true] = 1",
            "median('A', properties.price) < percentile('A', properties.price, 0.95) + stddev('A', properties.price)",
            "sum('A', item.price * item.quantity, each => properties.products, where => item.flag and properties.flag) > 1",
            "length(list('A', item, each => context.tags, limit => 3)) > length(last_n('A', properties.sku, 2))",
            "count('A', where => any(properties.tags, item = 'x') and length(properties.sku) > properties.list[-1].n) > 1",
            "count('A', where => any(properties.list, item.n > 1 and item.n is null and item is not null)) > 1",
            "any(tags, item = 'x' or item > 7 and item in ('a')) and 'y' = any(list('A', timestamp)) and any (tags, item = 3) or any(tags, item in (1, 2))",
        ],
    );
}

#[test]
fn every_operator() {
    expression(
        "operators",
        &[
            "a = 1 and not (b <> 'x' or c) or d",
            "e between -1 and 5 and e2 not between 1 and 2",
            "f in ('b', 'a', 'b') and g not in (3, -1) and h in (true)",
            "i like 'a%' and j not like '%b'",
            "k is null or l is not null",
            "-(m + 1 - 2 * 3 / 4 % 5)",
            "address.city = 'x' and \\\"odd name\\\" < 5",
            "audience_size > 1.5e3 and consent('marketing') and has(email) and has('phone')",
        ],
    );
}

#[test]
fn a_quoted_literal_is_a_time_where_it_meets_a_time() {
    check(
        "times",
        r#"[attributes]
born = "time"
[traits]
seen = "last('A', timestamp)"
seen_field = "last('A', properties.when)"
[audiences.recent]
when = "seen > '2024-01-01' and born < '2000-02-29T08:00:00+02:00' and seen_field = seen and seen_field <> '2024-01-01'"
"#,
    );
}

#[test]
fn definitions_stand_in_the_order_of_their_references() {
    check(
        "order",
        r#"[traits]
a = "b + c"
b = "c"
c = "1"
[audiences.x]
when = "audience('y') and a > 1"
[audiences.y]
when = "b = 1"
"#,
    );
}

/// However an aggregate is spelt, it is one measure.
#[test]
fn spelling_does_not_matter() {
    let of = |condition: &str| {
        definitions(&format!("[traits]\nx = '''count('A')'''\n[audiences.a]\nwhen = '''{condition}'''"))
    };
    let same = [
        "count('A', within => '1 hour', where => properties.x > 5 and properties.y) > 0",
        "COUNT ( 'A' , where => ( ( properties.x > 5 ) AND properties.y ) , WITHIN => '60 minutes' )>0",
        "count('A',\n  -- a comment\n where => properties.\"x\">5.0 and properties.y, within=>'3600s') > 0",
    ];
    for other in &same[1..] {
        assert_eq!(of(same[0]), of(other), "{other}");
    }
    let shared = of(
        "sum('A', properties.x) > 1 and avg('A', properties.x) > 2 and count('A') = 1 and sum('B', properties.x) > 1",
    );
    assert_eq!(shared.measures.len(), 3);
    assert_eq!(of("x between 1 and 5 and (x > 1 and x < 2)"), of("x >= 1 and x <= 5 and x > 1 and x < 2"));
}

/// The fields of a definition have the types that it needs, whatever else the project has.
#[test]
fn a_definition_does_not_change_what_another_one_reads() {
    const AUDIENCE: &str = "[audiences.a]\nwhen = \"distinct('Product Viewed', properties.id) > 1 \
                            and last('Product Viewed', properties.id) = 'x'\"";
    let signature = |source: &str| {
        let definitions = definitions(source);
        definitions.audiences[0].signature(&definitions)
    };
    let alone = signature(AUDIENCE);
    for other in [
        "count('Promo Clicked', where => properties.id = 'spring') > 0",
        "sum('Promo Clicked', properties.id) > 0",
        "sum('Product Viewed', properties.id) > 0",
        "count('Product Viewed', where => properties.id is not null) > 0",
    ] {
        let both = format!("{AUDIENCE}\n[audiences.b]\nwhen = \"{other}\"");
        assert_eq!(signature(&both), alone, "{other}");
    }
    let condition =
        "[audiences.a]\nwhen = \"distinct('E', properties.id, where => properties.id = 'x' or name = 'E') > 1\"";
    assert!(signature(condition).contains(r#"distinct properties."id" "#), "values of every type are counted");
    let missing = "[audiences.a]\nwhen = \"count('E', where => properties.id = 'x' or properties.id is null) > 1\"";
    assert!(signature(missing).contains(r#"(missing properties."id")"#), "whatever the type, it is there");
}

#[test]
fn literals_are_the_numbers_that_are_written() {
    let of = |number: &str| definitions(&format!("[traits]\na = \"{number}\"")).traits[0].expression.clone();
    for number in ["9007199254740993", "-9007199254740993", "18446744073709551615", "-9223372036854775808"] {
        let expected = Number::read(number).map(Value::Number);
        assert_eq!(of(number), Expression::Literal(expected), "{number}");
    }
    assert_ne!(of("9007199254740993"), of("9007199254740992"));
}

#[test]
fn objects_are_merged_where_it_is_said() {
    let project = |source: &str| loaded(source).expect("it is right").project;
    let merged = project("[attributes.address]\nmerge = \"deep\"\n[audiences.a]\nwhen = \"city = 'x'\"");
    assert_eq!(merged.merged_attributes, ["address"]);
    let declared = project("[attributes]\naddress = { merge = \"deep\", zip = \"string\", geo.merge = \"deep\" }");
    assert_eq!(declared.merged_attributes, ["address", "address.geo"]);
    assert_eq!(declared.attribute_types, [("address.zip".into(), ValueType::Text)].into());
    let plain = project("[attributes]\nmerge = \"string\"\na.merge = \"number\"");
    assert_eq!((plain.merged_attributes.len(), plain.attribute_types.len()), (0, 2));
}

#[test]
fn columns_have_types() {
    let types = |columns: &str| {
        let rest = "event = \"E\"\ntimestamp = { column = \"at\" }\nidentifiers = { user_id = \"who\" }";
        let csv = loaded(&format!("[replay.csv]\n{rest}\n{columns}")).map(|loaded| loaded.project.replay.csv.unwrap());
        csv.map(|csv| (csv.columns, csv.types))
    };
    let zip = || [("zip".to_owned(), ValueType::Text)].into();
    assert_eq!(types("columns.zip = \"string\""), Ok((Vec::new(), zip())));
    let names = ["at", "who", "zip"].map(str::to_owned).to_vec();
    assert_eq!(types("columns = [\"at\", \"who\", { zip = \"string\" }]"), Ok((names, zip())));
    assert!(types("columns.zip = \"text\"").is_err_and(|problems| problems.contains("unknown type `text`")));
    assert!(types("columns = 5").is_err_and(|problems| problems.contains("expected a list of strings")));
}

#[test]
fn types_of_attributes_are_declared_or_follow_from_use() {
    let project =
        loaded("[audiences.a]\nwhen = \"city = 'x' and age > 5 and vip and other is null\"").expect("it is right");
    let types: Vec<_> = project.project.attribute_types.into_iter().collect();
    let expected = [("age", ValueType::Number), ("city", ValueType::Text), ("vip", ValueType::Bool)];
    assert_eq!(types, expected.map(|(name, kind)| (name.into(), kind)));
}

#[test]
fn what_sql_has_and_we_have_not() {
    expression(
        "unsupported",
        &[
            "(select 1)",
            "cast(a as int) > 5",
            "a::int > 5",
            "a > 1 || b",
            "a == b",
            "interval '3 days'",
            "user > 5",
            "a[1]",
            "a = E'x'",
            "exists (select 1)",
            "a in (select 1)",
            "count(distinct a)",
            "count('A') filter (where a)",
            "count('A') over ()",
            "count(a.*)",
            "$1 = a",
            "c like d",
            "(a, b) = (1, 2)",
            "date '2024-01-01' > a",
            "trim(both 'x' from a)",
            "position('x' in a)",
            "a similar to 'x'",
            "a at time zone 'UTC'",
        ],
    );
}

#[test]
fn syntax_errors() {
    expression(
        "syntax",
        &[
            "a > ",
            "a > (5",
            "a > 5 5",
            "'a",
            "a b",
            "",
            "1 +",
            "a and",
            ")",
            "a > 1e999",
            "a in ()",
            "not",
            "é > 'ü' 5",
            "a ! b",
        ],
    );
}

#[test]
fn misspelt_names() {
    check(
        "names",
        r#"[traits]
lifetime_value = "sum('Order', properties.total)"
a = "lifetme_value"
b = "cuont('A')"
c = "count('A', witin => '3 days')"
d = "count('A', within => '3 dayz')"
e = "count('A', within => '3 months')"
f = "count('A', where => propertis.x > 5)"
g = "count('A', where => x > 5)"
h = "has(emial)"
i = "audience('vpi')"
j = "vip"
k = "vpi"
l = "properties.x"
m = "traits.city = 'x'"
n = "timestamp"
o = "count('A', where => count('B') > 1)"
p = "count('A', where => properties)"
q = "consent(marketing)"
[audiences.vip]
when = "lifetime_value > 5"
"#,
    );
}

#[test]
fn declared_attributes_are_all_there_are() {
    check(
        "closed",
        r#"[attributes]
city = "string"
address.zip = "string"
age = "nubmer"
vip = "string"
[traits]
a = "ctiy"
b = "unheard"
c = "address.zip = 5"
vip = "1"
"#,
    );
}

#[test]
fn calls_with_wrong_arguments() {
    expression(
        "calls",
        &[
            "count()",
            "count(\\\"Order Completed\\\")",
            "count(Order)",
            "count('A', properties.x)",
            "count('A', '3 days')",
            "count('A', within = '3 days')",
            "count('A', within => 3)",
            "count('A', within => '3 days', within => '4 days')",
            "count('A', within => '0 days')",
            "count('A', within => '9999999 weeks')",
            "count('A', within => 'soon')",
            "count('A', within => '5')",
            "sum('A')",
            "sum('A', properties.x, properties.y)",
            "audience('a', 'b')",
            "consent()",
            "has(5)",
            "count('A', within := '3 days')",
            "count('A', within => '3 days', to => '1 day')",
            "count('A', from => '3 days', within => '1 day')",
            "count('A', from => '3 days')",
            "count('A', from => '3 days', to => '72 hours')",
            "count('A', from => '3 days', to => 1)",
            "count('A', to = '3 days')",
            "count(array[])",
            "count('A', during => 'this wek')",
            "count('A', during => 'tomorrow')",
            "count('A', during => 'today', within => '1 day')",
            "count('A', zone => 'UTC')",
            "count('A', during => 'today', zone => 'Europe/Berlinn')",
            "count('A', during => 'today', zone => 'Tokyo')",
            "count('A', during => 'today', zone => 'x')",
            "top('A')",
            "top('A', properties.x, n => 0)",
            "top('A', properties.x, n => 1.5)",
            "last('A', properties.x, n => 2)",
            "counts('A', properties.x)",
            "counts('A', properties.x)[y]",
            "counts('A', properties.x)[null]",
            "counts('A', properties.x)['a']['b']",
            "counts('A', timestamp)[5]",
            "last('A', properties.x)['a']",
            "has(email)['a']",
            "percentile('A', properties.x)",
            "percentile('A', properties.x, 90)",
            "percentile('A', properties.x, 0.1234567)",
            "percentile('A', properties.x, 0.1, 0.2)",
            "median('A', name)",
            "count(('A', 5))",
            "count(('A', B))",
            "sum(*)",
            "sum('A', ('B', 'C'))",
            "sum('A', *)",
            "count('A', where => ('B', 'C'))",
            "audience(*)",
        ],
    );
}

#[test]
fn types_that_do_not_fit() {
    check(
        "types",
        r#"[traits]
lifetime_value = "sum('Order', properties.total)"
a = "lifetime_value = 'high'"
b = "last('Order', properties.total) = 'x'"
c = "sum('A', properties.name) > 1"
d = "count('A', where => properties.name = 'x')"
e = "city = 'x' or city > 5"
f = "1 + 'a'"
g = "not 5"
h = "true and 'x'"
i = "true > false"
j = "flag and (flag between true and false)"
k = "a1 = null or a1 in (1, null)"
l = "last('A', timestamp) > 'yesterday'"
m = "last('A', timestamp) > '1969-12-32'"
n = "last('A', timestamp) in ('2024-01-01', 'x')"
o = "5 like '5'"
p = "a2 in (1, 'x')"
q = "count('A', where => properties.total)"
[audiences.x]
when = "lifetime_value"
"#,
    );
}

#[test]
fn cycles() {
    check(
        "cycles",
        r#"[traits]
a = "b + 1"
b = "c + 1"
c = "a + 1"
d = "d"
e = "a"
f = "count('A', where => properties.f = 1)"
[audiences.x]
when = "audience('y')"
[audiences.y]
when = "not audience('x') or f > 1"
"#,
    );
}

#[test]
fn places_in_every_kind_of_string() {
    check(
        "places",
        "[traits]\na = \"'\\u00e9\\\"' = 'x' and\\t1 > 'x'\"\nb = '1 > \"x\" 5'\nc = \"\"\"\n  1 = 1\n  and 'é' = 'é' and 1 > 'x'\n\"\"\"\nd = '''1 = 1\nand 1 > 'x' '''\ne = \"\"\"1 = 1 \\\n    and 1 > 'x'\"\"\"\nf = \"'${CITY}' = 5\"\n",
    );
}

#[test]
fn every_section_with_mistakes() {
    check(
        "sections",
        r#"name = "My Shop"
nmae = "x"
[http]
listen = "localhost:80"
[sources.Shop]
write_key = ""
[sources.a]
write_key = "${WRITE_KEY}"
[sources.b]
write_key = "${WRITE_KEY}"
[sources.c]
write_kye = "x"
[access]
read_tokens = ["a b", 5]
[identity]
order = ["user_id", "mail", "mail"]
exclusive = ["email", "usr_id"]
blocked_patterns = { emial = ["%@test.example"] }
[audiences.x]
whn = "true"
[audiences.y]
when = 5
[destinations.one]
type = "webhook"
url = "ftp://example.com"
path = "x"
audiences = ["z", "x", "x"]
identifiers = ["emial"]
traits = ["a", "a"]
timeout = "1 month"
backoff_min = "5 min"
backoff_max = "1 min"
attempts_max = 0
concurrency = 1000
calls_per_second = 0
[destinations.two]
type = "fle"
[destinations.three]
type = "file"
url = "x"
calls_per_second = 5
audiences = ["y"]
identifiers = ["email"]
[destinations.four]
audiences = "y"
[clock]
heartbeat = 5
max_future = "5 mins ago"
[limits]
page_mx = 5
page_max = 0
memory_limit = "2 gigs"
event_bytes_max = 2000
request_bytes_max = 1000
[replay.csv]
delimiter = ";;"
columns = ["time", "user", "amount"]
timestamp = { column = "tme", format = "unix" }
[replay.csv.properties]
total = "amuont"
[traits]
Total = "1"
broken = 5
env = "${NOPE} > 1"
"#,
    );
}

#[test]
fn toml_that_is_none() {
    check("toml", "name = \"shop\n[traits]\na = \"count('A')\nb = [1,\n");
}

#[test]
fn a_full_project() {
    let source = r#"
name = "shop"
[http]
listen = "0.0.0.0:9000"
[sources.web-site]
write_key = "${WRITE_KEY}"
[sources.app]
write_key = "${EMPTY:-app-key}"
[access]
read_token = "${NOPE:-reader}"
read_tokens = ["other"]
[identity]
key = "secret"
order = ["user_id", "email", "loyalty_card"]
exclusive = ["user_id", "loyalty_card"]
blocked = ["test", "null"]
blocked_patterns = { email = ["%@test.example"] }
[attributes]
city = "${NOPE:-string}"
[audiences.a]
description = "all of a city"
when = "city = '${CITY}' and has(phone) and has(loyalty_card)"
[destinations.hook]
type = "webhook"
url = "https://example.com"
secret = "s"
audiences = ["a"]
identifiers = ["email"]
traits = ["city"]
timeout = "2 s"
backoff_min = "1 min"
[destinations.disk]
type = "file"
path = "out.jsonl"
audiences = ["a"]
identifiers = ["email", "phone"]
[clock]
max_future = "2 min"
heartbeat = "20 ms"
dedupe_window = "1 week"
[limits]
page_max = 50
memory_limit = "2 GB"
[replay.csv]
delimiter = "\t"
columns = ["at", "card"]
event = "Order Completed"
timestamp = { column = "at", format = "%Y-%m-%d" }
identifiers = { loyalty_card = "card" }
[storage]
folder = "kept"
durability = "os"
checkpoint_events = 500
[history]
keep = "7 days"
"#;
    let Loaded { project, warnings } = loaded(source).expect("it is right");
    assert!(warnings.is_empty());
    assert_eq!(project.name, "shop");
    assert_eq!(project.listen.to_string(), "0.0.0.0:9000");
    let sources: Vec<_> =
        project.sources.iter().map(|source| (source.name.as_str(), source.kind.write_keys()[0].expose())).collect();
    assert_eq!(sources, [("app", "app-key"), ("web-site", "hunter2-hunter2")]);
    let tokens: Vec<_> = project.read_tokens.iter().map(|token| token.expose()).collect();
    assert_eq!(tokens, ["reader", "other"]);
    assert_eq!(project.identifier_key, IdentifierKey::from_secret("secret"));
    assert_eq!(project.definitions.identity.exclusive, ["user_id", "loyalty_card"]);
    assert_eq!(
        project.definitions.identity.blocked.len(),
        4,
        "what is nobody's by default, two values and one pattern"
    );
    assert_eq!(project.clock.dedupe_window, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(project.limits.page_max, 50);
    assert_eq!(project.limits.memory_limit, MemoryLimit::Bytes(2_000_000_000));
    let storage = Storage {
        durability: Durability::Os,
        checkpoint_events: Some(500),
        ..Storage::in_folder("/projects/shop/kept".into())
    };
    assert_eq!(project.storage, Some(storage));
    assert_eq!(
        project.history,
        Some(HistorySettings { keep: Some(Duration::from_secs(7 * 24 * 3600)), ..HistorySettings::default() })
    );
    let names: Vec<_> = project.destinations.iter().map(|destination| destination.name.as_str()).collect();
    assert_eq!(names, ["disk", "hook"]);
    let views: Vec<_> = project.definitions.destinations.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(names, views);
    let pace = project.destinations[1].kind.pace();
    assert_eq!((pace.backoff_min, pace.backoff_max), (Duration::from_secs(60), Duration::from_secs(60)));
    let csv = project.replay.csv.expect("there is a mapping");
    assert_eq!((csv.delimiter, csv.timestamp.1.as_str()), ('\t', "%Y-%m-%d"));
}

#[test]
fn an_empty_file_is_a_project_with_a_warning() {
    let Loaded { project, warnings } = loaded("").expect("it is right");
    assert_eq!(project.name, "shop");
    assert_eq!(project.identifier_key, IdentifierKey::from_secret("shop"));
    assert_eq!(warnings.len(), 1);
    insta::assert_snapshot!(warnings.render(Colour::Plain), @r#"
    ⚠ the key of identifiers is derived from the project's name, so it is no secret
    help: set `key` in [identity], such as "${DELTAIC_IDENTITY_KEY}"; changing it later takes a replay
    "#);
}

#[test]
fn how_far_links_lead_is_said_in_identity() {
    let project = loaded("[identity]\nlinks_per_identifier_max = 3\nhops_max = 4\nfollowers_per_profile_max = 5\n");
    let project = project.expect("it is right").project;
    let usual = Reach::default();
    let expected = Reach { links_per_identifier_max: 3, hops_max: 4, followers_per_profile_max: 5, ..usual };
    assert_eq!(project.definitions.identity.reach, expected);
    for key in ["links_per_identifier_max", "hops_max", "followers_per_profile_max", "identifiers_per_type_max"] {
        let problems = loaded(&format!("[identity]\n{key} = 0\n")).expect_err(key);
        assert!(problems.contains(&format!("expected `{key}` from 1 to ")), "{problems}");
    }
}

#[test]
fn a_folder_is_loaded_and_checked() {
    let folder = tempfile::tempdir().expect("there is a disk");
    let missing = load(folder.path(), &environment).expect_err("there is no file").render(Colour::Plain);
    assert!(missing.contains("a project is a folder with a file `deltaic.toml` in it"), "{missing}");
    let write = |text: &str| std::fs::write(folder.path().join("deltaic.toml"), text).expect("there is a disk");
    write("name = \"shop\"\nidentity.key = \"k\"\n[traits]\na = \"count('A') + sum('A', properties.x)\"");
    let check = |detail| check_folder(folder.path(), &environment, Colour::Plain, detail);
    let summary = check(Detail::Summary);
    assert_eq!(summary.as_deref(), Ok("shop: 1 trait, 0 audiences, 2 measures, 0 destinations: no errors\n"));
    let settings = check(Detail::Settings).expect("it is right");
    let lines: Vec<&str> = settings.lines().skip(1).collect();
    let expected = [
        "  identity.order       user_id, email, phone, device_id, advertising_id, anonymous_id",
        "  identity.exclusive   user_id",
        "  identity.blocked     null, (null), nil, none, undefined, anonymous, unknown, n/a, nan, test, -1, zeros and signs",
        "  identity.from        userId is user_id; anonymousId is anonymous_id; context.externalIds is what each says; \
         context.device.id is device_id; context.device.advertisingId is advertising_id; traits.email, except of groups, is \
         email; traits.phone, except of groups, is phone; context.traits.email and .phone is the same, weakly except in \
         identify and group calls",
        "  identity.aliases     of userId with previousId, of what mergeProperties name, where other events carry the previous ones",
        "                       of two people from no source",
        "  identity.…_max       links_per_identifier 250, hops 50",
        "                       followers_per_profile 1000, identifiers_per_type 100",
        "  consent.purposes     none",
        "  trait a: \"A\" with properties.x (number)",
    ];
    assert_eq!(lines, expected);
    let by_file = check_folder(&folder.path().join("deltaic.toml"), &environment, Colour::Plain, Detail::Summary);
    assert_eq!(by_file, summary, "the file may be named itself");
    write("traits.a = \"cuont('A')\"");
    let errors = check(Detail::Summary).expect_err("it is misspelt");
    assert!(errors.contains("did you mean `count`?") && errors.contains("deltaic.toml: 1 error"), "{errors}");
    write(&"#\n".repeat(1_000_000));
    assert!(check(Detail::Settings).is_err());
}

/// Wherever a secret stands and whatever else is wrong around it, it is not printed.
#[test]
fn secrets_are_not_printed() {
    let around = [
        "[sources.a]\nwrite_key = \"SECRET with a space\"",
        "[sources.a]\nwrite_kye = \"SECRET\"",
        "[sources.a]\nwrite_key = [\"SECRET\"]",
        "[sources.a]\nwrite_key = \"SECRET",
        "[sources.a]\nwrite_key = SECRET",
        "[sources]\na = { write_key = \"SECRET\", x = 1 }",
        "sources.a.write_key = \"SECRET\"\nsources.b = 5\nx = 1",
        "sources.a.write_key = 'SECRET",
        "[access]\nread_tokens = [\n  \"SECRET 1\",\n  \"SECRET=\" \"SECRET\",\n]",
        "[access]\nread_tokens = [\n  \"SECRET 1\",\n  5]",
        "[access]\nread_tokens = \"SECRET\"",
        "[destinations.a]\ntype = \"webhok\"\nsecret = \"SECRET\"\nsecrt = \"SECRET\"",
        "[destinations.a]\ntype = \"webhook\"\nurl = \"ftp://me:SECRET@host\"",
        "[destinations.a]\ntype = \"file\"\nsecret = \"SECRET\"",
        "[identity]\nkey = \"\"\"\nSECRET 1\nSECRET\"\"\"",
        "[identity]\nkey = 5\norder = [\"SECRET\" \"x\"]",
    ];
    for source in around {
        let text = loaded(source).expect_err(source);
        assert!(!text.contains("SECRET"), "{source}\n{text}");
    }
    // What comes from the environment neither.
    for source in [
        "http.listen = \"${WRITE_KEY}\"",
        "traits.a = \"${WRITE_KEY}\"\ntraits.b = \"5 5\"",
        "attributes.a = \"${WRITE_KEY}\"",
        "clock.heartbeat = \"5 ${WRITE_KEY}\"",
        "name = \"A${WRITE_KEY}\"",
        "destinations.a = { type = \"${WRITE_KEY}\", audiences = [\"${WRITE_KEY}\"], identifiers = [\"${WRITE_KEY}\"] }",
    ] {
        let text = loaded(source).expect_err(source);
        assert!(!text.contains("hunter2"), "{source}\n{text}");
    }
}

#[test]
fn a_variable_cannot_bring_in_toml() {
    let project = loaded("[audiences.a]\nwhen = \"city <> '${EVIL}'\"").expect("it is right");
    assert_eq!(project.project.name, "shop");
}

/// Texts that are made to exhaust the stack or the time.
#[test]
fn hostile_expressions_are_errors() {
    let nested_between = (0..40).fold("x".to_string(), |inner, _| format!("({inner} between 1 and 2)"));
    let hostile = [
        "(".repeat(4_000),
        format!("{}1{}", "(".repeat(2_000), ")".repeat(2_000)),
        "(".repeat(10_000),
        "not ".repeat(1_000),
        "-".repeat(4_000),
        "- ".repeat(2_000),
        "1+".repeat(2_047) + "1",
        "a||".repeat(1_000) + "1",
        "a=".repeat(2_000) + "1",
        "[".repeat(4_000),
        "a[".repeat(2_000),
        "a!".to_string() + &" !".repeat(2_000),
        "a".to_string() + &"[1]".repeat(1_300),
        "a".to_string() + &" ilike a".repeat(500),
        "a".to_string() + &" is true".repeat(500),
        "a".to_string() + &"::a".repeat(1_300),
        "$$a".repeat(1_300),
        "a.".repeat(2_000),
        "f(".repeat(2_000),
        "case when ".repeat(400),
        "a in (".repeat(600),
        "cast(".repeat(800),
        "{".repeat(4_000),
        "'".repeat(3_999),
        nested_between,
        "(a,".repeat(1_000),
        "array[".repeat(600),
        "a between ".repeat(400),
        "x is null ".repeat(400),
        format!("x {}", "is null ".repeat(500)),
        format!("x {}", "::int".repeat(800)),
        format!("x {}", "like 'a' ".repeat(400)),
        format!("x {}", "collate a ".repeat(400)),
    ];
    for text in hostile {
        let source = format!("[traits]\na = '''{text} '''");
        assert!(loaded(&source).is_err(), "{text}");
    }
    // Long and flat is fine.
    let flat = format!("[audiences.a]\nwhen = \"{} x = 1\"", "x = 1 or ".repeat(400));
    assert!(loaded(&flat).is_ok());
}

#[test]
fn counts_have_limits() {
    let many = |header: &str, line: &dyn Fn(usize) -> String, count: usize| {
        let lines: Vec<String> = (0..count).map(line).collect();
        format!("{header}\n{}", lines.join("\n"))
    };
    let traits = many("[traits]", &|n| format!("t{n} = \"1\""), 1_001);
    assert!(loaded(&traits).expect_err("too many").contains("the project has 1001 traits"));
    let fields = many(
        "[traits]",
        &|n| {
            let reads: Vec<String> = (0..3).map(|f| format!("count('A', where => properties.f{n}_{f})")).collect();
            format!("t{n} = \"{}\"", reads.join(" + "))
        },
        400,
    );
    assert!(loaded(&fields).expect_err("too many").contains("more than 1000 different fields"));
    let measures = many(
        "[traits]",
        &|n| {
            let reads: Vec<String> = (0..50).map(|m| format!("count('A {n} {m}')")).collect();
            format!(
                "t{n} = \"{}\"",
                reads.chunks(5).map(|sum| format!("({})", sum.join(" + "))).collect::<Vec<_>>().join(" + ")
            )
        },
        100,
    );
    assert!(loaded(&measures).expect_err("too many").contains("more than 4000 different aggregates"));
    // More errors than anyone reads.
    let errors = many("[traits]", &|n| format!("t{n} = \"5 5\""), 150);
    assert!(loaded(&errors).expect_err("wrong").ends_with("… and 50 more\n"));
}

/// A file in which much can go wrong when a few characters change.
const SEED: &str = r#"name = "shop"
[traits]
a = "sum('A', properties.x, within => '3 days', where => name like 'a%') / 2"
b = """
  a between 1 and 2 and \
  c in ('x', 'é')"""
[audiences.v]
when = 'b and consent(''m'') or has(email) and d is not null'
[destinations.o]
type = "webhook"
url = "https://${NOPE:-x}/"
audiences = ["v"]
identifiers = ["email"]
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_expressions_never_panic(text in "([a-c.']|'A'|count\\(|sum\\(|[(), ]|=>|within|where| and | or | not | in | is null| between |like|[0-9]|[+*/%<>=-]|properties\\.x|timestamp|'2024-01-01'|\\PC){0,40}") {
        let _ = loaded(&format!("traits.a = {}", toml::Value::String(text.clone())));
        let _ = loaded(&format!("traits.a = '''{text}'''\naudiences.b.when = '''{text}'''"));
    }

    #[test]
    fn arbitrary_files_never_panic(text in "(\\PC|[\\[\\]=\"'.{},\n\r\t\\\\$]|name|traits|sources|write_key|\"\"\"|'''){0,60}") {
        let _ = loaded(&text);
    }

    #[test]
    fn damaged_files_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, "\\PC|[\n\r\"'(\\[$]"), 1..4)) {
        let mut characters: Vec<char> = SEED.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(characters.len());
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, inserted.chars());
        }
        let _ = loaded(&characters.into_iter().collect::<String>());
    }
}

/// While one takes the place of another, both hold.
#[test]
fn keys_and_tokens_may_be_several_with_names() {
    let source = r#"
[sources.app]
write_key = "one"
[sources.web.write_key]
new = "${WRITE_KEY}"
old = "before"
[access]
read_token = { spring = "r-1", autumn = "r-2" }
read_tokens = ["r-3"]
admin_token.a = "a-1"
admin_token.b = "a-2"
[cluster]
token = "${WRITE_KEY}-c"
[audiences.a]
when = "has(email)"
[destinations.hook]
type = "webhook"
url = "https://example.com"
secret = { old = "s-1", new = "s-2" }
audiences = ["a"]
identifiers = ["email"]
[destinations.open]
type = "webhook"
url = "https://example.com"
audiences = ["a"]
identifiers = ["email"]
"#;
    let project = loaded(source).expect("it is right").project;
    let sorted = |secrets: &[Secret]| {
        let mut sorted: Vec<String> = secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        sorted.sort();
        sorted.join(" ")
    };
    let keys: Vec<_> = project.sources.iter().map(|source| sorted(source.kind.write_keys())).collect();
    assert_eq!(keys, ["one", "before hunter2-hunter2"]);
    assert_eq!([sorted(&project.read_tokens), sorted(&project.admin_tokens)], ["r-1 r-2 r-3", "a-1 a-2"]);
    assert_eq!(project.cluster_token.as_ref().map(Secret::expose), Some("hunter2-hunter2-c"));
    let secrets = |destination: &Destination| {
        sorted(&destination.kind.settings::<WebhookSettings>().expect("it is a webhook").secrets)
    };
    assert_eq!(project.destinations.iter().map(secrets).collect::<Vec<_>>(), ["s-1 s-2", ""]);
}

#[test]
fn what_is_wrong_with_several_keys() {
    let check = |source: &str, expected: &str| {
        let problems = loaded(source).unwrap_err();
        assert!(problems.contains(expected), "{problems}");
        assert!(!problems.contains("SECRET"), "{problems}");
    };
    check("[sources.a.write_key]\nx = \"SECRET\"\ny = \"SECRET\"", "source `a` has this write key twice");
    check(
        "[sources.a.write_key]\nx = \"SECRET\"\n[sources.b]\nwrite_key = \"SECRET\"",
        "sources `a` and `b` have the same write key",
    );
    check(
        "[cluster]\ntoken = \"SECRET\"\n[sources.b]\nwrite_key = \"SECRET\"",
        "the token of the cluster is the same as a write key",
    );
    check(
        "[access]\nread_token = \"SECRET\"\n[cluster]\ntoken = \"SECRET\"",
        "the token of the cluster is the same as another token",
    );
    check("[cluster]\ntoken = \"\"", "a token cannot be empty");
    check("[sources.a]\nwrite_key = {}", "`write_key` has no entries");
    check("[sources.a.write_key]\nx = \"SECRET 1\"", "a write key has a character that is not possible in one");
    check("[sources.a.write_key]\nx = \"\"", "a write key cannot be empty");
    check("[sources.a.write_key]\nx = [\"SECRET\"]", "expected a string, found a list");
    check("[sources.a.write_key]\n\"x y\" = \"SECRET\"", "`x y` cannot be the name of a secret");
    check("[access]\nread_token = [\"SECRET\"]", "expected `read_token` as a string, or a table of several by name");
}

#[test]
fn events_of_destinations() {
    let of = |events: &str| {
        let source = format!("[destinations.all]\ntype = \"file\"\npath = \"x\"\nevents = {events}");
        let loaded = loaded(&source)?;
        Ok::<_, String>(loaded.project.definitions.forwards[0].events.clone())
    };
    assert_eq!(of(r#"["*"]"#), Ok(vec![]));
    assert_eq!(of(r#"["A", "page"]"#), Ok(vec!["A".into(), "page".into()]));
    assert_eq!(of(r#"["track:100% wool", "track:*"]"#), Ok(vec!["100% wool".into(), "track:*".into()]));
    for (events, expected) in [
        (r#"[]"#, "has no events"),
        (r#"["Order*"]"#, "`Order*` is no pattern: names of events are whole"),
        (r#"["A", "Order %"]"#, "\"track:Order %\""),
        (r#"["*", "A"]"#, "`*` is all events, whatever else the list names"),
        (r#"["*", "*"]"#, "`*` is all events, whatever else the list names"),
    ] {
        let problems = of(events).unwrap_err();
        assert!(problems.contains(expected), "{problems}");
    }
    let from = |events: &str| {
        loaded(&format!("[identity]\nfrom = [{{ field = \"properties.email\", events = [{events}] }}]"))
            .map(|loaded| loaded.project.origins[0].events.clone())
    };
    assert_eq!(from(r#""*""#), Ok(vec![]));
    assert!(from(r#""Sign%""#).unwrap_err().contains("is no pattern"));
}

#[test]
fn times_in_conditions_may_be_before_1970() {
    let condition = |text: &str| {
        let source = format!("[attributes]\nborn = \"time\"\n[audiences.a]\nwhen = \"born < '{text}'\"");
        loaded(&source).map(|loaded| shown(&loaded.project.definitions))
    };
    let shown = condition("1965-03-22").unwrap();
    assert!(shown.contains("PointInTime(-150854400000)"), "{shown}");
    assert!(condition("1969-12-31T23:59:59.9999Z").unwrap().contains("PointInTime(-1)"));
    assert!(condition("1700000000").unwrap_err().contains("expected a date or an RFC 3339 time"));
}
