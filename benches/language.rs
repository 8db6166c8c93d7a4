//! What does an event cost with 10 and with 1,000 definitions that use all of the language of values?
//!
//! The definitions are the text of a project, of several dozen shapes that differ by constants: conditions over 654 aggregates (13 for each
//! of 50 names of events, and four over all events), over attributes, and over the clock. With `--shared 1` all aggregates are traits,
//! too, whatever the number of definitions, as in `audiences`; with `--shared 0` there are those only that a definition has.
//!
//! CPU time of the process in user mode, on one worker, JSON parsing not included: the same events for each number of definitions, in
//! turns, of which the medians count.
//!
//! ```text
//! cargo bench --bench language -- [--people N] [--events N] [--definitions FEW,MANY] [--shared 0] [--turns N] [--seed N] [--chunk N]
//! ```

mod cpu;
mod shop;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use cpu::EventCost;
use shop::{BenchArguments, Random};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Names of events; there are as many aggregates over each as [`AGGREGATES`] has.
const NAMES: u64 = 50;
/// Between events.
const GAP_MS: u64 = 20;

/// Aggregates over the events `E` of one name, and over those of the next one, `F`.
const AGGREGATES: [&str; 13] = [
    "sum('E', coalesce(properties.price, 0) * properties.quantity)",
    "distinct('E', date_trunc('day', timestamp, 'Europe/Berlin'))",
    "top('E', properties.category)",
    "counts('E', properties.category)['shoes']",
    "median('E', round(properties.price))",
    "percentile('E', properties.price, 0.9, within => '30 min')",
    "stddev('E', properties.price)",
    "count('E', within => '10 min')",
    "count('E', from => '20 min', to => '10 min')",
    "count('E', during => 'today', zone => 'Europe/Berlin', where => regexp_like(properties.coupon, '^(SPRING|SUMMER)'))",
    "last('E', timestamp)",
    "max('E', case properties.currency when 'USD' then properties.price * 0.9 else properties.price end)",
    "sum(('E', 'F'), properties.price, where => lower(context.locale) like 'de%', within => '20 min')",
];

/// Aggregates over all events.
const OF_ALL: [&str; 4] = [
    "count(*, within => '5 min')",
    "distinct(*, date_trunc('hour', timestamp))",
    "last(*, timestamp)",
    "top(*, coalesce(properties.category, 'none'))",
];

/// Conditions over aggregates of one name: `{0}` to `{12}` are those above, `N` and `M` numbers, of which `M` are small.
const OF_EVENTS: [&str; 26] = [
    "{0} >= N0",
    "coalesce({0}, 0) < N",
    "{1} >= 1 + M % 3",
    "{2} = 'shoes'",
    "{2} in ('hats', 'coats') and {3} < M",
    "{3} > M",
    "{4} between N and N + 20",
    "round({4} / 10) * 10 = N0 % 100",
    "{5} > N",
    "{5} > 1.5 * {4}",
    "coalesce({6}, 0) > N",
    "power({6}, 2) > N0 * 10",
    "{7} > M",
    "{7} > {8} + M",
    "{8} > M and {7} = 0",
    "greatest({7}, {8}) >= M",
    "{9} > M",
    "{10} < now() - interval 'N hours'",
    "now() - interval '1M min' <= {10}",
    "extract(hour from {10} at time zone 'Europe/Berlin') between 9 and 17",
    "{11} > N",
    "nullif({11}, {5}) is not null",
    "{12} > N",
    "case when {7} > M then {12} > N0 else {0} > N0 end",
    "mod({3}, 2 + M) = 1",
    "ln(1 + coalesce({0}, 0)) > M",
];

/// Conditions over aggregates of all events: `{0}` to `{3}` are those above.
const OF_ALL_EVENTS: [&str; 4] = ["{0} > M", "{1} >= M", "{2} < now() - interval 'N hours'", "{3} <> 'shoes'"];

/// Conditions over attributes and the person.
const OF_ATTRIBUTES: [&str; 18] = [
    "lower(city) = 'berlin'",
    "city ilike 'b%' and length(city) < 4 + M",
    "age_years(birthday) >= N",
    "age_years(birthday) between 18 and N + 18",
    "extract(month from birthday) = 1 + M % 12",
    "hash_bucket('salt-N', 100) < N",
    "regexp_like(plan, '^(pro|gold)', 'i')",
    "ends_with(lower(trim(plan)), 'd')",
    "case plan when 'gold' then age > N when 'pro' then age > 18 else age > 60 end",
    "coalesce(nickname, firstName, 'nobody') like 'a%'",
    "upper(substring(firstName, 1, 1)) || split_part(city, ' ', 1) >= 'AB'",
    "cast(score as number) > N",
    "to_time(signed_up, 's') < now() - interval 'N days'",
    "md5(lower(trim(city))) < '8'",
    "replace(plan, 'gold', 'pro') is distinct from 'pro'",
    "vip is not true and sqrt(age) > M",
    "greatest(age, cast(score as number), N) = N",
    "contains(city, 'er') and abs(age - N) < 10",
];

/// Conditions over the clock alone.
const OF_THE_CLOCK: [&str; 4] = [
    "extract(hour from now() at time zone 'Europe/Berlin') between M and M + 8",
    "extract(dow from now() at time zone 'America/Chicago') in (0, 6)",
    "now() >= '2026-01-01T00:0M:00Z'",
    "extract(month from birthday) = extract(month from now())",
];

fn main() {
    let arguments = BenchArguments::of_command_line();
    let people = arguments.number("people", 10_000);
    let events = arguments.number("events", 100_000);
    let seed = arguments.number("seed", 1);
    let at_a_time = arguments.number("chunk", 1_000) as usize;
    let shared = arguments.number("shared", 1) == 1;
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("events.jsonl");
    write_events(&path, seed, people, events);
    let numbers = arguments.numbers("definitions", &[10, 1_000]);
    let projects: Vec<String> = numbers.iter().map(|number| project(seed, *number, shared)).collect();
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); numbers.len()];
    let mut changed = vec![0; numbers.len()];
    for _ in 0..arguments.number("turns", 5) {
        for (place, project) in projects.iter().enumerate() {
            let EventCost { micros, changes } = cpu::measure(project, &folder, &path, at_a_time);
            costs[place].push(micros);
            changed[place] = changes;
        }
    }
    let first = median(&mut costs[0]);
    for (place, definitions) in numbers.iter().enumerate() {
        let micros = median(&mut costs[place]);
        let of = &costs[place];
        println!(
            "language: {definitions} definitions, {} of which look at the name of an event, {people} people, {events} events: {micros:.2} µs of \
             CPU an event ({:.2} to {:.2}), {:.2} times that of the first, {} changes of audiences",
            looking_at_a_name(&projects[place]),
            of[0],
            of[of.len() - 1],
            micros / first,
            changed[place],
        );
    }
}

/// The one in the middle; sorts them.
fn median(costs: &mut [f64]) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// All aggregates as traits, where they are shared, and so many audiences. Each has a condition over the events of a name, and another one: of
/// twenty, one over all events, eight over attributes, two over the clock, and nine over the same events.
fn project(seed: u64, definitions: u64, shared: bool) -> String {
    let mut random = Random::new(seed);
    let mut text = String::from(
        "name = \"bench\"\n[identity]\nkey = \"bench\"\n[sources.bench]\nwrite_key = \"bench\"\n[traits]\n",
    );
    if shared {
        for name in 0..NAMES {
            for (number, aggregate) in AGGREGATES.iter().enumerate() {
                _ = writeln!(text, "e{name}_{number} = \"{}\"", of_name(aggregate, name));
            }
        }
        for (number, aggregate) in OF_ALL.iter().enumerate() {
            _ = writeln!(text, "all_{number} = \"{aggregate}\"");
        }
    }
    for audience in 0..definitions {
        let name = random.below(NAMES);
        let of_events = condition(&mut random, &OF_EVENTS, &AGGREGATES.map(|aggregate| of_name(aggregate, name)));
        let other = match random.below(20) {
            0..1 => condition(&mut random, &OF_ALL_EVENTS, &OF_ALL.map(str::to_owned)),
            1..9 => condition(&mut random, &OF_ATTRIBUTES, &[]),
            9..11 => condition(&mut random, &OF_THE_CLOCK, &[]),
            _ => condition(&mut random, &OF_EVENTS, &AGGREGATES.map(|aggregate| of_name(aggregate, name))),
        };
        let how = ["and", "or", "and not"][random.below(3) as usize];
        _ = writeln!(text, "[audiences.a{audience}]\nwhen = \"({of_events}) {how} ({other})\"");
    }
    text
}

/// One of these, with constants by chance.
fn condition(random: &mut Random, shapes: &[&str], aggregates: &[String]) -> String {
    let mut condition = String::new();
    for character in shapes[random.below(shapes.len() as u64) as usize].chars() {
        // Words of the language in capitals there are none, nor are there names with these letters.
        _ = match character {
            'N' => write!(condition, "{}", 1 + random.below(99)),
            'M' => write!(condition, "{}", random.below(10)),
            other => write!(condition, "{other}"),
        };
    }
    aggregates.iter().enumerate().fold(condition, |text, (number, it)| text.replace(&format!("{{{number}}}"), it))
}

fn of_name(aggregate: &str, name: u64) -> String {
    aggregate.replace("'E'", &format!("'E{name}'")).replace("'F'", &format!("'E{}'", (name + 1) % NAMES))
}

/// How many definitions look at the events of a name, on average; all of them, too.
fn looking_at_a_name(project: &str) -> u64 {
    let names = 0..NAMES;
    let looks = |name: u64| {
        let name = format!("'E{name}'");
        project.lines().filter(|line| line.starts_with("when") && (line.contains(&name) || line.contains("(*"))).count()
            as u64
    };
    names.map(looks).sum::<u64>() / NAMES
}

/// Events of people by popularity, of names by chance; one in twenty tells who somebody is.
fn write_events(path: &Path, seed: u64, people: u64, events: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a new file can be created"));
    let mut random = Random::new(seed);
    for event in 0..events {
        let time = shop::timestamp(shop::START_MS + event * GAP_MS);
        let person = random.popular(people);
        let head =
            format!(r#""timestamp":"{time}","messageId":"m-{event}","userId":"u-{person}","anonymousId":"a-{person}""#);
        let context = r#""context":{"locale":"de-DE","page":{"path":"/shop","url":"https://shop.example/shop"}}"#;
        let mut of = |several: &[&'static str]| several[random.below(several.len() as u64) as usize];
        let line = if event.is_multiple_of(20) {
            let (city, plan, name) =
                (of(&["Berlin", "Rome", "New York", "Bern"]), of(&["gold", "Pro", "free"]), of(&["Ada", "Zoe", "Max"]));
            let vip = of(&["true", "false"]);
            let (year, month, age, score) =
                (1950 + random.below(60), 1 + random.below(12), random.below(80), random.below(100));
            let signed_up = shop::START_MS / 1_000 - random.below(10_000_000);
            format!(
                r#"{{"type":"identify",{head},{context},"traits":{{"city":"{city}","plan":"{plan}","firstName":"{name}","vip":{vip},"birthday":"{year}-{month:02}-15","age":{age},"score":"{score}","signed_up":{signed_up}}}}}"#
            )
        } else {
            let (category, currency) = (of(&["shoes", "hats", "coats", "books", "toys"]), of(&["EUR", "USD"]));
            let coupon = of(&["SPRING24", "SUMMER", "WINTER", "NONE"]);
            let (name, cents, quantity) = (random.below(NAMES), random.below(10_000), 1 + random.below(3));
            format!(
                r#"{{"type":"track","event":"E{name}",{head},{context},"properties":{{"price":{}.{:02},"quantity":{quantity},"category":"{category}","currency":"{currency}","coupon":"{coupon}","sku":"s-{cents}"}}}}"#,
                cents / 100,
                cents % 100
            )
        };
        writeln!(file, "{line}").expect("there is room for the events");
    }
    file.flush().expect("there is room for the events");
}
