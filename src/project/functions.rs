//! Functions over values: how they are written, and of what types their arguments and values are.

use dataflows::calendar::Zone;
use dataflows::expression::{Arithmetic, CalendarField, CalendarUnit, Function, TextRegex, TimeUnit};
use dataflows::model::ValueType;

use super::problem::{ProjectProblem, TextSpan};
use super::suggestion::{did_you_mean, listed};
use super::syntax::{FunctionCall, NodeKind, SyntaxNode};

/// How a function is called.
struct ValueFunction {
    name: &'static str,
    /// How many arguments it takes at least and at most.
    arguments: (usize, usize),
    /// A call of it, as an example.
    example: &'static str,
    /// What a call of it with so many arguments stands for.
    make: fn(Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem>,
}

/// Values to choose from: more than anybody writes by hand.
const CHOICES_MAX: usize = 100;

/// A function that takes its arguments as they are.
macro_rules! plain {
    ($name:literal, $arguments:expr, $example:literal, $function:ident) => {
        ValueFunction {
            name: $name,
            arguments: $arguments,
            example: $example,
            make: |arguments| Ok(NodeKind::Apply(Function::$function, arguments)),
        }
    };
}

/// All that are called by their names. `case`, `cast` and `extract` have forms of their own.
const FUNCTIONS: &[ValueFunction] = &[
    plain!("coalesce", (1, CHOICES_MAX), "coalesce(nickname, 'friend')", Coalesce),
    plain!("nullif", (2, 2), "nullif(city, '')", NullIf),
    plain!("greatest", (1, CHOICES_MAX), "greatest(a, b)", Greatest),
    plain!("least", (1, CHOICES_MAX), "least(a, b)", Least),
    ValueFunction { name: "to_time", arguments: (2, 2), example: "to_time(seconds, 's')", make: to_time },
    plain!("lower", (1, 1), "lower(city)", Lower),
    plain!("upper", (1, 1), "upper(city)", Upper),
    plain!("trim", (1, 1), "trim(city)", Trim),
    plain!("length", (1, 1), "length(city)", Length),
    plain!("substring", (2, 3), "substring(zip, 1, 2)", Substring),
    plain!("replace", (3, 3), "replace(phone, ' ', '')", Replace),
    plain!("split_part", (3, 3), "split_part(email, '@', 2)", SplitPart),
    plain!("starts_with", (2, 2), "starts_with(zip, '10')", StartsWith),
    plain!("ends_with", (2, 2), "ends_with(email, '.org')", EndsWith),
    plain!("contains", (2, 2), "contains(email, '@')", Contains),
    ValueFunction {
        name: "regexp_like",
        arguments: (2, 3),
        example: "regexp_like(zip, '^[0-9]{5}$')",
        make: regexp_like,
    },
    plain!("md5", (1, 1), "md5(lower(trim(email)))", Md5),
    plain!("sha256", (1, 1), "sha256(lower(trim(email)))", Sha256),
    plain!("abs", (1, 1), "abs(balance)", Absolute),
    plain!("round", (1, 2), "round(lifetime_value, 2)", Round),
    plain!("floor", (1, 1), "floor(lifetime_value)", Floor),
    plain!("ceil", (1, 1), "ceil(lifetime_value)", Ceiling),
    plain!("power", (2, 2), "power(a, 2)", Power),
    plain!("sqrt", (1, 1), "sqrt(a)", SquareRoot),
    plain!("ln", (1, 1), "ln(a)", NaturalLogarithm),
    ValueFunction { name: "mod", arguments: (2, 2), example: "mod(a, 10)", make: modulo },
    ValueFunction {
        name: "date_trunc",
        arguments: (2, 3),
        example: "date_trunc('day', timestamp, 'Europe/Berlin')",
        make: date_trunc,
    },
    ValueFunction { name: "age_years", arguments: (1, 2), example: "age_years(birthday)", make: age_years },
    ValueFunction { name: "any", arguments: (2, 2), example: "any(properties.tags, item = 'sale')", make: any },
];

/// Other names that standard SQL and PostgreSQL have for the same.
const SYNONYMS: [(&str, &str); 4] =
    [("ceiling", "ceil"), ("pow", "power"), ("char_length", "length"), ("substr", "substring")];

/// The names of all.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name).chain(["case", "cast", "extract"])
}

/// What a call stands for, where it is one of a function over values.
pub(super) fn apply(call: FunctionCall) -> Result<Result<NodeKind, FunctionCall>, ProjectProblem> {
    let name = SYNONYMS.iter().find(|(synonym, _)| *synonym == call.name).map_or(call.name.as_str(), |(_, name)| name);
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else { return Ok(Err(call)) };
    if let Some(named) = call.named.first() {
        let problem = ProjectProblem::at(named.place, format!("`{}` has no argument `{}`", call.name, named.name));
        return Err(problem.help(format!("`{}` takes no named arguments: {}", call.name, function.example)));
    }
    let (least, most) = function.arguments;
    let count = call.positional.len();
    if !(least..=most).contains(&count) {
        let place = call.positional.get(most).map_or(call.name_place, |surplus| surplus.place);
        let takes = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, CHOICES_MAX) => format!("{least} to {CHOICES_MAX} arguments"),
            (least, most) => format!("{least} or {most} arguments"),
        };
        let problem = ProjectProblem::at(place, format!("`{}` takes {takes}, not {count}", call.name));
        return Err(problem.help(format!("write {}", function.example)));
    }
    (function.make)(call.positional).map(Ok)
}

fn modulo(arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    let [a, b] = exactly(arguments);
    Ok(NodeKind::Arithmetic(Arithmetic::Remainder, Box::new(a), Box::new(b)))
}

fn any(arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    let [list, condition] = exactly(arguments);
    Ok(NodeKind::Any(Box::new(list), Box::new(condition)))
}

fn to_time(arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    let [of, unit] = exactly(arguments);
    let unit = match literal(&unit, "the unit", "'s' or 'ms'")?.as_str() {
        "s" => TimeUnit::Seconds,
        "ms" => TimeUnit::Milliseconds,
        other => {
            let problem = ProjectProblem::at(unit.place, format!("unknown unit of time `{other}`"));
            return Err(problem.help("write 's' for seconds or 'ms' for milliseconds"));
        }
    };
    Ok(NodeKind::Apply(Function::ToTime(unit), vec![of]))
}

fn regexp_like(mut arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    let flags = if arguments.len() == 3 { arguments.pop() } else { None };
    let [of, pattern] = exactly(arguments);
    let is_case_insensitive = match flags {
        None => false,
        Some(flags) => match literal(&flags, "the flag", "'i'")?.as_str() {
            "i" => true,
            "" | "c" => false,
            other => {
                let problem = ProjectProblem::at(flags.place, format!("unknown flag `{other}`"));
                return Err(problem.help("there is 'i': case does not count"));
            }
        },
    };
    let written = literal(&pattern, "the regular expression", "'^[0-9]{5}$'")?;
    let regex = TextRegex::new(&written, is_case_insensitive)
        .map_err(|wrong| ProjectProblem::at(pattern.place, format!("the regular expression is wrong: {wrong}")))
        .map_err(|problem| problem.help("`\\(` is a parenthesis itself; for a plain text write contains(x, 'text')"))?;
    Ok(NodeKind::Apply(Function::RegexpLike(regex), vec![of]))
}

fn date_trunc(mut arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    let zone = if arguments.len() == 3 { arguments.pop() } else { None };
    let [unit, of] = exactly(arguments);
    let written = match &unit.kind {
        // Some dialects have it without quotes.
        NodeKind::Name(name) => name.path.join("."),
        _ => literal(&unit, "the unit", "'day'")?,
    };
    let unit = one_of(&written, CalendarUnit::ALL, "unit of the calendar", unit.place)?;
    let (of, inner) = out_of_zone(of);
    let zone = match (zone, inner) {
        (Some(outer), Some(_)) => {
            let problem = ProjectProblem::at(outer.place, "the zone is given twice");
            return Err(problem.help("write date_trunc('day', timestamp, 'Europe/Berlin')"));
        }
        (Some(node), None) => zone_of(&node)?,
        (None, inner) => inner.unwrap_or_else(Zone::utc),
    };
    Ok(NodeKind::Apply(Function::Truncate(unit, zone), vec![of]))
}

fn age_years(mut arguments: Vec<SyntaxNode>) -> Result<NodeKind, ProjectProblem> {
    if let [of] = arguments.as_slice() {
        let now = FunctionCall::plain("now", of.place, Vec::new());
        arguments.push(SyntaxNode { place: of.place, kind: NodeKind::Call(now) });
    }
    Ok(NodeKind::Apply(Function::AgeYears, arguments))
}

/// What `extract` stands for, of a field that is written like this.
pub(super) fn extract(field: &str, field_place: TextSpan, of: SyntaxNode) -> Result<NodeKind, ProjectProblem> {
    let field = one_of(&field.to_lowercase(), CalendarField::ALL, "field of a time", field_place)?;
    let (of, zone) = out_of_zone(of);
    Ok(NodeKind::Apply(Function::Extract(field, zone.unwrap_or_else(Zone::utc)), vec![of]))
}

/// The time, and the zone that it is looked at in.
fn out_of_zone(node: SyntaxNode) -> (SyntaxNode, Option<Zone>) {
    match node.kind {
        NodeKind::AtTimeZone(inner, zone) => (*inner, Some(zone)),
        kind => (SyntaxNode { place: node.place, kind }, None),
    }
}

/// The zone of this name.
pub(super) fn zone_of(node: &SyntaxNode) -> Result<Zone, ProjectProblem> {
    let name = literal(node, "the name of a time zone", "'Europe/Berlin'")?;
    Zone::named(&name).ok_or_else(|| {
        let names = Zone::names();
        // A city is what people know of a zone.
        let written = name.rsplit('/').next().unwrap_or_default().replace('_', " ");
        let of_city = names.iter().find(|known| {
            known.rsplit_once('/').is_some_and(|(_, city)| city.replace('_', " ").eq_ignore_ascii_case(written.trim()))
        });
        let help = of_city
            .map(|zone| format!("did you mean `{zone}`?"))
            .or_else(|| did_you_mean(&name, names.iter().map(String::as_str)))
            .unwrap_or_else(|| "zones have names such as 'Europe/Berlin' or 'UTC'".to_owned());
        ProjectProblem::at(node.place, format!("unknown time zone `{name}`")).help(help)
    })
}

/// What a text in single quotes says.
fn literal(node: &SyntaxNode, what: &str, example: &str) -> Result<String, ProjectProblem> {
    match &node.kind {
        NodeKind::Text(text) => Ok(text.clone()),
        _ => {
            let problem = ProjectProblem::at(node.place, format!("expected {what} as a string in single quotes"));
            Err(problem.help(format!("write {example}")))
        }
    }
}

fn one_of<T: Copy>(written: &str, all: &[(&str, T)], what: &str, place: TextSpan) -> Result<T, ProjectProblem> {
    all.iter().find(|(name, _)| *name == written).map(|(_, one)| *one).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let singular = written.strip_suffix('s').filter(|singular| names.contains(singular));
        let help = singular
            .map(|singular| format!("write `{singular}`"))
            .or_else(|| did_you_mean(written, names.iter().copied()))
            .unwrap_or_else(|| format!("there are {}", listed(&names)));
        ProjectProblem::at(place, format!("unknown {what} `{written}`")).help(help)
    })
}

/// Arguments of which the number was checked.
fn exactly<const N: usize>(arguments: Vec<SyntaxNode>) -> [SyntaxNode; N] {
    arguments.try_into().unwrap_or_else(|_| unreachable!("the number of arguments is checked before"))
}

/// The types of the arguments and of the value; nothing where they depend on what the arguments are.
pub(super) fn signature(function: &Function) -> Option<(&'static [ValueType], ValueType)> {
    use ValueType::{Bool, Number, Text, Time};
    Some(match function {
        Function::Case
        | Function::CaseOf
        | Function::Coalesce
        | Function::NullIf
        | Function::Greatest
        | Function::Least
        | Function::IsDistinct
        | Function::Length
        | Function::Cast(_) => return None,
        Function::ToTime(_) => (&[Number], Time),
        Function::Lower | Function::Upper | Function::Trim | Function::Md5 | Function::Sha256 => (&[Text], Text),
        Function::Substring => (&[Text, Number, Number], Text),
        Function::Concatenate => (&[Text, Text], Text),
        Function::Replace => (&[Text, Text, Text], Text),
        Function::SplitPart => (&[Text, Text, Number], Text),
        Function::StartsWith | Function::EndsWith | Function::Contains => (&[Text, Text], Bool),
        Function::RegexpLike(_) => (&[Text], Bool),
        Function::Absolute
        | Function::Floor
        | Function::Ceiling
        | Function::SquareRoot
        | Function::NaturalLogarithm => (&[Number], Number),
        Function::AgeYears => (&[Time, Time], Number),
        Function::Round | Function::Power => (&[Number, Number], Number),
        Function::Shift(_) | Function::Truncate(..) => (&[Time], Time),
        Function::Extract(..) => (&[Time], Number),
    })
}
