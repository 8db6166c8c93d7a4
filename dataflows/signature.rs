//! What a measure and the rules of identity *mean*, as a text in which nothing depends on ids or on how the code names things.
//!
//! Checkpoints carry these texts: facts that were gathered under one of them can be used under the same one, whatever else
//! has changed in the project.

use std::fmt::Write;

use crate::definitions::{Blocked, Definitions, EventTerm, Field, FieldRoot, IdentityRules, Measure, Shape};
use crate::expression::{Arithmetic, Comparison, Expression};
use crate::model::{Value, ValueType};

impl Measure {
    /// What the measure means among these definitions, which it belongs to.
    ///
    /// ```
    /// use dataflows::definitions::{Definitions, Measure, Shape, Window};
    /// let within = Some(Window { length_ms: 3_600_000, grain_ms: 1_000 });
    /// let measure = Measure { event: "Seen".into(), condition: None, shape: Shape::Count, within };
    /// assert_eq!(measure.signature(&Definitions::default()), r#"count "Seen" within 3600000 ms by 1000 ms"#);
    /// ```
    pub fn signature(&self, definitions: &Definitions) -> String {
        let of = |name: &str, expression| format!("{name} {}", text(expression, &definitions.fields));
        let mut signature = match &self.shape {
            Shape::Count => "count".to_owned(),
            Shape::Sum(expression) => of("sum", expression),
            Shape::Least(expression) => of("least", expression),
            Shape::Greatest(expression) => of("greatest", expression),
            Shape::Earliest(expression) => of("earliest", expression),
            Shape::Latest(expression) => of("latest", expression),
            Shape::Distinct(expression) => of("distinct", expression),
        };
        _ = write!(signature, " {:?}", self.event);
        if let Some(condition) = &self.condition {
            _ = write!(signature, " where {}", text(condition, &definitions.fields));
        }
        if let Some(window) = self.within {
            _ = write!(signature, " within {} ms by {} ms", window.length_ms, window.grain_ms);
        }
        signature
    }
}

impl IdentityRules {
    /// What the rules mean.
    pub fn signature(&self) -> String {
        let mut blocked: Vec<String> = self
            .blocked
            .iter()
            .map(|rule| match rule {
                Blocked::Value(value) => format!("{:?}", value.to_ascii_lowercase()),
                Blocked::ZerosAndDashes => "zeros and dashes".to_owned(),
                Blocked::Pattern(kind, pattern) => format!("{kind} like {:?}", pattern.to_string()),
            })
            .collect();
        blocked.sort();
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

/// The expression with operators in front of their operands.
fn text(expression: &Expression<EventTerm>, fields: &[Field]) -> String {
    let one = |inner: &Expression<EventTerm>| text(inner, fields);
    let list =
        |several: &[Expression<EventTerm>]| several.iter().map(|one| text(one, fields)).collect::<Vec<_>>().join(" ");
    match expression {
        Expression::Literal(None) => "null".to_owned(),
        Expression::Literal(Some(literal)) => value(literal),
        Expression::Term(EventTerm::Field(id)) => field(&fields[id.index()]),
        Expression::Term(EventTerm::Timestamp) => "timestamp".to_owned(),
        Expression::Term(EventTerm::Name) => "name".to_owned(),
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
            let sign = match operation {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Remainder => "%",
            };
            format!("({sign} {} {})", one(a), one(b))
        }
        Expression::In(inner, values) => {
            format!("(in {} {})", one(inner), values.iter().map(value).collect::<Vec<_>>().join(" "))
        }
        Expression::Like(inner, pattern) => format!("(like {} {:?})", one(inner), pattern.to_string()),
        Expression::IsMissing(inner) => format!("(missing {})", one(inner)),
    }
}

fn field(field: &Field) -> String {
    let root = match field.root {
        FieldRoot::Properties => "properties",
        FieldRoot::Traits => "traits",
        FieldRoot::Context => "context",
    };
    let kind = match field.kind {
        None => "",
        Some(ValueType::Bool) => ":bool",
        Some(ValueType::Number) => ":number",
        Some(ValueType::Time) => ":time",
        Some(ValueType::Text) => ":text",
    };
    let path: String = field.path.iter().map(|key| format!(".{key:?}")).collect();
    format!("{root}{path}{kind}")
}

fn value(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Time(tick) => format!("@{tick}"),
        Value::Text(text) => format!("{text:?}"),
    }
}
