//! What the parts of the engine count.

use std::fmt;

use dataflows::limits::Limit;
use dataflows::model::Tick;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType::{self, Counter, Gauge};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::encode::{counter, family, gauge, of_ms, seconds};
use super::readings::{
    DeliveryReading, EventDelivery, HistoryState, Intake, MemberReading, Quarantined, Readings, RememberedMessages,
};

/// What the parts of the engine count.
pub(super) struct EngineCounts<R>(pub R);

impl<R> fmt::Debug for EngineCounts<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts(..)")
    }
}

impl<R: Readings> Collector for EngineCounts<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Intake { sources, warned, other_type, rounded, too_large, too_long } = self.0.intake();
        let accepted = sources.iter().map(|of| (of.source.as_str(), ConstCounter::new(of.accepted)));
        family(&mut encoder, "deltaic_events_accepted", "Events accepted, by source", "source", accepted)?;
        let duplicates = sources.iter().map(|of| (of.source.as_str(), ConstCounter::new(of.duplicates)));
        let help = "Duplicate events, by source";
        family(&mut encoder, "deltaic_events_duplicate", help, "source", duplicates)?;
        let over_rate = sources.iter().map(|of| (of.source.as_str(), ConstCounter::new(of.over_rate)));
        let help =
            "Events refused because the source exceeded its rate, or its share while the engine was behind, by source";
        family(&mut encoder, "deltaic_events_over_rate", help, "source", over_rate)?;
        let mut rejected = encoder.encode_descriptor(
            "deltaic_events_rejected",
            "Events rejected, by source and code",
            None,
            Counter,
        )?;
        for (of, (code, count)) in sources.iter().flat_map(|of| of.rejected.iter().map(move |rejected| (of, rejected)))
        {
            let labels = [("code", *code), ("source", of.source.as_str())];
            ConstCounter::new(*count).encode(rejected.encode_family(&labels)?)?;
        }
        let kinds = || sources.iter().flat_map(|of| of.names.iter().map(move |kind| (of.source.as_str(), kind)));
        let help = "Names of events and attributes, and types of external ids, that the source uses beside those of the project";
        let mut names = encoder.encode_descriptor("deltaic_source_names", help, None, Gauge)?;
        for (source, (kind, used, _)) in kinds() {
            ConstGauge::new(*used).encode(names.encode_family(&[("kind", *kind), ("source", source)])?)?;
        }
        let help = "Events rejected because the source exceeded its number of names: alert if it grows";
        let mut refused = encoder.encode_descriptor("deltaic_source_names_over", help, None, Counter)?;
        for (source, (kind, _, events)) in kinds() {
            ConstCounter::new(*events).encode(refused.encode_family(&[("kind", *kind), ("source", source)])?)?;
        }
        let of_connector = sources.iter().flat_map(|of| of.connector.iter().map(|one| (of.source.as_str(), *one)));
        let help = "What the connector of the source counts";
        by_connector(&mut encoder, "deltaic_source_connector", help, "source", of_connector)?;
        for (name, help, counted) in [
            (
                "deltaic_values_of_other_type",
                "Values of another type than this use expects: they are missing there",
                other_type,
            ),
            (
                "deltaic_addends_rounded",
                "Addends that rounding to a millionth changed by more than 1e-9, by sum",
                rounded,
            ),
            ("deltaic_addends_too_large", "Addends beyond 1e15, which were left out, by sum", too_large),
            ("deltaic_arrays_cut", "Arrays with more than 1,000 elements, of which the first ones count", too_long),
        ] {
            let counted = counted.iter().map(|(used, count)| (used.as_str(), ConstCounter::new(*count)));
            family(&mut encoder, name, help, "use", counted)?;
        }
        family(
            &mut encoder,
            "deltaic_events_warned",
            "Events accepted with a warning, by code",
            "code",
            warned.iter().map(|(code, count)| (*code, ConstCounter::new(*count))),
        )?;

        let Quarantined { entries, bytes, kept, dropped } = self.0.quarantine();
        gauge(&mut encoder, "deltaic_quarantine_entries", "Rejected events in the quarantine", entries)?;
        gauge(&mut encoder, "deltaic_quarantine_bytes", "Bytes of the rejected events in the quarantine", bytes)?;
        counter(&mut encoder, "deltaic_quarantine_kept", "Rejected events added to the quarantine", kept)?;
        family(
            &mut encoder,
            "deltaic_quarantine_dropped",
            "Rejected events that were dropped from the quarantine or never kept, by reason",
            "reason",
            dropped.iter().map(|(reason, count)| (*reason, ConstCounter::new(*count))),
        )?;

        let (now, frontier) = (self.0.now(), self.0.frontier());
        let lag_ms = |frontier: Tick| now.as_ms().saturating_sub(frontier.as_ms());
        let help = "All ticks before this one are complete";
        seconds(&mut encoder, "deltaic_frontier_timestamp_seconds", help, frontier.as_ms())?;
        let help = "How far the frontier is behind the clock";
        seconds(&mut encoder, "deltaic_frontier_lag_seconds", help, lag_ms(frontier))?;
        let engine = self.0.engine();
        let help = "How far the machine's clock is ahead of ticks; negative if it is behind";
        let ahead = encoder.encode_descriptor("deltaic_clock_ahead_seconds", help, None, Gauge)?;
        ConstGauge::new(engine.clock_ahead_ms as f64 / 1_000.0).encode(ahead)?;
        let help = "1 while ticks do not follow the machine's clock because it jumped: alert on any";
        gauge(&mut encoder, "deltaic_clock_apart", help, u64::from(engine.is_clock_apart))?;
        members(&mut encoder, &self.0.cluster())?;
        let recovery = encoder.encode_descriptor(
            "deltaic_recovery_ratio",
            "The share of the log that has been read since the start: 1 is all of it",
            None,
            Gauge,
        )?;
        ConstGauge::new(engine.recovery).encode(recovery)?;
        gauge(&mut encoder, "deltaic_pending_events", "Events that are not yet complete", engine.pending_events)?;
        counter(
            &mut encoder,
            "deltaic_consistency_checks",
            "Checks of the consistency audit, which compares sizes, lists and changes of audiences at a tick",
            engine.consistency_checks,
        )?;
        let help = "Figures of audiences (size, members, changes) that disagreed: alert on any";
        counter(&mut encoder, "deltaic_consistency_differences", help, engine.consistency_differences)?;
        family(
            &mut encoder,
            "deltaic_full_identifiers",
            "Identifiers at a limit: of topics, of different values, or of identity",
            "limit",
            Limit::COUNTED.iter().map(|limit| (limit.name(), ConstGauge::new(engine.full[limit.index()]))),
        )?;
        family(
            &mut encoder,
            "deltaic_full_profiles",
            "Profiles with as many events as one of the sequences looks at, once for each sequence",
            "limit",
            Limit::OF_PROFILES.iter().map(|limit| (limit.name(), ConstGauge::new(engine.full[limit.index()]))),
        )?;
        let help =
            "People that an untrusted alias would have merged into another one: they stay apart. Each counts once";
        gauge(&mut encoder, "deltaic_alias_conflicts", help, engine.full[Limit::Aliases.index()])?;
        let refusing = [("disk", engine.is_short_of_room), ("memory", engine.is_short_of_memory)];
        family(
            &mut encoder,
            "deltaic_refusing",
            "1 while events are refused for lack of this resource: alert on any",
            "reason",
            refusing.into_iter().map(|(reason, is_short)| (reason, ConstGauge::new(u64::from(is_short)))),
        )?;
        let version = [(env!("CARGO_PKG_VERSION"), ConstGauge::new(1_u64))];
        family(&mut encoder, "deltaic_build_info", "The version of the program", "version", version.into_iter())?;
        let help = "Log lines dropped because their reader does not keep up";
        counter(&mut encoder, "deltaic_log_lines_dropped", help, self.0.log_lines_dropped())?;
        counter(&mut encoder, "deltaic_checkpoints", "Checkpoints made", engine.checkpoints)?;
        let help = "The tick of the newest checkpoint";
        seconds(&mut encoder, "deltaic_checkpoint_timestamp_seconds", help, engine.checkpoint.as_ms())?;
        let help = "Events of the log that no checkpoint covers yet: a start has to read them";
        gauge(&mut encoder, "deltaic_checkpoint_behind_events", help, engine.checkpoint_behind)?;

        let RememberedMessages { ids, disk_bytes, runs, window_ms } = self.0.messages();
        gauge(&mut encoder, "deltaic_message_ids", "Message ids remembered", ids)?;
        gauge(&mut encoder, "deltaic_message_id_disk_bytes", "Bytes of the files of message ids", disk_bytes)?;
        gauge(&mut encoder, "deltaic_message_id_runs", "Files of message ids", runs)?;
        let help = "How long message ids are remembered: alert if it is less than clock.dedupe_window";
        seconds(&mut encoder, "deltaic_message_window_seconds", help, window_ms)?;
        if let Some(history) = self.0.history() {
            let HistoryState { files, rows, bytes, written, failures, behind_ms } = history;
            gauge(&mut encoder, "deltaic_history_files", "Files of the history", files)?;
            gauge(&mut encoder, "deltaic_history_rows", "Events in the history", rows)?;
            gauge(&mut encoder, "deltaic_history_bytes", "Bytes of the history", bytes)?;
            counter(&mut encoder, "deltaic_history_written_bytes", "Bytes written to the history", written)?;
            let help = "Failed attempts to write the history: alert if they grow; the log is not truncated meanwhile";
            counter(&mut encoder, "deltaic_history_failures", help, failures)?;
            let help = "The lag of the history behind the log, by ticks";
            seconds(&mut encoder, "deltaic_history_behind_seconds", help, behind_ms)?;
        }
        family(
            &mut encoder,
            "deltaic_memory_bytes",
            "Memory by holder, as far as it is known",
            "of",
            self.0.memory().into_iter().map(|(of, bytes)| (of, ConstGauge::new(bytes))),
        )?;

        let audiences = self.0.audiences();
        let members =
            audiences.iter().map(|of| (of.audience.as_str(), ConstGauge::new(of.entered.saturating_sub(of.exited))));
        family(&mut encoder, "deltaic_audience_members", "People in the audience", "audience", members)?;
        let entered = audiences.iter().map(|of| (of.audience.as_str(), ConstCounter::new(of.entered)));
        let help = "Entries into the audience, those of its members at the start included";
        family(&mut encoder, "deltaic_audience_entered", help, "audience", entered)?;
        let exited = audiences.iter().map(|of| (of.audience.as_str(), ConstCounter::new(of.exited)));
        family(&mut encoder, "deltaic_audience_exited", "Exits from the audience", "audience", exited)?;

        let triggers = self.0.triggers();
        if !triggers.is_empty() {
            let help = "What triggers fired: written to the log, not sent since it came second, too late to be written, one too many in a minute";
            let mut firings = encoder.encode_descriptor("deltaic_trigger_firings", help, None, Counter)?;
            for of in &triggers {
                let outcomes =
                    [("fired", of.fired), ("refused", of.refused), ("late", of.late), ("limited", of.limited)];
                for (outcome, count) in outcomes {
                    let labels = [("outcome", outcome), ("trigger", of.trigger.as_str())];
                    ConstCounter::new(count).encode(firings.encode_family(&labels)?)?;
                }
            }
        }

        let all = self.0.destinations();
        let mut per_destination = |name: &str, help: &str, value: &dyn Fn(&DeliveryReading) -> u64, kind| {
            let rows = all.iter().map(|delivery| (delivery.destination.as_str(), value(delivery)));
            by_destination(&mut encoder, name, help, rows, kind)
        };
        per_destination("deltaic_destination_rows", "Rows that the destination confirmed", &|of| of.rows, Gauge)?;
        per_destination("deltaic_destination_pending", "Changes not confirmed yet", &|of| of.pending, Gauge)?;
        per_destination("deltaic_destination_resync", "Rows that a resync has yet to deliver", &|of| of.resync, Gauge)?;
        per_destination("deltaic_destination_dead_letters", "Rows refused for good", &|of| of.dead_letters, Gauge)?;
        let help = "Deletes that the destination refused: alert on any";
        per_destination("deltaic_destination_dead_deletes", help, &|of| of.dead_deletes, Gauge)?;
        per_destination("deltaic_destination_paused", "1 while paused", &|of| of.is_paused.into(), Gauge)?;
        let help = "1 while the destination refuses every call: alert on any";
        per_destination("deltaic_destination_parked", help, &|of| of.is_parked.into(), Gauge)?;
        let help = "1 while delivery is held, because the data folder is a copy or the address changed: see its status";
        per_destination("deltaic_destination_held", help, &|of| of.is_held.into(), Gauge)?;
        per_destination("deltaic_destination_acknowledged", "Changes confirmed", &|of| of.acknowledged, Counter)?;
        per_destination("deltaic_destination_failed_calls", "Calls that failed", &|of| of.failed_calls, Counter)?;
        per_destination("deltaic_destination_given_up", "Changes given up", &|of| of.given_up, Counter)?;

        let of_connector = all.iter().flat_map(|of| of.connector.iter().map(|one| (of.destination.as_str(), *one)));
        let help = "What the connector of the destination counts";
        by_connector(&mut encoder, "deltaic_destination_connector", help, "destination", of_connector)?;

        let help = "How far the destination's frontier is behind the clock";
        seconds_of(
            &mut encoder,
            "deltaic_destination_lag_seconds",
            help,
            all.iter().map(|of| (of.destination.as_str(), lag_ms(of.frontier))),
        )?;
        let help = "How long the oldest change has been pending";
        seconds_of(
            &mut encoder,
            "deltaic_destination_oldest_pending_seconds",
            help,
            all.iter().map(|of| (of.destination.as_str(), of.oldest_pending.map_or(0, lag_ms))),
        )?;

        let all = self.0.events();
        let help = "How long the oldest event has been pending";
        seconds_of(
            &mut encoder,
            "deltaic_forward_oldest_pending_seconds",
            help,
            all.iter().map(|of| (of.destination.as_str(), of.oldest_pending.map_or(0, lag_ms))),
        )?;
        let mut per_destination = |name: &str, help: &str, value: &dyn Fn(&EventDelivery) -> u64, kind| {
            let rows = all.iter().map(|delivery| (delivery.destination.as_str(), value(delivery)));
            by_destination(&mut encoder, name, help, rows, kind)
        };
        per_destination("deltaic_forward_pending", "Events not confirmed yet", &|of| of.pending, Gauge)?;
        per_destination("deltaic_forward_dead_letters", "Events refused for good", &|of| of.dead_letters, Gauge)?;
        per_destination("deltaic_forward_acknowledged", "Events confirmed", &|of| of.acknowledged, Counter)?;
        per_destination("deltaic_forward_failed_calls", "Calls with events failed", &|of| of.failed_calls, Counter)?;
        per_destination("deltaic_forward_given_up", "Events given up", &|of| of.given_up, Counter)?;
        per_destination("deltaic_forward_withheld", "Events whose people withdrew", &|of| of.withheld, Counter)?;
        let help = "Events of the past, too old, or not to go there";
        per_destination("deltaic_forward_skipped", help, &|of| of.skipped, Counter)
    }
}

/// Seconds per destination.
fn seconds_of<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    family(encoder, name, help, "destination", rows.map(|(to, ms)| (to, ConstGauge::new(of_ms(ms)))))
}

/// One metric of this kind with a value per destination.
fn by_destination<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
    kind: MetricType,
) -> fmt::Result {
    match kind {
        Counter => family(encoder, name, help, "destination", rows.map(|(to, n)| (to, ConstCounter::new(n)))),
        _ => family(encoder, name, help, "destination", rows.map(|(to, n)| (to, ConstGauge::new(n)))),
    }
}

/// What connectors count, by whose they are and what it is; nothing at all where none does.
fn by_connector<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: impl Iterator<Item = (&'a str, (&'static str, u64))>,
) -> fmt::Result {
    let mut counts = counts.peekable();
    if counts.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, Counter)?;
    for (of, (kind, count)) in counts {
        ConstCounter::new(count).encode(family.encode_family(&[("kind", kind), (label, of)])?)?;
    }
    Ok(())
}

/// The processes of a cluster: by their numbers, since addresses are for admins.
fn members(encoder: &mut DescriptorEncoder<'_>, all: &[MemberReading]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    gauge(encoder, "deltaic_cluster_processes", "Processes that the cluster is to have", all.len() as u64)?;
    let present = all.iter().filter(|member| member.is_present).count();
    let help = "Processes that are there, as this one sees it: alert where it is less than deltaic_cluster_processes";
    gauge(encoder, "deltaic_cluster_processes_present", help, present as u64)?;
    let numbers: Vec<String> = (0..all.len()).map(|process| process.to_string()).collect();
    let by_number = || numbers.iter().map(String::as_str).zip(all);
    let skews = by_number().filter_map(|(process, of)| Some((process, of.skew_ms? as f64 / 1_000.0)));
    let help = "How far the clock of a process is ahead of that of process 0, which ticks go by: at process 0 of all, else of its own";
    family(
        encoder,
        "deltaic_cluster_clock_skew_seconds",
        help,
        "process",
        skews.map(|(of, s)| (of, ConstGauge::new(s))),
    )?;
    let heard = by_number().filter_map(|(process, of)| Some((process, ConstGauge::new(of_ms(of.heard_ms_ago?)))));
    let help = "How long ago another process was last heard of, by this one";
    family(encoder, "deltaic_cluster_last_pulse_seconds", help, "process", heard)
}
