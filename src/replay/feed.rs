//! Reads the events of a replay, gives them their ticks, and feeds them to the workers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use dataflows::model::{Event, Position, Tick};
use dataflows::observations;
use dataflows::relations::{ListPage, Profiles, Query, Question, Scan, ScanFrom, ScanOf, SliceMax};
use indicatif::{ProgressBar, ProgressStyle};

use super::files::{Files, Missed, are_dumps};
use super::merged::{AtTick, Merged};
use super::triggers::ReplayedTriggers;
use super::{RecordedOptions, ReplayError, ReplayOptions};
use crate::dedupe::{InMemory, MessageWindow};
use crate::engine::{CHUNK_EVENTS, CHUNKS_IN_FLIGHT, WorkerCommand, Workers, WorkersError};
use crate::ingest::Rejection;
use crate::ingest::segment::{DecodedEvent, Extractor};
use crate::log::{FIRINGS, placed};
use crate::project::Project;

/// Rejected lines that are shown; all are counted.
const REJECTIONS_SHOWN: usize = 20;

/// What reads, numbers and sends the events.
pub(super) struct Feed<'p> {
    /// What triggers fire, where that is asked for.
    triggers: Option<ReplayedTriggers<'p>>,
    dedupe: InMemory,
    tick: Tick,
    /// The place of the next event among those of this tick: the order of the files, and of their lines.
    index: u32,
    chunk: Vec<(Tick, observations::Arrival)>,
    /// The last ticks of the chunks that are on their way.
    sent: Vec<Tick>,
    complete: Tick,
    /// What was taken for now; a log has been told what was now.
    pub(super) now: Option<Tick>,
    pub(super) events: u64,
    pub(super) duplicates: u64,
    /// Events that are later than the end that was asked for.
    pub(super) later: u64,
    pub(super) rejected: BTreeMap<&'static str, u64>,
    pub(super) warnings: BTreeMap<&'static str, u64>,
    pub(super) as_of: Option<Tick>,
}

impl<'p> Feed<'p> {
    pub(super) fn new(project: &Project, triggers: Option<ReplayedTriggers<'p>>) -> Self {
        Feed {
            triggers,
            dedupe: InMemory::new(MessageWindow::new(project.clock.dedupe_window), project.limits.dedupe_ids_max),
            tick: Tick::default(),
            index: 0,
            chunk: Vec::with_capacity(CHUNK_EVENTS),
            sent: Vec::new(),
            complete: Tick::default(),
            now: None,
            events: 0,
            duplicates: 0,
            later: 0,
            rejected: BTreeMap::new(),
            warnings: BTreeMap::new(),
            as_of: None,
        }
    }

    pub(super) fn run(
        &mut self,
        project: &Project,
        options: &ReplayOptions,
        workers: &Workers,
        progressed: &Receiver<Tick>,
    ) -> Result<(), ReplayError> {
        let dumps = || RecordedOptions { dumps: options.events.clone(), ..RecordedOptions::default() };
        let recorded = match &options.recorded {
            None if are_dumps(project, &options.events)? => Some(Cow::Owned(dumps())),
            recorded => recorded.as_ref().map(Cow::Borrowed),
        };
        match recorded {
            Some(recorded) => self.read_recorded(project, &recorded, options.until, workers, progressed)?,
            None => self.read_files(project, options, workers, progressed)?,
        }
        let as_of = options.until.unwrap_or(self.tick);
        self.pass_time(as_of, workers, progressed)?;
        self.send(workers, progressed)?;
        workers.advance_to(as_of);
        if options.memberships.is_some() || options.profiles.is_some() {
            let (from, most) = (ScanFrom::Beginning, SliceMax::UNLIMITED);
            let of = Profiles::into_any(ScanOf { from, end: None, most, list: ListPage::Only });
            workers.tell(0, WorkerCommand::Ask(as_of, Query::new(0, 0, Question::Scan(of))));
        }
        workers.advance_to(as_of.next());
        self.wait_for(progressed, as_of.next())?;
        self.settle_rest(as_of, workers, progressed)?;
        self.as_of = Some(as_of);
        Ok(())
    }

    /// Takes in what an engine wrote, at the ticks and places that it has there. It has each message once.
    fn read_recorded(
        &mut self,
        project: &Project,
        recorded: &RecordedOptions,
        until: Option<Tick>,
        workers: &Workers,
        progressed: &Receiver<Tick>,
    ) -> Result<(), ReplayError> {
        let extractor = Extractor::of_stored(project);
        self.triggers.iter_mut().for_each(ReplayedTriggers::come_behind_all);
        let bar = ProgressBar::no_length().with_style(ProgressStyle::default_spinner());
        for at_tick in Merged::open(recorded, until.unwrap_or(Tick::MAX))? {
            let AtTick { tick, mut events } = at_tick?;
            self.pass_time(tick, workers, progressed)?;
            self.tick = tick;
            if self.triggers.is_some() {
                // What was fired then is fired again, by the triggers that there are now.
                events.retain(|(_, source, _)| source.as_deref() != Some(FIRINGS));
            }
            for (position, source, raw) in events {
                match extractor.decode_stored(source.as_deref().unwrap_or_default(), &raw) {
                    Ok(event) => {
                        let event = placed(event, tick, position);
                        self.feed(event, workers, progressed)?;
                    }
                    Err(rejection) => self.reject(&bar, &format!("tick {tick}: {rejection}"), &rejection),
                }
            }
            if self.chunk.is_empty() {
                bar.set_message(format!("{} events", self.events));
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn read_files(
        &mut self,
        project: &Project,
        options: &ReplayOptions,
        workers: &Workers,
        progressed: &Receiver<Tick>,
    ) -> Result<(), ReplayError> {
        let bar = progress_bar(&options.events);
        self.now = options.now;
        let (now, until) = (options.now.unwrap_or(Tick::MAX), options.until.unwrap_or(Tick::MAX));
        let mut unsorted: Vec<DecodedEvent> = Vec::new();
        let mut files = Files::open(project, &options.events, now, until)?;
        while let Some(read) = files.next() {
            match read {
                Ok(arrival) if project.replay.sort_by_time => unsorted.push(arrival),
                Ok(arrival) => self.take_in(arrival, workers, progressed)?,
                Err(Missed::Rejected(rejected)) => {
                    self.reject(&bar, &rejected.to_string(), &rejected.rejection);
                }
                Err(Missed::Later) => self.later += 1,
                Err(Missed::Failed(error)) => return Err(error),
            }
            // Not for each event: it takes a lock and looks at the clock.
            if self.chunk.is_empty() {
                bar.set_position(files.bytes_read());
            }
        }
        // A stable sort: events of one time keep the order of the files.
        unsorted.sort_by_key(|arrival| arrival.at);
        for arrival in unsorted {
            self.take_in(arrival, workers, progressed)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Gives an event its tick, and sends the chunk that it completes.
    fn take_in(
        &mut self,
        arrival: DecodedEvent,
        workers: &Workers,
        progressed: &Receiver<Tick>,
    ) -> Result<(), ReplayError> {
        if self.tick < arrival.at {
            self.pass_time(arrival.at, workers, progressed)?;
            if self.tick < arrival.at {
                (self.tick, self.index) = (arrival.at, 0);
            }
        }
        if !self.dedupe.admit(arrival.accepted.message, self.tick) {
            self.duplicates += 1;
            return Ok(());
        }
        arrival.warnings.iter().for_each(|warning| *self.warnings.entry(warning.code()).or_default() += 1);
        let position = Position { tick: self.tick, process: 0, index: self.index };
        self.index = self.index.saturating_add(1);
        let event = placed(arrival.accepted.event, self.tick, position);
        self.feed(event, workers, progressed)
    }

    /// Time goes on to `until`. Where it is asked what triggers fire, there are stops on the way, at which the records of that come in.
    fn pass_time(&mut self, until: Tick, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        while let Some(stop) = self.triggers.as_mut().and_then(|triggers| triggers.next_stop(until)) {
            self.send(workers, progressed)?;
            workers.advance_to(stop);
            self.wait_for(progressed, stop)?;
            let records = self.triggers.as_mut().map_or(Ok(Vec::new()), |triggers| triggers.settle(stop, stop))?;
            (self.tick, self.index) = (stop, u32::try_from(records.len()).unwrap_or(u32::MAX));
            self.chunk.extend(records.into_iter().map(|record| (stop, observations::Arrival::Event(record))));
        }
        if let Some(triggers) = &mut self.triggers {
            triggers.came(until);
        }
        Ok(())
    }

    /// All events up to `until` are through: what was fired up to then comes back, and what waited for that is decided.
    fn settle_rest(&mut self, until: Tick, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        let mut tick = until.next();
        let Some(mut triggers) = self.triggers.take() else { return Ok(()) };
        loop {
            let records = triggers.settle(tick, until)?;
            if !triggers.has_fired() {
                return triggers.finish();
            }
            let arrivals = records.into_iter().map(|record| (tick, observations::Arrival::Event(record)));
            workers.send(arrivals.collect());
            tick = tick.next();
            workers.advance_to(tick);
            self.wait_for(progressed, tick)?;
        }
    }

    /// Adds an event of the present tick to the chunk, and sends that when it is full.
    fn feed(&mut self, event: Event, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        self.events += 1;
        self.chunk.push((self.tick, observations::Arrival::Event(event)));
        if self.chunk.len() == CHUNK_EVENTS { self.send(workers, progressed) } else { Ok(()) }
    }

    fn reject(&mut self, bar: &ProgressBar, message: &str, rejection: &Rejection) {
        let count = self.rejected.entry(rejection.code()).or_default();
        *count += 1;
        if self.rejected.values().sum::<u64>() <= REJECTIONS_SHOWN as u64 {
            bar.suspend(|| _ = writeln!(io::stderr(), "{message}"));
        }
    }

    /// Sends the chunk, once there is room for it.
    fn send(&mut self, workers: &Workers, progressed: &Receiver<Tick>) -> Result<(), ReplayError> {
        if self.sent.len() >= CHUNKS_IN_FLIGHT {
            let oldest = self.sent.remove(0);
            self.wait_for(progressed, oldest)?;
        }
        workers.send(std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_EVENTS)));
        // Not beyond the tick: the next event may have the same.
        workers.advance_to(self.tick);
        self.sent.push(self.tick);
        Ok(())
    }

    /// Waits until everything before `tick` is complete.
    fn wait_for(&mut self, progressed: &Receiver<Tick>, tick: Tick) -> Result<(), ReplayError> {
        while self.complete < tick {
            let failed = |_| WorkersError::Failed("it ended early".to_owned());
            self.complete = progressed.recv().map_err(failed)?;
        }
        Ok(())
    }
}

/// A bar over the bytes of the files; hidden where standard error is no terminal.
fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let bytes = files.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    let template = "{elapsed_precise} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("=> "))
}
