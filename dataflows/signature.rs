//! What definitions and the rules of identity *mean*, as a text in which nothing depends on ids or on how the code names things.
//!
//! Checkpoints carry those of measures: facts that were gathered under one of them can be used under the same one, whatever
//! else has changed in the project. The catalogue tells by the others whether a definition is still what it was. They name
//! what they refer to, and do not say what that means: a trait that changes changes no audience that reads it. Of triggers they do: what fires
//! since a trait is another one would not have fired before.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;

use compact_str::CompactString;

use crate::definitions::{
    Audience, AudienceId, Blocked, Definitions, DestinationId, DestinationView, EventFilter, EventTerm, Field,
    FieldRoot, Forward, HashBucket, IdentityRules, ListedTrait, Measure, MeasureId, MeasureShape, Occasion, PathStep,
    Period, PersonTerm, RunTerm, RunningTerm, Sequence, SequenceEnd, SequenceStep, Trait, Trigger, TriggerRoutes,
    Window,
};
use crate::expression::{Comparison, Expression};
use crate::model::{Value, ValueType};

impl Measure {
    /// What the measure means among these definitions, which it belongs to.
    ///
    /// ```
    /// use dataflows::definitions::{Definitions, Measure, MeasureShape, Period, Window};
    /// let within = Some(Period::Within(Window { length_ms: 3_600_000, grain_ms: 1_000 }));
    /// let events = vec!["Seen".into()];
    /// let measure = Measure { events, each: None, condition: None, shape: MeasureShape::Count, within, ended: Vec::new() };
    /// assert_eq!(measure.signature(&Definitions::default()), r#"count "Seen" within 3600000 ms by 1000 ms"#);
    /// ```
    pub fn signature(&self, definitions: &Definitions) -> String {
        let of = |name: &str, expression| format!("{name} {}", of_event(expression, &definitions.fields));
        let mut signature = match &self.shape {
            MeasureShape::Count => "count".to_owned(),
            MeasureShape::Sum(expression) => of("sum", expression),
            MeasureShape::Least(expression) => of("least", expression),
            MeasureShape::Greatest(expression) => of("greatest", expression),
            MeasureShape::Earliest(expression) => of("earliest", expression),
            MeasureShape::Latest(expression) => of("latest", expression),
            MeasureShape::Distinct(expression) => of("distinct", expression),
            MeasureShape::Tally(expression) => of("tally", expression),
            MeasureShape::Recent(expression, most) => of(&format!("recent {most}"), expression),
            MeasureShape::Sequence(sequence) => of_sequence(sequence, definitions),
            MeasureShape::Events(values) => {
                let values: Vec<String> = values.iter().map(|value| of_event(value, &definitions.fields)).collect();
                format!("events with ({})", values.join(", "))
            }
            MeasureShape::Session(session) => {
                let values: Vec<String> = session.values.iter().map(|value| value.signature(definitions)).collect();
                let per = session.per.as_ref().map_or_else(String::new, |per| format!(" per {per:?}"));
                format!("session with {} ms{per} of ({})", session.gap_ms, values.join(", "))
            }
        };
        _ = match self.events.as_slice() {
            [] => write!(signature, " *"),
            [event] => write!(signature, " {event:?}"),
            several => write!(signature, " {several:?}"),
        };
        if let Some(rows) = &self.each {
            let columns = rows.columns.iter().map(|id| field(&definitions.fields[id.index()])).collect::<Vec<_>>();
            _ = write!(signature, " each {} [{}]", field(&definitions.fields[rows.count.index()]), columns.join(" "));
        }
        if let Some(condition) = &self.condition {
            _ = write!(signature, " where {}", of_event(condition, &definitions.fields));
        }
        let age = |window: &Window| format!("{} ms by {} ms", window.length_ms, window.grain_ms);
        _ = match &self.within {
            None => Ok(()),
            Some(Period::Within(window)) => write!(signature, " within {}", age(window)),
            Some(Period::During(span, zone)) => write!(signature, " during {} in {:?}", span.name(), zone.name()),
            Some(Period::UntilDue { after_ms }) => write!(signature, " until {after_ms} ms after it"),
            Some(Period::Aged { to, from: None }) => write!(signature, " to {}", age(to)),
            Some(Period::Aged { to, from: Some(from) }) => write!(signature, " from {} to {}", age(from), age(to)),
        };
        for ended in &self.ended {
            let session = definitions.measures[ended.session.index()].signature(definitions);
            _ = write!(signature, " {:?} of ({session})", ended.name);
        }
        signature
    }
}

/// What a sequence means among these definitions, but for its window.
fn of_sequence(sequence: &Sequence, definitions: &Definitions) -> String {
    let of = |expression: &Expression<EventTerm>| of_event(expression, &definitions.fields);
    let filter = |filter: &EventFilter| {
        let condition =
            filter.condition.as_ref().map_or_else(String::new, |condition| format!(" where {}", of(condition)));
        format!("{:?}{condition}", filter.events)
    };
    let step = |step: &SequenceStep| {
        let within = step.within_ms.map_or_else(String::new, |ms| format!(" after {ms} ms"));
        format!("{} of {}{within}", step.times, filter(&step.takes))
    };
    let steps = sequence.steps.iter().map(step).collect::<Vec<_>>().join(", ");
    let same = sequence.same.as_ref().map_or_else(String::new, |same| format!(" same {}", of(same)));
    let end = match &sequence.end {
        SequenceEnd::Match => String::new(),
        SequenceEnd::Absent(filter_of, ms) => format!(" absent {} for {ms} ms", filter(filter_of)),
        SequenceEnd::Dropped(next, times, ms) => format!(" dropped before {times} of {} for {ms} ms", filter(next)),
    };
    format!("sequence ({steps}){same}{end}")
}

impl Trait {
    /// What the trait means among these definitions, which it belongs to.
    pub fn signature(&self, definitions: &Definitions) -> String {
        of_person(&self.expression, definitions)
    }
}

impl Audience {
    /// What the audience means among these definitions, which it belongs to.
    ///
    /// ```
    /// use dataflows::definitions::{Audience, Definitions, PersonTerm};
    /// use dataflows::expression::Expression;
    /// let condition = Expression::Not(Box::new(Expression::Term(PersonTerm::Consent("marketing".into()))));
    /// let audience = Audience { name: "silent".into(), condition };
    /// assert_eq!(audience.signature(&Definitions::default()), r#"(not consent "marketing")"#);
    /// ```
    pub fn signature(&self, definitions: &Definitions) -> String {
        of_person(&self.condition, definitions)
    }
}

impl Trigger {
    /// What the trigger means among these definitions, which it belongs to.
    pub fn signature(&self, definitions: &Definitions) -> String {
        let measure = |id: MeasureId| definitions.measures[id.index()].signature(definitions);
        let on = match &self.on {
            Occasion::Event(id) | Occasion::SessionEnd(id) | Occasion::Completion(id) => measure(*id),
            Occasion::Schedule(schedule, id) => {
                let audience = &definitions.audiences[id.index()].name;
                format!("{:?} in {:?} for audience {audience:?}", schedule.pattern(), schedule.zone().name())
            }
            // What an audience becomes since it means something else is no entry.
            Occasion::Entered(id) => format!("entering {}", crossed(*id, definitions)),
            Occasion::Left(id) => format!("leaving {}", crossed(*id, definitions)),
        };
        let of = |expression: &Option<Expression<PersonTerm>>| match expression {
            None => "nothing".to_owned(),
            Some(expression) => of_person(expression, definitions),
        };
        let destination = |id: &DestinationId| definitions.destinations[id.index()].name.clone();
        let routes: Vec<String> = match &self.routes {
            TriggerRoutes::All(all) => all.iter().map(|id| format!("{:?}", destination(id))).collect(),
            TriggerRoutes::First(routes) => {
                routes.iter().map(|(condition, to)| format!("{:?} if {}", destination(to), of(condition))).collect()
            }
        };
        let payload: Vec<String> =
            self.payload.iter().map(|(name, value)| format!("{name:?} {}", of_person(value, definitions))).collect();
        let at_most = self
            .at_most
            .map_or_else(String::new, |limit| format!("; at most {} in {} ms", limit.count, limit.period_ms));
        let mut identifiers = self.identifiers.clone();
        identifiers.sort_unstable();
        let given = given(self.expressions(), definitions);
        format!(
            "{given}people by {}; on {on} and {} ms; when {}; unless {}; requires {:?}{at_most}; to [{}]; payload [{}]; identifiers {identifiers:?}",
            // What happens to somebody since people are others did not happen then.
            definitions.identity.signature(),
            self.wait_ms,
            of(&self.when),
            of(&self.unless),
            self.requires_consent,
            routes.join(", "),
            payload.join(", "),
        )
    }
}

/// The audience that is entered or left, with what it hangs on.
fn crossed(id: AudienceId, definitions: &Definitions) -> String {
    let audience = &definitions.audiences[id.index()];
    let given = given([&audience.condition], definitions);
    format!("{:?} as {given}{}", audience.name, audience.signature(definitions))
}

/// What the traits and audiences mean that expressions refer to, and those that these refer to.
fn given<'e>(
    expressions: impl IntoIterator<Item = &'e Expression<PersonTerm>>,
    definitions: &'e Definitions,
) -> String {
    let mut open: Vec<&Expression<PersonTerm>> = expressions.into_iter().collect();
    let mut meanings: BTreeMap<String, String> = BTreeMap::new();
    while let Some(expression) = open.pop() {
        expression.for_each_term(&mut |term| {
            let (name, refers_to) = match term {
                PersonTerm::Trait(id) => {
                    let one = &definitions.traits[id.index()];
                    (format!("trait {:?}", one.name), &one.expression)
                }
                PersonTerm::Audience(id) => {
                    let one = &definitions.audiences[id.index()];
                    (format!("audience {:?}", one.name), &one.condition)
                }
                _ => return,
            };
            if let Entry::Vacant(meaning) = meanings.entry(name) {
                meaning.insert(of_person(refers_to, definitions));
                open.push(refers_to);
            }
        });
    }
    meanings.into_iter().fold(String::new(), |given, (name, meaning)| format!("{given}with {name} as {meaning}; "))
}

impl DestinationView {
    /// What the destination is to hold, among these definitions, which it belongs to.
    pub fn signature(&self, definitions: &Definitions) -> String {
        let mut audiences: Vec<&str> =
            self.audiences.iter().map(|id| &*definitions.audiences[id.index()].name).collect();
        audiences.sort_unstable();
        let purpose = &self.requires_consent;
        format!("audiences {audiences:?}; {}", leaves(&self.identifiers, &self.traits, purpose, definitions))
    }
}

impl Forward {
    /// Which events go, and what with them, among these definitions, which it belongs to.
    pub fn signature(&self, definitions: &Definitions) -> String {
        let mut events = self.events.clone();
        events.sort_unstable();
        let condition = self
            .condition
            .as_ref()
            .map_or_else(String::new, |condition| format!(" where {}", of_event(condition, &definitions.fields)));
        let mut consent = self.consent.clone();
        consent.sort_unstable();
        let with = leaves(&self.identifiers, &self.traits, &self.requires_consent, definitions);
        let mut messages: Vec<&str> = self.triggers.iter().map(|id| &*definitions.triggers[id.index()].name).collect();
        messages.sort_unstable();
        let messages = if messages.is_empty() { String::new() } else { format!("; messages {messages:?}") };
        format!("events {events:?}{condition}; consent {consent:?}; {with}{messages}")
    }
}

/// What may leave of a person, and under which purpose.
fn leaves(
    identifiers: &[CompactString],
    traits: &[ListedTrait],
    purpose: &Option<CompactString>,
    definitions: &Definitions,
) -> String {
    let mut identifiers = identifiers.to_vec();
    identifiers.sort_unstable();
    let name = |listed: &ListedTrait| match listed {
        ListedTrait::Trait(id) => format!("trait {:?}", definitions.traits[id.index()].name),
        ListedTrait::Attribute(name) => format!("attribute {name:?}"),
    };
    let mut traits: Vec<String> = traits.iter().map(name).collect();
    traits.sort_unstable();
    format!("identifiers {identifiers:?}; traits [{}]; requires {purpose:?}", traits.join(", "))
}

impl IdentityRules {
    /// What the rules mean.
    pub fn signature(&self) -> String {
        // What was nobody's at first: which values those are is a matter of the program and not of the project.
        const NOBODY: [&str; 10] = [
            "\"\"",
            "\"-1\"",
            "\"0\"",
            "\"anonymous\"",
            "\"nil\"",
            "\"none\"",
            "\"null\"",
            "\"undefined\"",
            "\"unknown\"",
            "zeros and dashes",
        ];
        let mut blocked: Vec<String> = Vec::new();
        for rule in &self.blocked {
            match rule {
                Blocked::Nobody => blocked.extend(NOBODY.map(str::to_owned)),
                Blocked::Value(value) => blocked.push(format!("{:?}", value.to_ascii_lowercase())),
                Blocked::Pattern(kind, pattern) => blocked.push(format!("{kind} like {:?}", pattern.to_string())),
            }
        }
        blocked.sort();
        blocked.dedup();
        let mut exclusive = self.exclusive.clone();
        exclusive.sort();
        format!(
            "order {}; exclusive {}; blocked {}",
            self.strength.join(", "),
            exclusive.join(", "),
            blocked.join(", ")
        )
    }
}

fn of_event(expression: &Expression<EventTerm>, fields: &[Field]) -> String {
    text(expression, &|term| match term {
        EventTerm::Field(id) => field(&fields[id.index()]),
        EventTerm::Timestamp => "timestamp".to_owned(),
    })
}

fn of_person(expression: &Expression<PersonTerm>, definitions: &Definitions) -> String {
    let measure = |id: &MeasureId| definitions.measures[id.index()].signature(definitions);
    text(expression, &|term| match term {
        PersonTerm::Count(id) => format!("[count of {}]", measure(id)),
        PersonTerm::Sum(id) => format!("[sum of {}]", measure(id)),
        PersonTerm::Average(id) => format!("[average of {}]", measure(id)),
        PersonTerm::Sample(id) => format!("[value of {}]", measure(id)),
        PersonTerm::Distinct(id) => format!("[distinct of {}]", measure(id)),
        PersonTerm::Top(id, but) => format!("[top but {but} of {}]", measure(id)),
        PersonTerm::CountOf(id, of) => format!("[count of {} in {}]", value(of), measure(id)),
        PersonTerm::Percentile(id, millionths) => format!("[percentile {millionths} of {}]", measure(id)),
        PersonTerm::Deviation(id) => format!("[deviation of {}]", measure(id)),
        PersonTerm::List(id, most) => format!("[first {most} of {}]", measure(id)),
        PersonTerm::Recent(id) => format!("[all of {}]", measure(id)),
        PersonTerm::Running(id, term) => {
            let of = &definitions.measures[id.index()];
            let asked = match term {
                RunningTerm::IsThere => "there is".to_owned(),
                RunningTerm::Start => "start of".to_owned(),
                RunningTerm::Duration => "duration of".to_owned(),
                RunningTerm::Events => "events of".to_owned(),
                RunningTerm::Value(place, term) => {
                    let value = of.shape.session().and_then(|session| session.values.get(usize::from(*place)));
                    let value = value.map_or_else(String::new, |value| value.signature(definitions));
                    let term = match term {
                        RunTerm::Count => "count".to_owned(),
                        RunTerm::Sum => "sum".to_owned(),
                        RunTerm::Average => "avg".to_owned(),
                        RunTerm::Sample => "value".to_owned(),
                        RunTerm::Distinct => "distinct".to_owned(),
                        RunTerm::List(most) => format!("list {most}"),
                    };
                    format!("{term} of {value} in")
                }
            };
            // Sessions that differ in other values are still these.
            let per = of.shape.session().map(|session| (session.gap_ms, &session.per));
            format!("[{asked} running session {per:?} of {:?}]", of.events)
        }
        PersonTerm::Occurrence(term) => format!("[{term:?} of the occurrence]"),
        PersonTerm::Matches(id) => format!("[there is {}]", measure(id)),
        PersonTerm::Completions(id) => format!("[completions of {}]", measure(id)),
        PersonTerm::LastCompletion(id) => format!("[last of {}]", measure(id)),
        PersonTerm::Attribute(name, kind) => format!("attribute {name:?}{}", of_type(*kind)),
        PersonTerm::Trait(id) => format!("trait {:?}", definitions.traits[id.index()].name),
        PersonTerm::Audience(id) => format!("audience {:?}", definitions.audiences[id.index()].name),
        PersonTerm::Consent(purpose) => format!("consent {purpose:?}"),
        PersonTerm::Has(kind) => format!("has {kind:?}"),
        PersonTerm::Now => "now".to_owned(),
        PersonTerm::Clock => "clock".to_owned(),
        PersonTerm::Bucket(HashBucket { salt, count, by }) => format!("bucket {salt:?} of {count} by {by:?}"),
    })
}

/// The expression with operators in front of their operands.
fn text<T>(expression: &Expression<T>, term: &impl Fn(&T) -> String) -> String {
    let one = |inner: &Expression<T>| text(inner, term);
    let list = |several: &[Expression<T>]| several.iter().map(|one| text(one, term)).collect::<Vec<_>>().join(" ");
    match expression {
        Expression::Literal(None) => "null".to_owned(),
        Expression::Literal(Some(literal)) => value(literal),
        Expression::Term(of) => term(of),
        Expression::Not(inner) => format!("(not {})", one(inner)),
        Expression::And(all) => format!("(and {})", list(all)),
        Expression::Or(any) => format!("(or {})", list(any)),
        Expression::Compare(comparison, a, b) => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("({sign} {} {})", one(a), one(b))
        }
        Expression::Arithmetic(operation, a, b) => {
            format!("({} {} {})", operation.sign(), one(a), one(b))
        }
        Expression::In(inner, values) => {
            format!("(in {} {})", one(inner), values.iter().map(value).collect::<Vec<_>>().join(" "))
        }
        Expression::Like(inner, pattern) => format!("(like {} {:?})", one(inner), pattern.to_string()),
        Expression::IsMissing(inner) => format!("(missing {})", one(inner)),
        Expression::Call(function, arguments) => format!("({function} {})", list(arguments)),
        Expression::Any(columns, condition) => format!("(any [{}] {})", list(columns), one(condition)),
        Expression::Item(column, kind) => format!("item {column}{}", of_type(*kind)),
    }
}

fn field(field: &Field) -> String {
    let root = match field.root {
        FieldRoot::Properties => "properties",
        FieldRoot::Traits => "traits",
        FieldRoot::Context => "context",
        // Always a text.
        FieldRoot::Event => return field.to_string(),
    };
    let path: String = field
        .path
        .iter()
        .map(|step| match step {
            PathStep::Member(key) => format!(".{key:?}"),
            PathStep::Element(index) => format!("[{index}]"),
            PathStep::Each => "[]".to_owned(),
            PathStep::Count => "[#]".to_owned(),
        })
        .collect();
    format!("{root}{path}{}", of_type(field.kind))
}

fn of_type(kind: Option<ValueType>) -> &'static str {
    match kind {
        None => "",
        Some(ValueType::Bool) => ":bool",
        Some(ValueType::Number) => ":number",
        Some(ValueType::Time) => ":time",
        Some(ValueType::Text) => ":text",
        Some(ValueType::List) => ":list",
        Some(ValueType::Json) => ":json",
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Time(time) => format!("@{time}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(_) | Value::Json(_) => {
            let mut json = String::new();
            value.write_json(&mut json);
            json
        }
    }
}
