//! Values on which functions part: those at the edges of types, texts, calendars and clocks.

use dataflows::calendar::Zone;
use dataflows::model::{Number, PointInTime, Value};
use proptest::prelude::*;
use proptest::sample::select;

use super::texts::{NUMBERS_WRITTEN, TEXTS, TIMES_WRITTEN};

/// Numbers at the edges of what is exact.
const NUMBERS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.1,
    1.005,
    2.675,
    2.345,
    -1.005,
    0.0005,
    0.0001,
    0.00005,
    1e-7,
    -1e-7,
    5e-324,
    12.5,
    49.0,
    100.0,
    149.5,
    1e15,
    123_456_789.987_654_32,
    1e20,
    2e19,
    -1e19,
    1e22,
    1e23,
    1e300,
    -1e300,
    f64::MAX,
    f64::MIN_POSITIVE,
    1_700_000_000.5,
    1_769_860_800_000.0,
    1e11,
    1e14,
    1e17,
    -62_167_219_200.0,
    253_402_300_799.999,
    253_402_300_800.0,
    0.3,
    15.0,
    -15.0,
    16.0,
    4_503_599_627_370_495.5,
    9_007_199_254_740_994.0,
];

/// Whole numbers between floats, and their neighbours.
const INTEGERS: &[i128] = &[
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    -(1 << 53) - 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    -(1 << 63),
    -(1 << 63) + 1,
    (1 << 64) - 1,
    (1 << 64) - 2,
    12_345_678_901_234_567_890,
];

/// Zones, with moments at which their clocks are set, in seconds: by one hour, by half of one, at midnight, from midnight, one minute
/// after it, by a day, and by odd minutes and seconds.
const ZONES: &[(&str, &[i64])] = &[
    ("UTC", &[0, 1_709_164_800, 951_782_400]),
    ("Europe/Berlin", &[1_774_746_000, 1_792_890_000, -2_422_054_408, 323_830_800]),
    ("America/New_York", &[1_772_953_200, 1_793_512_800]),
    ("Australia/Lord_Howe", &[1_775_314_800, 1_791_041_400]),
    ("America/Sao_Paulo", &[1_541_300_400, 1_518_919_200]),
    ("America/Havana", &[1_772_946_000, 1_793_509_200]),
    ("Pacific/Apia", &[1_325_239_200, -2_445_424_384]),
    ("Pacific/Kiritimati", &[788_868_000, 788_918_400]),
    ("Asia/Kathmandu", &[504_901_800]),
    ("Africa/Monrovia", &[63_593_070]),
    ("America/St_Johns", &[544_591_860, 562_126_260, 576_041_460, 594_180_060]),
    ("Africa/Cairo", &[1_776_981_600, 1_793_307_600]),
    ("Asia/Beirut", &[1_774_735_200, 1_792_875_600]),
    ("Asia/Manila", &[-3_944_621_033, -3_944_678_400]),
    ("America/Juneau", &[-3_225_223_727, -3_225_309_727]),
    ("Antarctica/Troll", &[1_774_746_000, 1_792_890_000]),
    ("Europe/Amsterdam", &[-1_693_700_372, -1_025_740_772]),
    ("Africa/Casablanca", &[1_771_120_800, 1_774_144_800]),
];

/// Moments at the edges of calendars, in seconds: the first and the last year, leap days, and turns of years within weeks.
const MOMENTS: &[i64] = &[
    -62_167_219_200,
    -62_162_035_200,
    -62_135_596_800,
    -62_135_596_801,
    253_402_300_799,
    253_402_300_740,
    253_402_214_400,
    253_397_116_800,
    -1,
    -86_400,
    -2_203_891_200,
    951_782_400,
    1_609_459_200,
    1_609_631_999,
    1_767_225_599,
    1_735_689_600,
];

/// A text; now and then one that is as long as texts may be.
pub fn text() -> impl Strategy<Value = Value> {
    const LONG: [(char, usize); 6] =
        [('x', 65_536), ('x', 65_535), ('A', 65_537), ('ß', 32_768), ('İ', 32_768), ('ΐ', 30_000)];
    let long = select(&LONG[..]).prop_map(|(one, count)| std::iter::repeat_n(one, count).collect::<String>());
    prop_oneof![
        900 => select(TEXTS).prop_map(Value::text),
        300 => select(NUMBERS_WRITTEN).prop_map(Value::text),
        200 => select(TIMES_WRITTEN).prop_map(Value::text),
        100 => prop::collection::vec(select(TEXTS), 0..4).prop_map(|texts| Value::text(&texts.concat())),
        50 => time().prop_map(|time| Value::text(&time.to_string())),
        2 => long.prop_map(|text| Value::text(&text)),
    ]
}

/// A text that is a time, or nearly.
pub fn time_written() -> impl Strategy<Value = Value> {
    select(TIMES_WRITTEN).prop_map(Value::text)
}

/// A text that is a number or a boolean, or nearly.
pub fn number_written() -> impl Strategy<Value = Value> {
    select(NUMBERS_WRITTEN).prop_map(Value::text)
}

/// A number.
pub fn number() -> impl Strategy<Value = Value> {
    let float = |float: f64| Value::number(float).expect("it is finite");
    prop_oneof![
        6 => select(NUMBERS).prop_map(float),
        2 => select(INTEGERS).prop_map(|whole| Value::Number(Number::of_integer(whole).expect("it has 64 bits"))),
        2 => (-100_000..100_000i32).prop_map(move |thousandths| float(f64::from(thousandths) / 1_000.0)),
        1 => (any::<i64>(), -320..300i32).prop_filter_map("it is not finite", |(digits, exponent)| {
            format!("{digits}e{exponent}").parse().ok().and_then(Value::number)
        }),
    ]
}

/// A small whole number.
pub fn small() -> impl Strategy<Value = Value> {
    (-18..=18i32).prop_map(|small| Value::number(small.into()).expect("it is finite"))
}

/// A value of any type, or none; few of the values that there are, so that the same are met again.
fn element() -> impl Strategy<Value = Option<Value>> {
    let usual = ["a", "x", "", "books", "12.50", "true", "2026-01-31", "naïve", "\u{7f}\u{1}\\\"\u{2028}\n"];
    prop_oneof![
        6 => select(usual.to_vec()).prop_map(|text| Some(Value::text(text))),
        2 => text().prop_map(Some),
        3 => small().prop_map(Some),
        2 => number().prop_map(Some),
        3 => Just(None),
        2 => any::<bool>().prop_map(|truth| Some(Value::Bool(truth))),
        2 => time().prop_map(|time| Some(Value::Time(time))),
        1 => json().prop_map(Some),
    ]
}

/// An object, or an array within an array.
pub fn json() -> impl Strategy<Value = Value> {
    let texts = [r#"{"sku":"a","price":1.50}"#, "{}", "[]", r#"[1,"a",null,[true]]"#];
    select(texts.to_vec()).prop_map(|text| Value::Json(text.into()))
}

/// A list; now and then one of lists.
pub fn list() -> impl Strategy<Value = Value> {
    let flat = || prop::collection::vec(element(), 0..5).prop_map(|elements| Value::List(elements.into()));
    let nested = prop::collection::vec(prop::option::weighted(0.9, flat()), 0..4);
    prop_oneof![6 => flat(), 1 => nested.prop_map(|elements| Value::List(elements.into()))]
}

/// An array that is there as two columns.
pub fn columns() -> impl Strategy<Value = [Value; 2]> {
    prop::collection::vec((element(), element()), 0..5).prop_map(|rows| {
        let (first, second): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        [first, second].map(|column| Value::List(column.into()))
    })
}

/// A time near one at which something happens, or any.
pub fn time() -> impl Strategy<Value = PointInTime> {
    const FIRST: i64 = -62_167_219_200_000;
    const LAST: i64 = 253_402_300_799_999;
    let moments: Vec<i64> =
        ZONES.iter().flat_map(|(_, moments)| *moments).chain(MOMENTS).map(|second| second * 1_000).collect();
    let near = prop_oneof![
        3 => -1..=1i64,
        3 => (-4..=4i64).prop_map(|halves| halves * 1_800_000),
        3 => (-50..=50i64, -1..=1i64).prop_map(|(hours, ms)| hours * 3_600_000 + ms),
        2 => -200_000_000..200_000_000i64,
    ];
    prop_oneof![
        8 => (select(moments), near).prop_map(|(moment, by)| moment + by),
        1 => -5_400_000_000_000..4_200_000_000_000i64,
        1 => FIRST..=LAST,
    ]
    .prop_map(|ms| PointInTime::from_ms(ms.clamp(FIRST, LAST)))
}

/// A zone: mostly one of those with such times.
pub fn zone() -> impl Strategy<Value = Zone> {
    let usual: Vec<String> = ZONES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let named = |name: String| Zone::named(&name).expect("there is such a zone");
    prop_oneof![9 => select(usual).prop_map(named), 1 => select(Zone::names()).prop_map(named)]
}

/// A zone and a time near one at which its clocks are set.
pub fn time_in_zone() -> impl Strategy<Value = (Zone, PointInTime)> {
    let times: Vec<(&str, i64)> =
        ZONES.iter().flat_map(|(name, seconds)| seconds.iter().map(|second| (*name, *second))).collect();
    (select(times), -172_800_000..172_800_000i64, -2..=2i64, any::<bool>()).prop_map(
        |((name, second), far, near, is_near)| {
            let by = if is_near { far / 1_800_000 * 1_800_000 + near } else { far };
            (Zone::named(name).expect("there is such a zone"), PointInTime::from_ms(second * 1_000 + by))
        },
    )
}
