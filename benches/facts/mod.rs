//! Two devices with very many facts, that become one person's and again two people's.

use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::latencies::BenchLatencies;
use crate::load::Load;

/// Facts of which only sums are kept, a row a device whatever their number, and their expiries until a window closes.
pub const SUMMED: &str = r#"
[traits]
facts = "sum('Fact', properties.value, within => '1 day')"

[audiences.knowing]
when = "facts > 100"
"#;

/// Facts that are kept apart, each a row of its own.
pub const APART: &str = r#"
[traits]
facts = "distinct('Fact', properties.fact)"

[audiences.knowing]
when = "facts > 100"
"#;

/// So many different facts about each of the devices `x` and `y`.
pub async fn tell(load: &Load, facts: u64) {
    const TOGETHER: u64 = 500;
    let mut tick = 0;
    for device in ["x", "y"] {
        for first in (0..facts).step_by(TOGETHER as usize) {
            let events: Vec<String> = (first..facts.min(first + TOGETHER))
                .map(|fact| {
                    let id = load.crowd().message();
                    format!(
                        r#"{{"type":"track","event":"Fact","messageId":"m-{id}","anonymousId":"{device}","properties":{{"value":1,"fact":"{device}-{fact}"}}}}"#
                    )
                })
                .collect();
            tick = load.engine.send_surely(Crowd::body(&events)).await;
        }
    }
    // One is the first's from now on.
    let login = login(load, "one", "x");
    tick = load.engine.send_surely(Crowd::body(&[login])).await.max(tick);
    load.engine.complete(tick).await;
}

/// Until `ends`, lets the second device go to and fro between the owner of the first and somebody else, who has none. Gives how
/// long each took until it could be read.
pub async fn merge_and_part(load: &Load, every: Duration, ends: Instant) -> BenchLatencies {
    let mut took = BenchLatencies::default();
    for user in ["one", "other"].into_iter().cycle() {
        tokio::time::sleep(every).await;
        if Instant::now() >= ends {
            break;
        }
        let (began, login) = (Instant::now(), login(load, user, "y"));
        let tick = load.engine.send_surely(Crowd::body(&[login])).await;
        load.engine.complete(tick).await;
        took.record(began.elapsed());
    }
    took
}

fn login(load: &Load, user: &str, device: &str) -> String {
    let id = load.crowd().message();
    format!(r#"{{"type":"identify","messageId":"m-{id}","userId":"{user}","anonymousId":"{device}"}}"#)
}
