//! `deltaic check -v`: what was taken for granted.

use super::super::described;
use super::loaded;

#[test]
fn attributes_have_types_and_definitions_events_and_fields() {
    let source = r#"
identity.key = "k"
[attributes]
born = "time"
city = "string"
vip = "boolean"
[traits]
ltv = "sum('Order Completed', properties.total, where => properties.currency = 'EUR')"
seen = "last('page', name)"
double = "ltv * 2"
hour = "extract(hour from now())"
[audiences.buyers]
when = "count('Order Completed') > 0 and ltv > 5 and city = 'Rome' and has(email)"
[audiences.lapsed]
when = "not audience('buyers') and born < now() - interval '30 days'"
[destinations.all]
type = "file"
path = "a"
events = ["*"]
where = "context.app.name = 'shop'"
[destinations.crm]
type = "file"
path = "b"
audiences = ["buyers"]
identifiers = ["email"]
traits = ["ltv", "born"]
events = ["Order Completed", "identify"]
where = "properties.tax is null or properties.total > 5"
"#;
    let project = loaded(source).expect("it is right").project;
    let expected = r#"  attribute born: time
  attribute city: string
  attribute vip: boolean
  trait hour: the clock, so it may change for everybody within 10s
  trait ltv: "Order Completed" with properties.currency (string), properties.total (number)
  trait seen: "page" with name (string)
  audience buyers: "Order Completed"; attributes city
  audience lapsed: attributes born; the time, so it changes at one tick for all who have the same value
  destination all: all events with context.app.name (string)
  destination crm: "Order Completed" with properties.total (number), properties.tax (any type); "identify" with properties.total (number), properties.tax (any type); attributes born
"#;
    assert_eq!(described::definitions(&project), expected);
    let guessed = loaded("identity.key = 'k'\n[audiences.a]\nwhen = 'age > 5 and other is null'").expect("it is right");
    let expected = "  attribute age: number\n  attribute other: any type\n  audience a: attributes age, other\n";
    assert_eq!(described::definitions(&guessed.project), expected);
}
