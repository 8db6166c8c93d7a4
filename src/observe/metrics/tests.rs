//! What `GET /metrics` answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use dataflows::model::Tick;

use super::*;
use crate::observe::latency::Stage;

struct Fixed;

impl Readings for Fixed {
    fn intake(&self) -> Intake {
        let used = |name: &str, count| vec![(name.to_owned(), count)];
        Intake {
            sources: vec![SourceIntake {
                source: "web".into(),
                accepted: 7,
                duplicates: 2,
                over_rate: 3,
                rejected: vec![("too_large", 3)],
                names: vec![("event", 12, 5)],
                connector: vec![("requests", 31)],
            }],
            warned: vec![("other_person", 4)],
            other_type: used("Order: properties.total as a number", 9),
            rounded: used("sum of \"x\"", 1),
            too_large: Vec::new(),
            too_long: Vec::new(),
        }
    }
    fn quarantine(&self) -> Quarantined {
        Quarantined { entries: 5, bytes: 600, kept: 6, dropped: vec![("oldest", 1)] }
    }
    fn frontier(&self) -> Tick {
        Tick::from_ms(1_000)
    }
    fn engine(&self) -> EngineState {
        EngineState {
            recovery: 0.5,
            pending_events: 3,
            consistency_checks: 9,
            consistency_differences: 1,
            full: [0, 4, 15, 3, 2, 1, 6],
            is_short_of_memory: true,
            is_short_of_room: false,
            clock_ahead_ms: -1_500,
            is_clock_apart: true,
            checkpoints: 2,
            checkpoint: Tick::from_ms(900),
            checkpoint_behind: 70,
        }
    }
    fn cluster(&self) -> Vec<MemberReading> {
        vec![
            MemberReading { is_present: true, ..MemberReading::default() },
            MemberReading { is_present: false, skew_ms: Some(-250), heard_ms_ago: Some(1_750) },
        ]
    }
    fn log_lines_dropped(&self) -> u64 {
        22
    }
    fn now(&self) -> Tick {
        Tick::from_ms(1_025)
    }
    fn messages(&self) -> RememberedMessages {
        RememberedMessages { ids: 11, disk_bytes: 12, runs: 13, window_ms: 14 }
    }
    fn history(&self) -> Option<HistoryState> {
        Some(HistoryState { files: 16, rows: 17, bytes: 18, written: 19, failures: 20, behind_ms: 21 })
    }
    fn memory(&self) -> Vec<(&'static str, u64)> {
        vec![("message_ids", 15)]
    }
    fn audiences(&self) -> Vec<AudienceState> {
        vec![AudienceState { audience: "vip".into(), entered: 25, exited: 2 }]
    }
    fn triggers(&self) -> Vec<TriggerState> {
        vec![TriggerState { trigger: "cart".into(), fired: 31, refused: 1, late: 2, limited: 0 }]
    }
    fn destinations(&self) -> Vec<DeliveryReading> {
        vec![DeliveryReading {
            destination: "crm".into(),
            rows: 10,
            pending: 4,
            frontier: Tick::from_ms(900),
            acknowledged: 12,
            failed_calls: 1,
            given_up: 0,
            oldest_pending: Some(Tick::from_ms(900)),
            resync: 5,
            dead_letters: 2,
            dead_deletes: 1,
            is_paused: true,
            is_parked: true,
            is_held: true,
            connector: vec![("bytes", 30)],
        }]
    }
    fn events(&self) -> Vec<EventDelivery> {
        vec![EventDelivery {
            destination: "crm".into(),
            pending: 5,
            oldest_pending: Some(Tick::from_ms(1_000)),
            dead_letters: 3,
            acknowledged: 6,
            failed_calls: 7,
            given_up: 8,
            withheld: 9,
            skipped: 10,
        }]
    }
}

/// What `GET /metrics` answers, over a real socket.
async fn scrape(latency: Arc<Latency>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, router(latency, Fixed)).await });
    stream
        .write_all(
            b"GET /metrics HTTP/1.0\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n",
        )
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn everything_is_told_in_openmetrics_text() {
    let latency = Arc::new(Latency::new());
    for ms in [0, 1, 3, 3, 50, 60_000] {
        latency.record(Stage::Accepted, Duration::from_millis(ms));
    }
    let text = scrape(latency).await;
    for line in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
        "# TYPE deltaic_latency_seconds histogram",
        r#"deltaic_latency_seconds_bucket{le="0.0005",stage="accepted"} 1"#,
        r#"deltaic_latency_seconds_bucket{le="0.001",stage="accepted"} 2"#,
        r#"deltaic_latency_seconds_bucket{le="0.005",stage="accepted"} 4"#,
        r#"deltaic_latency_seconds_bucket{le="0.05",stage="accepted"} 5"#,
        r#"deltaic_latency_seconds_bucket{le="10.0",stage="accepted"} 5"#,
        r#"deltaic_latency_seconds_bucket{le="+Inf",stage="accepted"} 6"#,
        r#"deltaic_latency_seconds_count{stage="accepted"} 6"#,
        r#"deltaic_latency_seconds_sum{stage="accepted"} 60.057"#,
        r#"deltaic_latency_seconds_count{stage="parsed"} 0"#,
        r#"deltaic_events_accepted_total{source="web"} 7"#,
        r#"deltaic_events_duplicate_total{source="web"} 2"#,
        r#"deltaic_events_rejected_total{code="too_large",source="web"} 3"#,
        r#"deltaic_values_of_other_type_total{use="Order: properties.total as a number"} 9"#,
        r#"deltaic_addends_rounded_total{use="sum of \"x\""} 1"#,
        r#"deltaic_events_warned_total{code="other_person"} 4"#,
        "deltaic_quarantine_entries 5",
        "deltaic_quarantine_bytes 600",
        "deltaic_quarantine_kept_total 6",
        r#"deltaic_quarantine_dropped_total{reason="oldest"} 1"#,
        "deltaic_frontier_timestamp_seconds 1.0",
        "deltaic_frontier_lag_seconds 0.025",
        "deltaic_cluster_processes 2",
        "deltaic_cluster_processes_present 1",
        r#"deltaic_cluster_clock_skew_seconds{process="1"} -0.25"#,
        r#"deltaic_cluster_last_pulse_seconds{process="1"} 1.75"#,
        "deltaic_recovery_ratio 0.5",
        "deltaic_pending_events 3",
        "deltaic_consistency_checks_total 9",
        "deltaic_consistency_differences_total 1",
        r#"deltaic_full_identifiers{limit="values"} 4"#,
        r#"deltaic_full_profiles{limit="sequence_events"} 6"#,
        "deltaic_checkpoints_total 2",
        "deltaic_checkpoint_timestamp_seconds 0.9",
        "deltaic_message_ids 11",
        "deltaic_message_id_disk_bytes 12",
        "deltaic_message_id_runs 13",
        "deltaic_message_window_seconds 0.014",
        "deltaic_history_files 16",
        "deltaic_history_rows 17",
        "deltaic_history_bytes 18",
        "deltaic_history_written_bytes_total 19",
        "deltaic_history_failures_total 20",
        "deltaic_history_behind_seconds 0.021",
        r#"deltaic_memory_bytes{of="message_ids"} 15"#,
        "deltaic_checkpoint_behind_events 70",
        r#"deltaic_refusing{reason="disk"} 0"#,
        r#"deltaic_refusing{reason="memory"} 1"#,
        r#"deltaic_destination_rows{destination="crm"} 10"#,
        r#"deltaic_destination_pending{destination="crm"} 4"#,
        r#"deltaic_destination_lag_seconds{destination="crm"} 0.125"#,
        r#"deltaic_audience_members{audience="vip"} 23"#,
        r#"deltaic_audience_entered_total{audience="vip"} 25"#,
        r#"deltaic_trigger_firings_total{outcome="fired",trigger="cart"} 31"#,
        r#"deltaic_trigger_firings_total{outcome="late",trigger="cart"} 2"#,
        r#"deltaic_audience_exited_total{audience="vip"} 2"#,
        r#"deltaic_destination_oldest_pending_seconds{destination="crm"} 0.125"#,
        r#"deltaic_destination_resync{destination="crm"} 5"#,
        r#"deltaic_destination_dead_letters{destination="crm"} 2"#,
        r#"deltaic_destination_dead_deletes{destination="crm"} 1"#,
        r#"deltaic_destination_paused{destination="crm"} 1"#,
        r#"deltaic_destination_connector_total{kind="bytes",destination="crm"} 30"#,
        r#"deltaic_source_connector_total{kind="requests",source="web"} 31"#,
        r#"deltaic_destination_parked{destination="crm"} 1"#,
        r#"deltaic_destination_held{destination="crm"} 1"#,
        "deltaic_log_lines_dropped_total 22",
        concat!("deltaic_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        r#"deltaic_destination_acknowledged_total{destination="crm"} 12"#,
        r#"deltaic_destination_failed_calls_total{destination="crm"} 1"#,
        r#"deltaic_destination_given_up_total{destination="crm"} 0"#,
        r#"deltaic_forward_pending{destination="crm"} 5"#,
        r#"deltaic_forward_oldest_pending_seconds{destination="crm"} 0.025"#,
        r#"deltaic_forward_dead_letters{destination="crm"} 3"#,
        r#"deltaic_forward_acknowledged_total{destination="crm"} 6"#,
        r#"deltaic_forward_failed_calls_total{destination="crm"} 7"#,
        r#"deltaic_forward_given_up_total{destination="crm"} 8"#,
        r#"deltaic_forward_withheld_total{destination="crm"} 9"#,
        r#"deltaic_forward_skipped_total{destination="crm"} 10"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line}\nin\n{text}");
    }
    assert_eq!(text.contains("process_resident_memory_bytes "), cfg!(target_os = "linux"));
}

#[test]
fn the_older_format_names_counters_as_their_values() {
    let text = "# HELP a Of it, counted.\n# TYPE a counter\na_total{x=\"1\"} 2\n# HELP b_seconds B.\n# TYPE b_seconds histogram\n\
                # UNIT b_seconds seconds\nb_seconds_count 1\n# EOF\n";
    let expected = "# HELP a_total Of it, counted.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP b_seconds B.\n\
                    # TYPE b_seconds histogram\nb_seconds_count 1\n";
    assert_eq!(plain(text), expected);
}

/// As [`Fixed`], counting how often it is read.
struct CountedSeries(Arc<AtomicUsize>);

impl Readings for CountedSeries {
    fn intake(&self) -> Intake {
        self.0.fetch_add(1, Ordering::Relaxed);
        Fixed.intake()
    }
    fn quarantine(&self) -> Quarantined {
        Fixed.quarantine()
    }
    fn frontier(&self) -> Tick {
        Fixed.frontier()
    }
    fn engine(&self) -> EngineState {
        Fixed.engine()
    }
    fn cluster(&self) -> Vec<MemberReading> {
        Fixed.cluster()
    }
    fn log_lines_dropped(&self) -> u64 {
        Fixed.log_lines_dropped()
    }
    fn now(&self) -> Tick {
        Fixed.now()
    }
    fn messages(&self) -> RememberedMessages {
        Fixed.messages()
    }
    fn history(&self) -> Option<HistoryState> {
        Fixed.history()
    }
    fn memory(&self) -> Vec<(&'static str, u64)> {
        Fixed.memory()
    }
    fn audiences(&self) -> Vec<AudienceState> {
        Fixed.audiences()
    }
    fn triggers(&self) -> Vec<TriggerState> {
        Fixed.triggers()
    }
    fn destinations(&self) -> Vec<DeliveryReading> {
        Fixed.destinations()
    }
    fn events(&self) -> Vec<EventDelivery> {
        Fixed.events()
    }
}

/// Anybody may ask, in one packet for hundreds of answers; who does makes the engine write few of them.
#[tokio::test(flavor = "multi_thread")]
async fn however_often_they_are_asked_for_they_are_written_ten_times_a_second() {
    const REQUESTS: usize = 200;
    const CLIENTS: usize = 10;
    let reads = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(Arc::new(Latency::new()), CountedSeries(reads.clone()));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let ask = || async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(REQUESTS - 1);
        let last = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec();
        stream.write_all(&[request, last].concat()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), REQUESTS);
        assert_eq!(answers.matches("deltaic_recovery_ratio 0.5").count(), REQUESTS, "each is whole");
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(ask())).collect();
    for client in clients {
        client.await.unwrap();
    }
    // However long it took.
    let at_most = 20 + 10 * (began.elapsed().as_secs() as usize + 1);
    let reads = reads.load(Ordering::Relaxed);
    assert!((1..=at_most.min(REQUESTS * CLIENTS - 1)).contains(&reads), "{reads} of {at_most}");
}
