//! What a project is warned of, and the hint that goes with a mistake: a row each.

use super::{Colour, loaded};
use crate::ingest::sources::HttpSettings;

/// The warnings of a project that is right, but for the one about its key.
#[track_caller]
fn warnings(source: &str) -> String {
    match loaded(&format!("identity.key = 'k'\n{source}")) {
        Ok(loaded) => loaded.warnings.render(Colour::Plain),
        Err(problems) => panic!("{source}\n{problems}"),
    }
}

fn audience(when: &str) -> String {
    format!("[audiences.a]\nwhen = '''{when}'''\n")
}

/// A text on one line: long ones are broken where they are shown.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check_warning(when: &str, expected: &[&str]) {
    let shown = flat(&warnings(&audience(when)));
    assert_eq!(shown.matches('⚠').count(), expected.len(), "{when}\n{shown}");
    for expected in expected {
        assert!(shown.contains(expected), "{when}\n{shown}");
    }
}

#[test]
fn what_can_never_hold_is_warned_of() {
    let rome = "in double quotes it is a name; a text is written in single quotes: 'Rome'";
    check_warning("city = \"Rome\"", &[rome]);
    check_warning("\"Rome\" = city", &[rome]);
    check_warning("has(email) and not (address.city <> \"Rome\")", &["`Rome` is taken for an attribute"]);
    check_warning("last('A', properties.city) = \"Rome\"", &[rome]);
    check_warning("\"odd name\" < 5 and city = 'Rome' and d = e", &[]);

    let other_case = "a text of another case is never equal to this one";
    check_warning(
        "lower(city) = 'Rome' and 'rome' = upper(city) and lower(city) in ('Rome', 'paris')",
        &[other_case; 3],
    );
    check_warning("lower(city) = 'rome' and lower(city) <> 'Rome' and upper(city) = 'ROME'", &[]);

    let user_id = "has(user_id) says whether there is one";
    check_warning("user_id = '42'", &[user_id]);
    check_warning(
        "user_id in ('42') or user_id like '4%' or user_id between 'a' and 'b'",
        &[user_id, user_id, user_id],
    );
    check_warning("anonymous_id <> '42'", &["`anonymous_id` is taken for an attribute"]);
    check_warning("email like '%@a.b' and phone = '+49'", &[]);
    check_warning("has(user_id) and user_id is null", &[]);

    let nothing = "nothing is between these: the first is greater than the second";
    check_warning("age between 5 and 1", &[nothing]);
    check_warning("age not between 5 and -1", &[nothing]);
    check_warning("born between '2026-02-01' and '2026-01-01T08:00:00Z'", &[nothing]);
    check_warning("name between 'b' and 'a'", &[nothing]);
    check_warning("count('A', where => properties.x between 5 and 1) > 0", &[nothing]);
    check_warning(
        "age between 1 and 5 and age between 5 and 5 and name between 'a' and 'b' and x between 5 and y",
        &[],
    );
}

/// What is wrong with a project, and what to do about it, on one line.
fn problems(source: &str) -> String {
    match loaded(&format!("identity.key = 'k'\n{source}")) {
        Ok(_) => panic!("nothing is wrong with {source}"),
        Err(problems) => flat(&problems),
    }
}

#[test]
fn what_is_wrong_with_a_session_or_a_sequence_is_told() {
    for (source, expected) in [
        ("[sessions.visit]", "gap"),
        ("[sessions.visit]\ngap = '30'", "the duration `30` has no unit"),
        ("[sessions.visit]\ngap = '30 min'\nper = 'cookie'", "unknown identifier type `cookie`"),
        ("[sessions.visit]\ngap = '30 min'\nevents = []", "session `visit` has no events"),
        ("[sessions.visit]\ngap = '30 min'\nevents = ['Prod*']", "is no pattern"),
        ("[sessions.visit]\ngap = '30 min'\nvalue = {}", "`values`"),
        ("[sessions.visit]\ngap = '30 min'\nvalues = { start = \"count('A')\" }", "every session has `start`"),
        ("[sessions.visit]\ngap = '30 min'\nvalues = { a = \"count('A') > 1\" }", "expected an aggregate over events"),
        (
            "[sessions.visit]\ngap = '30 min'\nvalues = { a = \"count('A', within => '1 day')\" }",
            "the session is the window",
        ),
        (
            "[sessions.visit]\ngap = '30 min'\nvalues = { a = \"top('A', properties.x)\" }",
            "`top` is no value of a session",
        ),
        ("[sessions.visit]\ngap = '30 min'\nvalues = { a = \"lower('A')\" }", "expected an aggregate over events"),
        ("[sessions.visit]\ngap = '30 min'\nvalues = { a = \"now()\" }", "`now` is no value of a session"),
        (
            "[sessions.visit]\ngap = '30 min'\nevents = ['A']\nvalues = { b = \"count('B')\" }",
            "add it to `events` of the session: \"B\"",
        ),
        ("[sessions.Visit]\ngap = '30 min'", "write `visit`"),
        ("[sequences]\na = \"count('A') > 1\"", "expected a sequence"),
        ("[sequences]\na = 5", "expected a string"),
        ("[sequences.a]\nwhen = 'x'", "expected the expression of sequence `a`, found a section"),
        (
            "[sequences]\na = \"sequence(step('A'), step('B'), over => '1 day')\"\n[traits]\na = '1'",
            "`a` is both a sequence and a trait",
        ),
        ("[traits]\na = \"count('*') > 1\"", "any event is `*`, without quotes"),
        (
            "[sequences]\nbought = \"sequence(step('A'), step('B'), over => '1 day')\"\n[traits]\na = 'bougth'",
            "did you mean `bought`?",
        ),
        (
            "[sequences]\nbought = \"sequence(step('A'), step('B'), over => '1 day')\"\n[traits]\na = \"count(bought)\"",
            "count_of(sequence(…))",
        ),
        (
            "[sequences]\nbought = \"sequence(step('A'), step('B'), over => '1 day')\"\n[traits]\na = \"audience('bought')\"",
            "it is a sequence, and a condition by itself: bought",
        ),
        (
            "[sequences]\nbought = \"sequence(step('A'), step('B'), over => '1 day')\"\n[attributes]\nbought = 'string'",
            "`bought` is both a sequence and an attribute",
        ),
        ("[sessions.visit]\ngap = '30 min'\n[traits]\na = 'visit.events'", "did you mean `session.visit.events`?"),
        (
            "[sessions.visit]\ngap = '30 min'\n[traits]\na = 'sessions.visit.events'",
            "did you mean `session.visit.events`?",
        ),
        (
            "[sessions.visit]\ngap = '30 min'\n[audiences.x]\nwhen = 'true'\n[destinations.d]\ntype = 'file'\npath = 'x'\naudiences = ['x']\nidentifiers = ['user_id']\ntraits = ['session.visit.events']",
            "`session.visit.events` is a value of a session, and no trait",
        ),
        (
            "[traits]\na = \"sequence(step('A'), step('B', within = '1 hour'), over => '1 day')\"",
            "named arguments are written `within => …`",
        ),
        ("[traits]\na = \"sequence(step('A'), step('B'), '7 days')\"", "the window is written `over => '7 days'`"),
        // What is wrong with it is told once, however often it is used.
        ("[sequences]\na = \"sequence(step('A'))\"\n[traits]\nb = 'a'\nc = 'count_of(a)'", "`sequence` needs `over`"),
    ] {
        let told = problems(source);
        assert!(told.contains(expected) && told.matches('×').count() == 1, "{source}\n{told}");
    }
}

#[test]
fn what_is_declared_is_not_warned_of() {
    let declared = |names: &str| warnings(&format!("[attributes]\n{names}\n{}", audience("user_id = \"Rome\"")));
    assert_eq!(declared("user_id = 'string'\nRome = 'string'"), "");
    let of_trait = format!("[traits]\nuser_id = '1'\nrome = '1'\n{}", audience("user_id = \"rome\""));
    assert_eq!(warnings(&of_trait), "");
    let told =
        format!("identity.order = ['user_id', 'card']\nidentity.from = ['traits.card']\n{}", audience("card = 'x'"));
    assert_eq!(warnings(&told), "");
}

#[test]
fn names_of_events_that_are_nearly_the_same_are_warned_of() {
    let same = "`order completed` and `Order Completed` differ only in case or space, and are two events";
    check_warning("count('Order Completed') > count('order completed')", &[same]);
    check_warning("count('Order Completed') > count('OrderCompleted ')", &["`OrderCompleted ` and `Order Completed`"]);
    check_warning("count('Order Completed') > count('Order Completed', within => '1 day')", &[]);
    check_warning("count('Order Completed') > count('Orders Completed') + count('order_completed')", &[]);
    let elsewhere = [
        "[destinations.d]\ntype = 'file'\npath = 'x'\nevents = ['order completed']\n",
        "[[identity.from]]\nfield = 'properties.mail'\ntype = 'email'\nevents = ['order completed']\n",
        "[replay.csv]\nevent = 'order completed'\ntimestamp.column = 'a'\nidentifiers = { user_id = 'b' }\n",
    ];
    for other in elsewhere {
        let shown = flat(&warnings(&format!("{other}{}", audience("count('Order Completed') > 0"))));
        assert!(shown.contains("differ only in case or space"), "{shown}");
    }
}

/// What is wrong with a file, and the hint.
#[track_caller]
fn check_error(source: &str, expected: &str, hint: &str) {
    let problems = flat(&loaded(source).expect_err(source));
    assert!(problems.contains(expected), "{source}\n{problems}");
    assert!(problems.contains(&format!("help: {hint}")), "{source}\n{problems}");
}

#[track_caller]
fn check_trait(expression: &str, expected: &str, hint: &str) {
    check_error(&format!("[traits]\nx = '''{expression}'''"), expected, hint);
}

#[test]
fn hints_lead_to_what_is_right() {
    check_trait(
        "a > 1 || b",
        "an operand of `||` must be a string, not a number",
        "for a choice between conditions write `or`; cast(x as string) makes a text",
    );
    check_trait("array_agg('A', properties.x)", "unknown function `array_agg`", "list('Event', properties.NAME) has");
    check_trait(
        "count('A', where => item.x = 1)",
        "`item.x` is of no array here",
        "any(properties.tags, item = 'sale') asks each element; in an aggregate `each =>",
    );
    check_trait(
        "count('A', each => products)",
        "expected an array of the event",
        "did you mean `properties.products`?",
    );
    check_trait("count('A', where => any(tags, item = 'x'))", "expected an array", "did you mean `properties.tags`?");
    check_trait("any(tags, x = 1)", "the condition of `any` says nothing of `item`", "`item` is an element");
    check_trait("any(tags, item.x = 1)", "elements of a list of a person have no members", "of events they have");
    check_trait(
        "any(tags, item < now())",
        "the condition of `any` does not look at `now()`",
        "a comparison with now() is a trait",
    );
    check_trait("any(tags, any(more, item = 'x'))", "`any` cannot be asked of each element", "of one array at a time");
    check_trait("tags[0] = 'x'", "`tags[0]`: of lists of a person no element", "any(tags, item = 'sale')");
    check_trait(
        "list('A', properties.x, limit => 5000)",
        "`limit` is a whole number from 1 to 1000",
        "limit => 100 has the first",
    );
    check_trait("last_n('A', properties.x)", "`last_n` needs a number of events", "write last_n(");
    check_trait(
        "last_n('A', properties.x, 0)",
        "the number of events is a whole number from 1 to 100",
        "the latest five",
    );
    check_trait("length(count('A'))", "what `length` looks at must be a string or a list, not a number", "cast(x as");
    check_trait("last('A', properties.x[1:2])", "a part of an array is not supported", "one element is written");
    check_trait("last('A', properties.x[0.5])", "expected the place of an element", "the first one is");
    check_trait(
        "lower(city)[1] = 'x'",
        "to look into the value of a function",
        "a part of a text is substring(x, 1, 2)",
    );
    check_trait("any(tags, item = 'x')[0]", "to look into the value of a function", "a part of a text");
    check_trait("last('A', properties.x)[0]", "`last` is not looked into", "a field is looked into where it is named");
    check_trait(
        "last_n('A', properties.x, 2)[0]",
        "`last_n` is not looked into",
        "of a list of a person no element is taken",
    );
    check_trait("split(city, ' ')[0]", "unknown function `split`", "write split_part(x, '@', 1)");
    check_trait("'a' in (tags)", "the list of `in` must hold literals", "of a list, write any(tags, item = …)");
    check_trait(
        "any(tags, item = 1) and tags = 'x'",
        "a list cannot be compared with a string",
        "each element is asked by any(",
    );
    check_trait(
        "any(tags, item = 1) and contains(tags, 'x')",
        "must be a string, not a list",
        "each element is asked by any(",
    );
    check_trait(
        "any(tags, item = 1) and tags like 'x'",
        "must be a string, not a list",
        "each element is asked by any(",
    );
    check_trait("item = 'x'", "unknown name `item`", "`item` is an element within any(");
    check_trait("sum('A', items.x, each => properties.y)", "an event has no `items.x`", "did you mean `item.x`?");
    check_trait("sum('A', y.x, each => properties.y)", "an event has no `y.x`", "did you mean `item.x`?");
    check_trait("sum('A', properties.x[*].y)", "found `*`", "each element of an array is a row");
    check_trait(
        "last_n('A', properties.x, n => 2)",
        "`last_n` has no argument `n`",
        "the number is the third argument",
    );
    check_trait("top('A', properties.x, 2)", "`top` takes the name of an event", "write `n => 2`");
    check_trait("count('A', each properties.x)", "found `properties`", "named arguments are written `each => …`");
    check_trait("x contains 'y'", "found `contains`", "of a text write contains(x, 'text')");
    check_trait("exists('A')", "expected a name of an event", "write count('Order Completed') > 0");
    check_trait("x is not in ('a')", "after `is`, found `in`", "write x not in ('a', 'b')");
    check_trait("count('A', where => userId = 'x')", "an event has no `userId`", "identifiers are not compared");
    check_trait("month(x) = 1", "unknown function `month`", "write extract(month from x)");
    check_trait("unnest(tags)", "unknown function `unnest`", "each element is a row");
    check_trait("mode('A', properties.x)", "unknown function `mode`", "the most frequent value is top(");
    check_trait("hash(email) = 'x'", "unknown function `hash`", "there are `md5` and `sha256`, such as in");
    let within = "what counts for a while only says so: count('Order Completed', within => '30 days')";
    check_trait("count('A', where => now() > timestamp)", "`now` is over a person", within);
    let compared = "compare it with a time: last('Order Completed', timestamp) < now() - interval '30 days'";
    check_trait("now()", "`now()` changes each millisecond, so it cannot stand here", compared);
    check_trait("lower(now()) = 'x'", "`now()` changes each millisecond", compared);
    check_trait("now() > now() - interval '1 day'", "the time is compared with itself", compared);
    check_trait(
        "now() - seen > 5",
        "the time is not a number, so it has no `-`",
        "write last('Order Completed', timestamp) <",
    );
    check_trait(
        "extract(minute from now()) = 0",
        "of `now()` this changes each minute",
        "the shortest unit is an hour",
    );
    check_trait("date_trunc('day', now(), 'Europe/Rom') < seen", "unknown time zone", "did you mean `Europe/Rome`?");
    check_trait(
        "extract(hour from now() at time zone 'Berlin') = 1",
        "unknown time zone",
        "did you mean `Europe/Berlin`?",
    );
    check_trait("hash_bucket('a', 1) = 0", "expected the number of parts, from 2 to 1000000", "write hash_bucket(");
    check_trait("regexp_like(a, '(')", "the regular expression is wrong: unclosed group", "");
    check_trait("regexp_like(a, '(.{1000}){1000}')", "the regular expression is too large", "");
    check_trait("a > 1_000", "a number has digits and a point, and no `_`", "write 1000");
    check_trait(
        "count('A', 'B''s')",
        "`count` takes only the name of an event",
        "several events are a list: count(('A', 'B''s'))",
    );
    check_trait("count('A', '3 days')", "`count` takes only", "a window is written `within => '30 days'`");
    let quotes = "a text is written in single quotes, such as the name of an event: 'Order Completed'";
    check_trait("count(Order Completed)", "expected `)`, found `Completed`", quotes);
    check_trait("count(Order Completed, within => '3 days') > 0", "found `Completed`", quotes);
    check_trait("x = Order Completed", "found `Completed`", quotes);
    check_trait(
        "x[0] = 'a'",
        "`x[0]`: of lists of a person no element",
        "any(tags, item = 'sale') looks at each element",
    );
    let of_event = "fields of events are the arguments of aggregates: last('Event', properties.products[0].price)";
    check_trait("properties.items[0].sku = 'a'", "`properties.items[0].sku`: of lists of a person", of_event);
    check_trait("city in (\"Rome\")", "the list of `in` must hold literals", "in double quotes it is a name;");
    check_trait(
        "count('A', where => properties.city = \"Rome\")",
        "an event has no `Rome`",
        "in double quotes it is a name;",
    );
    let declared = "[attributes]\ncity = 'string'\n[traits]\nx = 'city = \"Rome\"'";
    check_error(
        declared,
        "unknown name `Rome`",
        "in double quotes it is a name; a text is written in single quotes: 'Rome'",
    );
}

#[test]
fn hints_for_what_is_not_in_expressions() {
    check_error("[traits.ltv]\nvalue = 'x'", "found a section", "in [traits] write ltv = \"count('Order Completed')\"");
    let equals = "in TOML there is `=` between a key and its value: key = \"value\"";
    for colon in ["name: \"shop\"", "[http]\nlisten: x", "name = 'a'\n\"name\": \"b\""] {
        let problems = flat(&loaded(colon).expect_err(colon));
        assert!(problems.contains(equals), "{colon}\n{problems}");
    }
    let no_colon = flat(&loaded("url = http://a").expect_err("no quotes"));
    assert!(!no_colon.contains(equals), "{no_colon}");
    let lower = "write `ltv`: a name has lower-case letters, digits and `_`";
    check_error("[traits]\nLTV = '1'", "`LTV` cannot be the name of a trait", lower);
    for used in ["LTV", "ltv"] {
        let source = format!("[traits]\nLTV = '1'\n{}", audience(&format!("{used} > 5")));
        assert!(!flat(&loaded(&source).unwrap_err()).contains("did you mean `LTV`"), "{source}");
    }
    let used = format!("[traits]\nLTV = '1'\n{}", audience("LTV > 5"));
    assert!(flat(&loaded(&used).unwrap_err()).contains("did you mean `ltv`?"));
    let known = flat(&loaded("[destinations.d]\nkind = 'x'").unwrap_err());
    assert_eq!(known.matches("`secret`").count(), 1, "{known}");
    let several = "several at a time have names, for who takes one away: write_key = { new = \"…\", old = \"…\" }";
    check_error(
        "[sources.a]\nwrite_key = ['SECRET-1', 'SECRET-2']",
        "expected `write_key` as a string, or a table",
        several,
    );
}

#[test]
fn one_secret_opens_one_door() {
    let check = |access: &str, expected: &str| {
        let source = format!("[sources.a]\nwrite_key = {{ x = 'SECRET-1', y = 'SECRET-2' }}\n[access]\n{access}");
        let problems = flat(&loaded(&source).expect_err(access));
        assert!(problems.contains(expected) && !problems.contains("SECRET"), "{access}\n{problems}");
    };
    check("read_token = 'SECRET-2'", "a read token is the same as a write key");
    check("read_tokens = ['r', 'SECRET-1']", "a read token is the same as a write key");
    check("admin_token = 'SECRET-1'", "an admin token is the same as a write key");
    check(
        "read_token.a = 'r'\nread_token.b = 'SECRET-3'\nadmin_token = 'SECRET-3'",
        "a read token is the same as an admin token",
    );
    let apart = "[sources.a]\nwrite_key = 'a'\n[access]\nread_token = 'b'\nadmin_token = 'c'";
    assert!(loaded(apart).is_ok());
}

#[test]
fn settings_that_do_not_go_together_say_what_to_write() {
    let check = |source: &str, expected: &[&str]| {
        let problems = flat(&loaded(&format!("identity.key = 'k'\n{source}")).map(drop).expect_err(source));
        expected.iter().for_each(|expected| assert!(problems.contains(expected), "{source}\n{problems}"));
    };
    check("[clock]\npause_max = '1 s'", &["`pause_max` is shorter than `step_max`", "such as \"30 days\""]);
    check("[clock]\nstep_max = '50 s'\npause_max = '49 s'", &["`pause_max` is shorter than `step_max`"]);
    check("[cluster]\ntoken = 'fifteen-letters'", &["has fewer than 16 bytes", "openssl rand -hex 32"]);
    check(
        "[sources.web]\nwrite_key = 'k'\nbytes_per_second = '1 megabyte'",
        &["expected `bytes_per_second` as a number of bytes, 1 B at least, 4 GB at most", "such as '800 MB' or '2 GB'"],
    );
    check("[sources.web]\nwrite_key = 'k'\nbytes_per_second = 'off'", &["such as '800 MB' or '2 GB'"]);
    for (key, most) in
        [("event_names_max", 1_000_000), ("attribute_names_max", 1_000_000), ("identifier_types_max", 10_000)]
    {
        let source = |value: i64| format!("[sources.web]\nwrite_key = 'k'\n{key} = {value}");
        check(&source(most + 1), &[&format!("write {key} = {most}, the most that is possible, or leave it out")]);
        check(&source(0), &[&format!("write {key} = 1, the least that is possible, or leave it out")]);
        check(&source(-7), &[&format!("write {key} = 1, the least")]);
    }
    let source =
        "[sources.web]\nwrite_key = 'k'\nbytes_per_second = '1 MB'\nevent_names_max = 7\n[clock]\npause_max = '5 s'";
    let project = loaded(&format!("identity.key = 'k'\n{source}")).expect("it is right").project;
    let web = &project.sources[0];
    assert_eq!(web.kind.settings::<HttpSettings>().unwrap().bytes_per_second.map(|rate| rate.get()), Some(1_000_000));
    assert_eq!(
        (web.names.event_names_max, web.names.attribute_names_max, web.names.identifier_types_max),
        (7, 10_000, 100)
    );
}
