//! Definitions that use every construct there is, over windows that histories can hit exactly.

use compact_str::CompactString;
use dataflows::definitions::{
    Audience, AudienceId, Blocked, Definitions, DestinationId, DestinationView, EvaluationStep, EventTerm, Field,
    FieldRoot, Forward, IdentityRules, ListedTrait, Measure, MeasureId, MeasureShape, PathStep, Period, PersonTerm,
    Reach, Trait, TraitId, Window,
};
use dataflows::expression::{Arithmetic, Comparison, Expression, Pattern};
use dataflows::model::{PointInTime, Value, ValueType};

use super::computed::{FIRST_COMPUTED, computed_audiences, computed_traits, measures_of_computed};
use super::expressions::{
    any, arithmetic, compare, field, is_missing, item, like, literal, measure, not, null, one_of,
};
use super::lists::{list_audiences, list_traits, measures_of_lists};
use super::sequences::{measures_of_sequences, sequence_audiences, sequence_traits};
use super::sessions::{measures_of_sessions, session_audiences, session_traits};

/// An expression over a person.
pub type OverPerson = Expression<PersonTerm>;

/// The names of the events that measures count.
pub const ORDERED: &str = "Order Completed";
/// See [`ORDERED`].
pub const VIEWED: &str = "Product Viewed";

/// The fields, in the order of their ids.
pub const TOTAL: usize = 0;
/// A text.
pub const CATEGORY: usize = 1;
/// A boolean.
pub const BETA: usize = 2;
/// Of any type.
pub const ANYTHING: usize = 3;
/// A time.
pub const SHIPPED: usize = 4;
/// A list.
pub const TAGS: usize = 5;
/// Each element of that list; a text.
pub const TAG: usize = 6;
/// How many products there are.
pub const PRODUCTS: usize = 7;
/// Of each product a text.
pub const SKU: usize = 8;
/// Of each product a number.
pub const PRICE: usize = 9;
/// Of each product something of any type.
pub const VARIANT: usize = 10;

/// The windows; the last one's grain is none of the usual ones, as a definition may say.
pub const WINDOWS: [Window; 5] = [
    Window { length_ms: 5, grain_ms: 1 },
    Window { length_ms: 1_000, grain_ms: 1 },
    Window { length_ms: 60_000, grain_ms: 10 },
    Window { length_ms: 3_600_000, grain_ms: 1_000 },
    Window { length_ms: 10, grain_ms: 7 },
];

/// The names of the traits, sorted: a trait's id is its place.
const TRAITS: [&str; 111] = [
    "absences_60s",
    "absent_at_the_end",
    "absent_of_category",
    "absent_since_1s",
    "any_5ms",
    "any_total",
    "anythings",
    "average_total",
    "beta_or_rich",
    "biggest_total",
    "books_1s",
    "both_1s",
    "cast_anything_60s",
    "categories",
    "categories_5ms",
    "categories_old",
    "city_hashed",
    "city_list",
    "city_tier",
    "city_trait",
    "city_twice",
    "city_with_orders",
    "days_ordered",
    "doubled",
    "dropped_10ms",
    "dropped_of_category",
    "even_orders",
    "events_1h",
    "first_anything",
    "first_category",
    "first_shipped_60s",
    "greatest_anything_60s",
    "hour_of_order",
    "item_deviation_60s",
    "item_first",
    "item_greatest_1s",
    "item_last_before",
    "item_least",
    "item_median_60s",
    "item_of_books_60s",
    "item_price_60s",
    "item_revenue_60s",
    "item_top_60s",
    "item_variants",
    "items_of_tags",
    "items_sold",
    "kind_of_buyer",
    "last_anything",
    "last_category_1s",
    "last_seen_order",
    "least_anything_1s",
    "least_number_10ms",
    "list_anythings",
    "list_categories_5ms",
    "list_variants",
    "never",
    "old_anything",
    "old_biggest",
    "orders",
    "orders_5ms",
    "orders_beta",
    "per_order",
    "ratios",
    "recent_anythings",
    "recent_items",
    "recent_skus_before",
    "revenue",
    "revenue_1h",
    "revenue_before",
    "rounded_1h",
    "rounded_revenue",
    "sequences_1ms",
    "sequences_60s",
    "sequences_last_1h",
    "sequences_last_5ms",
    "sequences_of_category",
    "sequences_of_three",
    "session_average_of_device",
    "session_categories",
    "session_distinct_5ms",
    "session_duration_20ms",
    "session_events_of_anonymous",
    "session_greatest_item",
    "session_items",
    "session_landing",
    "session_last_1ms",
    "session_least_20ms",
    "session_list_of_items",
    "session_revenue_5ms",
    "session_start_1s",
    "session_total_of_anonymous",
    "shipped_later",
    "silences",
    "smallest_total_60s",
    "spread",
    "tag_count",
    "tag_list",
    "tag_text",
    "top_anything",
    "top_category_1s",
    "top_category_2_1s",
    "total_90",
    "total_deviation",
    "total_median",
    "viewed_when_1s",
    "views_10ms",
    "views_1s",
    "views_before",
    "views_of_books",
    "was_lapsed",
    "week_of_order",
];

/// The names of the audiences, sorted: an audience's id is its place.
const AUDIENCES: [&str; 36] = [
    "anonymous_only",
    "berliners",
    "big_spenders",
    "booklovers",
    "busy",
    "buyers",
    "everyone",
    "just_now",
    "lapsed",
    "lists_of_anything",
    "nobody",
    "not_of_books",
    "oddly_named",
    "reachable",
    "recent_order",
    "recently_dear",
    "sequence_absent",
    "sequence_again",
    "sequence_bought",
    "sequence_dropped",
    "sequence_dropped_60s",
    "sequence_never",
    "sequence_silent",
    "session_1ms",
    "session_again",
    "session_known",
    "session_without_orders",
    "session_without_views",
    "spread_out",
    "surely_rich",
    "tag_of_city",
    "tag_of_items",
    "tagged",
    "tags_differ",
    "variant_of_books",
    "vip",
];

fn trait_id(name: &str) -> TraitId {
    TraitId::new(TRAITS.iter().position(|known| *known == name).expect("the trait is in the list"))
}

fn audience_id(name: &str) -> AudienceId {
    AudienceId::new(AUDIENCES.iter().position(|known| *known == name).expect("the audience is in the list"))
}

pub(super) fn the_trait(name: &str) -> OverPerson {
    Expression::Term(PersonTerm::Trait(trait_id(name)))
}

fn audience(name: &str) -> OverPerson {
    Expression::Term(PersonTerm::Audience(audience_id(name)))
}

pub(super) fn attribute(name: &str, kind: Option<ValueType>) -> OverPerson {
    Expression::Term(PersonTerm::Attribute(name.into(), kind))
}

fn consent(purpose: &str) -> OverPerson {
    Expression::Term(PersonTerm::Consent(purpose.into()))
}

fn has(kind: &str) -> OverPerson {
    Expression::Term(PersonTerm::Has(kind.into()))
}

pub(super) fn person(term: impl FnOnce(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    Expression::Term(term(MeasureId::new(measure)))
}

/// Sets of rules that histories are resolved by; [`definitions`] takes one of them.
pub fn identity_rules() -> Vec<IdentityRules> {
    let mut usual = IdentityRules::default();
    usual.blocked.push(Blocked::Pattern("email".into(), Pattern::new("%@internal.test")));
    // Two exclusive types, one of which is not listed by strength and so is never primary next to a listed one.
    let two_exclusive = IdentityRules { exclusive: vec!["user_id".into(), "loyalty".into()], ..usual.clone() };
    let none_exclusive = IdentityRules { exclusive: Vec::new(), ..usual.clone() };
    let devices_first = IdentityRules {
        strength: ["anonymous_id", "device_id", "user_id"].map(CompactString::from).to_vec(),
        exclusive: vec!["email".into()],
        blocked: Vec::new(),
        reach: Reach::default(),
    };
    // So near that nearly everything is at a limit.
    let near = |links_per_identifier_max, hops_max, followers_per_profile_max, identifiers_per_type_max| Reach {
        links_per_identifier_max,
        hops_max,
        followers_per_profile_max,
        identifiers_per_type_max,
    };
    let near_only = IdentityRules { reach: near(2, 2, 2, 1), ..usual.clone() };
    let near_and_none_exclusive = IdentityRules { reach: near(3, 1, 3, 2), ..none_exclusive.clone() };
    vec![usual, two_exclusive, none_exclusive, devices_first, near_only, near_and_none_exclusive]
}

/// Rich definitions over one of [`identity_rules`].
pub fn definitions(identity: IdentityRules) -> Definitions {
    let [ms_5, s_1, s_60, h_1, ms_10] = WINDOWS.map(Some);
    let total = || field(TOTAL);
    let category = || field(CATEGORY);
    let number = |value: f64| literal::<EventTerm>(value);
    let measures = vec![
        /* 0 */ measure(ORDERED, MeasureShape::Count, None),
        /* 1 */ measure(ORDERED, MeasureShape::Count, ms_5),
        /* 2 */ measure(VIEWED, MeasureShape::Count, s_1),
        /* 3 */ measure(VIEWED, MeasureShape::Count, ms_10),
        /* 4 */ measure(ORDERED, MeasureShape::Sum(total()), None),
        /* 5 */ measure(ORDERED, MeasureShape::Sum(total()), h_1),
        /* 6 */ measure(ORDERED, MeasureShape::Least(total()), s_60),
        /* 7 */ measure(ORDERED, MeasureShape::Greatest(total()), None),
        /* 8 */ measure(VIEWED, MeasureShape::Earliest(category()), None),
        /* 9 */ measure(VIEWED, MeasureShape::Latest(category()), s_1),
        /* 10 */ measure(VIEWED, MeasureShape::Distinct(category()), None),
        /* 11 */ measure(VIEWED, MeasureShape::Distinct(category()), ms_5),
        /* 12 */
        Measure {
            condition: Some(Expression::And(vec![
                field(BETA),
                not(one_of(category(), &["books", "shoes"])),
                compare(total(), Comparison::GreaterOrEqual, number(10.0)),
            ])),
            ..measure(ORDERED, MeasureShape::Count, s_60)
        },
        /* 13 */
        Measure {
            condition: Some(Expression::Or(vec![like(category(), "%oo%"), is_missing(total())])),
            ..measure(VIEWED, MeasureShape::Count, h_1)
        },
        /* 14 */ measure(ORDERED, MeasureShape::Latest(field(ANYTHING)), None),
        /* 15 */ measure(ORDERED, MeasureShape::Earliest(field(SHIPPED)), s_60),
        /* 16 */ measure(ORDERED, MeasureShape::Latest(Expression::Term(EventTerm::Timestamp)), None),
        /* 17 */
        Measure {
            // An event that never happens, by a condition on its time.
            condition: Some(compare(
                Expression::Term(EventTerm::Timestamp),
                Comparison::Less,
                literal(Value::Time(PointInTime::from_ms(0))),
            )),
            ..measure(ORDERED, MeasureShape::Sum(arithmetic(total(), Arithmetic::Multiply, number(2.0))), None)
        },
        /* 18 */
        Measure {
            condition: Some(compare(
                Expression::Term(EventTerm::Timestamp),
                Comparison::Greater,
                literal(Value::Time(PointInTime::from_ms(0))),
            )),
            ..measure("identify", MeasureShape::Count, s_60)
        },
        /* 19 */
        measure(
            ORDERED,
            MeasureShape::Sum(arithmetic(
                total(),
                Arithmetic::Divide,
                arithmetic(total(), Arithmetic::Subtract, number(10.0)),
            )),
            None,
        ),
        /* 20 */ measure(ORDERED, MeasureShape::Earliest(field(ANYTHING)), None),
        /* 21 */ measure(ORDERED, MeasureShape::Least(field(ANYTHING)), s_1),
        /* 22 */ measure(ORDERED, MeasureShape::Greatest(field(ANYTHING)), s_60),
        /* 23 */ measure(ORDERED, MeasureShape::Distinct(field(ANYTHING)), None),
        /* 24 */
        Measure { events: vec![ORDERED.into(), VIEWED.into()], ..measure("", MeasureShape::Count, s_1) },
        /* 25 */ Measure { events: Vec::new(), ..measure("", MeasureShape::Sum(total()), None) },
        /* 26 */ Measure { events: Vec::new(), ..measure("", MeasureShape::Count, ms_5) },
        /* 27 */ aged(measure(VIEWED, MeasureShape::Count, None), 2, Some(4)),
        /* 28 */ aged(measure(ORDERED, MeasureShape::Sum(total()), None), 1, Some(2)),
        /* 29 */ aged(measure(ORDERED, MeasureShape::Greatest(total()), None), 1, None),
        /* 30 */ aged(measure(VIEWED, MeasureShape::Distinct(category()), None), 4, None),
        /* 31 */ aged(measure(ORDERED, MeasureShape::Earliest(field(ANYTHING)), None), 4, Some(1)),
        /* 32 */ measure(ORDERED, MeasureShape::Tally(field(ANYTHING)), None),
        /* 33 */ measure(ORDERED, MeasureShape::Tally(total()), s_60),
        /* 34 */ measure(VIEWED, MeasureShape::Tally(category()), s_1),
    ];
    assert_eq!(measures.len(), FIRST_COMPUTED, "the computed ones follow");
    let measures =
        [measures, measures_of_computed(), measures_of_lists(), measures_of_sequences(), measures_of_sessions()]
            .concat();

    let orders = || person(PersonTerm::Count, 0);
    let n = |value: f64| literal::<PersonTerm>(value);
    let traits = vec![
        ("any_5ms", person(PersonTerm::Count, 26)),
        ("any_total", person(PersonTerm::Sum, 25)),
        ("anythings", person(PersonTerm::Distinct, 23)),
        ("average_total", person(PersonTerm::Average, 4)),
        (
            "beta_or_rich",
            Expression::Or(vec![
                compare(person(PersonTerm::Count, 12), Comparison::Greater, n(0.0)),
                compare(n(100.0), Comparison::Less, the_trait("revenue")),
            ]),
        ),
        ("biggest_total", person(PersonTerm::Sample, 7)),
        ("books_1s", person(|id| PersonTerm::CountOf(id, Value::text("books")), 34)),
        ("both_1s", person(PersonTerm::Count, 24)),
        ("categories", person(PersonTerm::Distinct, 10)),
        ("categories_5ms", person(PersonTerm::Distinct, 11)),
        ("categories_old", person(PersonTerm::Distinct, 30)),
        ("city_trait", attribute("city", Some(ValueType::Text))),
        ("city_twice", compare(the_trait("city_trait"), Comparison::Equal, attribute("city", None))),
        ("even_orders", compare(arithmetic(orders(), Arithmetic::Remainder, n(2.0)), Comparison::Equal, n(0.0))),
        ("events_1h", arithmetic(person(PersonTerm::Count, 13), Arithmetic::Add, person(PersonTerm::Count, 5))),
        ("first_anything", person(PersonTerm::Sample, 20)),
        ("first_category", person(PersonTerm::Sample, 8)),
        ("first_shipped_60s", person(PersonTerm::Sample, 15)),
        ("greatest_anything_60s", person(PersonTerm::Sample, 22)),
        ("last_anything", person(PersonTerm::Sample, 14)),
        ("last_category_1s", person(PersonTerm::Sample, 9)),
        ("last_seen_order", person(PersonTerm::Sample, 16)),
        ("least_anything_1s", person(PersonTerm::Sample, 21)),
        ("never", person(PersonTerm::Sum, 17)),
        ("old_anything", person(PersonTerm::Sample, 31)),
        ("old_biggest", person(PersonTerm::Sample, 29)),
        ("orders", orders()),
        ("orders_5ms", person(PersonTerm::Count, 1)),
        ("orders_beta", person(PersonTerm::Count, 12)),
        ("per_order", arithmetic(the_trait("revenue_1h"), Arithmetic::Divide, the_trait("orders"))),
        ("ratios", person(PersonTerm::Average, 19)),
        ("revenue", person(PersonTerm::Sum, 4)),
        ("revenue_1h", person(PersonTerm::Sum, 5)),
        ("revenue_before", person(PersonTerm::Sum, 28)),
        ("smallest_total_60s", person(PersonTerm::Sample, 6)),
        ("top_anything", person(|id| PersonTerm::Top(id, 0), 32)),
        ("top_category_1s", person(|id| PersonTerm::Top(id, 0), 34)),
        ("top_category_2_1s", person(|id| PersonTerm::Top(id, 1), 34)),
        ("total_90", person(|id| PersonTerm::Percentile(id, 900_000), 33)),
        ("total_deviation", person(PersonTerm::Deviation, 33)),
        ("total_median", person(|id| PersonTerm::Percentile(id, 500_000), 33)),
        ("views_10ms", person(PersonTerm::Count, 3)),
        ("views_1s", person(PersonTerm::Count, 2)),
        ("views_before", person(PersonTerm::Count, 27)),
        ("was_lapsed", audience("lapsed")),
    ];
    let traits = sorted([traits, computed_traits(), list_traits(), sequence_traits(), session_traits()].concat());

    let audiences = vec![
        ("anonymous_only", Expression::And(vec![has("anonymous_id"), not(has("user_id")), not(has("email"))])),
        ("berliners", compare(attribute("city", Some(ValueType::Text)), Comparison::Equal, literal("Berlin"))),
        (
            "big_spenders",
            Expression::And(vec![
                compare(the_trait("revenue"), Comparison::GreaterOrEqual, n(20.0)),
                compare(the_trait("average_total"), Comparison::Less, n(1e9)),
            ]),
        ),
        ("booklovers", one_of(the_trait("last_category_1s"), &["books", "100% wool"])),
        (
            "busy",
            compare(
                arithmetic(person(PersonTerm::Count, 18), Arithmetic::Add, the_trait("views_1s")),
                Comparison::GreaterOrEqual,
                n(2.0),
            ),
        ),
        ("buyers", compare(orders(), Comparison::Greater, n(0.0))),
        ("everyone", Expression::And(Vec::new())),
        (
            "just_now",
            Expression::Or(vec![
                compare(the_trait("orders_5ms"), Comparison::Greater, n(0.0)),
                compare(the_trait("views_10ms"), Comparison::Greater, n(0.0)),
            ]),
        ),
        ("lapsed", Expression::And(vec![audience("buyers"), not(audience("recent_order"))])),
        (
            "nobody",
            Expression::Or(vec![
                compare(the_trait("never"), Comparison::Equal, null()),
                not(null()),
                Expression::Or(Vec::new()),
            ]),
        ),
        (
            "oddly_named",
            Expression::Or(vec![
                like(attribute("city", None), "_%_"),
                is_missing(attribute("plan", Some(ValueType::Number))),
            ]),
        ),
        ("reachable", Expression::And(vec![has("email"), consent("marketing"), not(consent("never asked"))])),
        ("recent_order", compare(the_trait("revenue_1h"), Comparison::NotEqual, n(0.0))),
        (
            "vip",
            Expression::And(vec![
                audience("big_spenders"),
                Expression::Or(vec![audience("berliners"), audience("reachable"), the_trait("beta_or_rich")]),
            ]),
        ),
    ];
    let audiences =
        sorted([audiences, computed_audiences(), list_audiences(), sequence_audiences(), session_audiences()].concat());

    let mut definitions = Definitions {
        triggers: Vec::new(),
        identity,
        fields: vec![
            event_field("total", Some(ValueType::Number)),
            event_field("category", Some(ValueType::Text)),
            event_field("beta", Some(ValueType::Bool)),
            event_field("anything", None),
            event_field("shipped", Some(ValueType::Time)),
            event_field("tags", Some(ValueType::List)),
            array_field(&["tags".into(), PathStep::Each], Some(ValueType::Text)),
            array_field(&["products".into(), PathStep::Count], Some(ValueType::Number)),
            array_field(&["products".into(), PathStep::Each, "sku".into()], Some(ValueType::Text)),
            array_field(&["products".into(), PathStep::Each, "price".into()], Some(ValueType::Number)),
            array_field(&["products".into(), PathStep::Each, "variant".into()], None),
        ],
        measures,
        traits: traits.into_iter().map(|(name, expression)| Trait { name: name.into(), expression }).collect(),
        audiences: audiences.into_iter().map(|(name, condition)| Audience { name: name.into(), condition }).collect(),
        order: Vec::new(),
        destinations: vec![
            DestinationView {
                name: "mailer".into(),
                audiences: vec![audience_id("lapsed"), audience_id("vip"), audience_id("buyers")],
                identifiers: vec!["email".into(), "user_id".into()],
                traits: vec![
                    ListedTrait::Trait(trait_id("revenue")),
                    ListedTrait::Attribute("city".into()),
                    ListedTrait::Trait(trait_id("last_category_1s")),
                ],
                requires_consent: Some("marketing".into()),
            },
            DestinationView {
                name: "warehouse".into(),
                audiences: vec![audience_id("anonymous_only"), audience_id("everyone"), audience_id("just_now")],
                identifiers: vec!["anonymous_id".into(), "device_id".into(), "loyalty".into()],
                traits: vec![
                    ListedTrait::Trait(trait_id("orders")),
                    ListedTrait::Attribute("plan".into()),
                    ListedTrait::Attribute("tags".into()),
                    ListedTrait::Trait(trait_id("recent_items")),
                ],
                requires_consent: None,
            },
        ],
        forwards: forwards(),
        clock_spread_ms: 0,
    };
    definitions.order = order(&definitions);
    definitions
}

/// Sorted by name.
fn sorted<T>(mut named: Vec<(&str, T)>) -> Vec<(&str, T)> {
    named.sort_by_key(|(name, _)| *name);
    named
}

/// Orders and logins for the mailer, where there is consent; orders and views for the warehouse, with what windows say, and all events
/// without a total, or with a certain tag.
fn forwards() -> Vec<Forward> {
    vec![
        Forward {
            triggers: Vec::new(),
            destination: DestinationId::new(0),
            events: vec![ORDERED.into(), "identify".into()],
            condition: Some(Expression::Or(vec![
                is_missing(field(TOTAL)),
                compare(field(TOTAL), Comparison::GreaterOrEqual, literal(10.0)),
            ])),
            identifiers: vec!["email".into(), "user_id".into()],
            traits: vec![ListedTrait::Trait(trait_id("revenue")), ListedTrait::Attribute("city".into())],
            consent: vec!["marketing".into()],
            requires_consent: Some("marketing".into()),
        },
        Forward {
            triggers: Vec::new(),
            destination: DestinationId::new(1),
            events: vec![ORDERED.into(), VIEWED.into()],
            condition: None,
            identifiers: vec!["anonymous_id".into(), "device_id".into(), "cookie".into()],
            traits: ["orders_5ms", "views_10ms", "was_lapsed"].map(|name| ListedTrait::Trait(trait_id(name))).to_vec(),
            consent: vec!["never asked".into(), "marketing".into()],
            requires_consent: None,
        },
        Forward {
            triggers: Vec::new(),
            destination: DestinationId::new(1),
            events: Vec::new(),
            condition: Some(Expression::Or(vec![
                is_missing(field(TOTAL)),
                any([field(TAG)], compare(item(0, ValueType::Text), Comparison::Equal, literal("books"))),
            ])),
            identifiers: vec!["email".into()],
            traits: vec![ListedTrait::Trait(trait_id("tag_list"))],
            consent: Vec::new(),
            requires_consent: None,
        },
    ]
}

fn event_field(key: &str, kind: Option<ValueType>) -> Field {
    array_field(&[key.into()], kind)
}

fn array_field(path: &[PathStep], kind: Option<ValueType>) -> Field {
    Field { root: FieldRoot::Properties, path: path.to_vec(), kind }
}

/// The same measure over the events that are as old as one window is long and, where there is another one, not yet as old as that.
pub(super) fn aged(measure: Measure, to: usize, from: Option<usize>) -> Measure {
    let period = Period::Aged { to: WINDOWS[to], from: from.map(|from| WINDOWS[from]) };
    Measure { within: Some(period), ..measure }
}

/// Every trait and audience once, each after what it refers to.
pub fn order(definitions: &Definitions) -> Vec<EvaluationStep> {
    fn visit(definitions: &Definitions, step: EvaluationStep, order: &mut Vec<EvaluationStep>) {
        if order.contains(&step) {
            return;
        }
        let expression = match step {
            EvaluationStep::Trait(id) => &definitions.traits[id.index()].expression,
            EvaluationStep::Audience(id) => &definitions.audiences[id.index()].condition,
        };
        expression.for_each_term(&mut |term| match term {
            PersonTerm::Trait(id) => visit(definitions, EvaluationStep::Trait(*id), order),
            PersonTerm::Audience(id) => visit(definitions, EvaluationStep::Audience(*id), order),
            _ => {}
        });
        order.push(step);
    }
    let mut order = Vec::new();
    for index in 0..definitions.audiences.len() {
        visit(definitions, EvaluationStep::Audience(AudienceId::new(index)), &mut order);
    }
    for index in 0..definitions.traits.len() {
        visit(definitions, EvaluationStep::Trait(TraitId::new(index)), &mut order);
    }
    order
}

#[test]
fn names_stand_where_their_ids_say() {
    let definitions = definitions(IdentityRules::default());
    let traits: Vec<&str> = definitions.traits.iter().map(|one| one.name.as_str()).collect();
    let audiences: Vec<&str> = definitions.audiences.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((&traits[..], &audiences[..]), (&TRAITS[..], &AUDIENCES[..]));
    assert!(traits.is_sorted() && audiences.is_sorted());
    assert_eq!(definitions.order.len(), TRAITS.len() + AUDIENCES.len());
    for window in WINDOWS.iter().filter(|window| window.grain_ms != 7) {
        assert_eq!(Window::new(window.length_ms), *window, "grains are those of docs/concepts/windows.md");
    }
}
