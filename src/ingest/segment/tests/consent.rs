//! What is a decision on consent, and what is not.

use super::*;

/// Checks what an event decides that says this beside its user, and what its sender is told.
#[track_caller]
fn check(members: &str, expected: &str, warnings: &[&str]) {
    let json = format!(r#"{{"type":"track","event":"E","userId":"1",{members}}}"#);
    check_given(&json, &live(), format!("E user_id:1 {expected}").trim_end());
    let arrival = accept(&json, &live()).unwrap();
    assert_eq!(arrival.warnings.iter().map(Warning::code).collect::<Vec<_>>(), warnings, "{members:.300}");
}

fn preferences(preferences: &str) -> String {
    format!(r#""context":{{"consent":{{"categoryPreferences":{preferences}}}}}"#)
}

const UNKNOWN: &str = "unknown_purpose";
const UNREADABLE: &str = "unreadable_consent";

#[test]
fn what_is_meant_as_a_decision_is_one() {
    for yes in ["true", r#""true""#, r#""YES""#, r#"" Granted ""#, "1", "1.0", r#""1""#] {
        check(&preferences(&format!(r#"{{"marketing":{yes}}}"#)), "marketing?true", &[]);
    }
    for no in ["false", r#""false""#, r#""No""#, r#""denied ""#, "0", "-0.0", r#""0""#, "null"] {
        check(&preferences(&format!(r#"{{"marketing":{no}}}"#)), "marketing?false", &[]);
    }
    for neither in [r#""maybe""#, r#""""#, "2", "-1", "1e400", "{}", "[true]", r#""\ud800""#] {
        check(&preferences(&format!(r#"{{"marketing":{neither},"ads":true}}"#)), "ads?true", &[UNREADABLE]);
    }
}

#[test]
fn purposes_are_those_of_the_project_in_any_case() {
    check(&preferences(r#"{"Marketing":true,"STATISTICS":false}"#), "Statistics?false marketing?true", &[]);
    check(&preferences(r#"{" ads ":true,"mark\u0065ting":true}"#), "ads?true marketing?true", &[]);
    check(&preferences(r#"{"C0004":true,"ads":true}"#), "ads?true", &[UNKNOWN]);
    check(&preferences(r#"{"":true,"adds":{},"ads":"?"}"#), "", &[UNKNOWN, UNREADABLE]);
    // Consent tools may put any number of purposes on every event.
    let many: String = (0..1_500).map(|n| format!(r#""purpose {n}":true,"#)).collect();
    check(&preferences(&format!(r#"{{{many}"ads":false}}"#)), "ads?false", &[UNKNOWN]);
    let again = r#""ads":true,"#.repeat(2_000);
    check(&preferences(&format!(r#"{{{again}"Ads":false}}"#)), "ads?false", &[]);
    check(&preferences(&format!(r#"{{"{}":true}}"#, "n".repeat(20_000))), "", &[UNKNOWN]);
}

#[test]
fn of_a_purpose_that_is_there_twice_the_later_counts() {
    check(&preferences(r#"{"ads":false,"marketing":true,"ads":true}"#), "ads?true marketing?true", &[]);
}

#[test]
fn of_two_spellings_of_a_purpose_any_no_is_a_no() {
    check(&preferences(r#"{"ads":true,"ADS":0}"#), "ads?false", &[]);
    check(&preferences(r#"{"ADS":false,"ads":true}"#), "ads?false", &[]);
    check(&preferences(r#"{"ads":true,"ADS":false,"ads":true}"#), "ads?false", &[]);
    check(&preferences(r#"{"ads":false,"ADS":true,"ads":true}"#), "ads?true", &[]);
    check(r#""consent":{"Ads":"no","\u0061ds":"yes"}"#, "ads?false", &[]);
}

#[test]
fn consent_is_written_in_several_ways() {
    check(r#""context":{"consent":{"marketing":false}}"#, "marketing?false", &[]);
    check(r#""consent":{"marketing":false}"#, "marketing?false", &[]);
    check(r#""consent":{"categoryPreferences":{"ads":true},"marketing":1}"#, "ads?true marketing?true", &[]);
    let management = r#""provider":"custom","resolutionStrategy":"or""#;
    check(
        &format!(
            r#""context":{{"consentManagement":{{{management},"allowedConsentIds":["ADS"],"deniedConsentIds":["marketing"]}}}}"#
        ),
        "ads?true marketing?false",
        &[],
    );
    check(
        r#""context":{"consentManagement":{"deniedConsentIds":["ads","C0002",7]}}"#,
        "ads?false",
        &[UNKNOWN, UNREADABLE],
    );
    // Several places that contradict each other: no is no.
    check(
        r#""consent":{"ads":true},"context":{"consent":{"ads":true,"categoryPreferences":{"ads":"no"}}}"#,
        "ads?false",
        &[],
    );
    let both = r#""context":{"consentManagement":{"allowedConsentIds":["ads"],"deniedConsentIds":["ads"]}}"#;
    check(both, "ads?false", &[]);
}

#[test]
fn what_cannot_be_read_is_told() {
    for (nothing, warnings) in [
        (r#""consent":null"#, &[][..]),
        (r#""consent":{}"#, &[]),
        (r#""context":{"consent":null,"consentManagement":null}"#, &[]),
        (r#""consent":true"#, &[UNREADABLE]),
        (r#""context":{"consent":"yes"}"#, &[UNREADABLE]),
        (r#""context":{"consent":{"categoryPreferences":[true]}}"#, &[UNREADABLE]),
        (r#""context":{"consentManagement":[]}"#, &[UNREADABLE]),
        (r#""context":{"consentManagement":{"allowedConsentIds":{"ads":true}}}"#, &[UNREADABLE]),
    ] {
        check(nothing, "", warnings);
    }
}
