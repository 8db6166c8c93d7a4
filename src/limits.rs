//! The limits outside of the dataflows, each with the reason for its default (invariant 7). Limits of the dataflows: `dataflows/limits.rs`.

use std::time::Duration;

/// Bytes of a message id. Ids are UUIDs, at times with a prefix; Segment takes 100.
pub const MESSAGE_ID_BYTES_MAX: usize = 100;

/// Bytes of the name of an identifier type: it is repeated in every identifier.
pub const IDENTIFIER_TYPE_BYTES_MAX: usize = 64;

/// Attributes that one event may set. People have tens of attributes; half of what one
/// identifier may hold (`dataflows/limits.rs`) leaves room for generated ones.
pub const ATTRIBUTES_PER_EVENT_MAX: usize = 500;

/// Bytes of the name of an attribute (dots included), and of a purpose that can be one of the project: it is kept once per person.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 200;

/// Objects in `traits` are flattened to this depth; deeper ones are kept as JSON text. Addresses and the like are two deep.
pub const ATTRIBUTE_DEPTH_MAX: usize = 4;

/// Lines of the log that wait to be written. A reader that keeps up leaves none; of one that does not, that is what is in memory: 1 MB.
pub const LOG_LINES_WAITING_MAX: usize = 4_096;

/// How long a connection may take for the head of a request, or be idle between two: what a slow sender can hold is cheap.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request may take for its body. 500 KB, which no library of phones and browsers goes beyond, in that time is slower
/// than any phone; the largest request, of a server, takes 2 Mbit/s.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of request bodies on their way, of all connections together. Who sends is known only when the body is there (browsers
/// have the write key in it), so strangers could otherwise fill the memory: connections times the size of a request is 40 GB.
/// What is compressed counts as what it is unpacked.
pub const BODY_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// Bytes of a request beyond the limit that are read and thrown away, so that its sender, who does not listen before all is sent,
/// gets to know why it is refused; beyond that the connection ends.
pub const BODY_BYTES_PASSED_OVER_MAX: usize = 16 * 1024 * 1024;

/// How long the next of these bytes may take.
pub const BODY_PASSED_OVER_IDLE: Duration = Duration::from_secs(1);

/// How long a sender waits for the receipt. Receipts take milliseconds; a disk that hangs must not collect requests.
pub const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests that are under way may take when the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Parts into which `hash_bucket` divides people: a part of so many is one in a million.
pub const BUCKETS_MAX: u32 = 1_000_000;

/// Bytes of the catalogue of definitions. With as many of each kind as there may be, and the longest names, it has less.
pub const CATALOGUE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Destinations of which a cluster remembers which process tells them, also when they are in the project no more; beyond it those are
/// forgotten. A hundred projects' worth.
pub const TELLERS_MAX: usize = 10_000;

/// Bytes of the head of a request. Heads with a cookie jar stay below 8 KB.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;

/// Bytes of the events of one tick in the log. Ticks end at 16 MB; then comes at most one request more, which a project may
/// let be large, and each of whose events may have the whole `context` of the request.
pub const LOG_ENTRY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Bytes of a frame of the log: what an entry of the largest size may be when it does not compress at all.
pub const LOG_FRAME_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX / 10 * 11 + 64 * 1024;

/// Bytes that are set aside for a segment of the log at least: the first, and those of a log that hardly grows.
pub const LOG_SEGMENT_BYTES_MIN: u64 = 256 * 1024;

/// Bytes of a segment, if it does not have a single entry that is larger. A start reads one of them; what is not needed any
/// more of the log goes in pieces of this size; and to get the next one ready takes less time than to fill this one.
pub const LOG_SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of events in a row group of the history, about: what is not written yet of a file is in memory.
pub const HISTORY_GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Rows in a row group of the history. Tools that read it work on a row group at a time; the filter over its identifiers is 256 KB.
pub const HISTORY_GROUP_ROWS_MAX: usize = 64 * 1024;

/// Bytes at which a file of the history ends; it is made in memory. Tools like files of this size: larger ones are no faster
/// to read, and many small ones are slower.
pub const HISTORY_FILE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a file of the history that can be read: it may be larger than it was to be by the events of one tick.
pub const HISTORY_FILE_BYTES_ALLOWED_MAX: u64 = (HISTORY_FILE_BYTES + 2 * LOG_ENTRY_BYTES_MAX) as u64;

/// Small files of a day at the end of the history that are made one. A checkpoint makes a file; of a day at 5,000 events a second
/// would otherwise be 4,000.
pub const HISTORY_MERGED_FILES: usize = 16;

/// Files of a history: the manifest, 200 bytes for each, is written at each checkpoint. Ten years at 1,000 events a second.
pub const HISTORY_FILES_MAX: usize = 1_000_000;

/// Bytes of the manifest of a history: of so many files.
pub const HISTORY_MANIFEST_BYTES_MAX: u64 = 512 * HISTORY_FILES_MAX as u64;

/// One call to the storage of a history: a file of [`HISTORY_FILE_BYTES`] within it takes 5 Mbit/s.
pub const HISTORY_CALL_MAX: Duration = Duration::from_secs(120);

/// The same with all that is tried again of it. A list of many files takes many calls.
pub const HISTORY_OPERATION_MAX: Duration = Duration::from_secs(300);

/// What a call may take once the process stops: one of a file of usual size is done by then, and what a crash leaves over is mended.
pub const HISTORY_STOP_MAX: Duration = Duration::from_secs(5);

/// The same where the manifest is read: a start waits for it, and goes on without where it may.
pub const HISTORY_MANIFEST_CALL_MAX: Duration = Duration::from_secs(20);

/// Retries of a call that failed for what may pass. After them the whole checkpoint is tried again, in its time.
pub const HISTORY_RETRIES_MAX: usize = 4;

/// Time after which a call is not tried again.
pub const HISTORY_RETRY_MAX: Duration = Duration::from_secs(15);

/// Bytes of the disk below which nothing is taken in any more. The storage needs room for moving what it has in memory (64 MB
/// for each of its larger keyspaces) to tables, and fails for good where it finds none.
pub const DISK_RESERVE_BYTES: u64 = 448 * 1024 * 1024;

/// Message ids that are gathered in memory before they go to disk, in a table of 26 MB; four such tables at most, and what is
/// sorted of one. Smaller lots are more files to look in; no table is full then, so that none grows in the midst of a tick.
pub const MESSAGE_LOT_IDS: usize = 850_000;

/// Bytes of the indexes of message ids that are in memory, two for each id: so those of the last 50 million ids. With the tables
/// above it is well below 300 MB, however long the window is.
pub const MESSAGE_INDEX_BYTES_MAX: u64 = 96 * 1024 * 1024;

/// Bytes that there must be beside the reserve for the engine to say that it is ready: those of a full tick, so that it is not
/// ready and not ready in turns while small batches fit and larger ones do not.
pub const LOG_ROOM_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the disk below which nothing is put into the quarantine: what is wrong must not take the room of what is right.
pub const QUARANTINE_RESERVE_BYTES: u64 = 2 * DISK_RESERVE_BYTES;

/// Bytes of rejected events that wait to be put into the quarantine; what does not fit is dropped, and counted.
pub const QUARANTINE_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that are put into the quarantine at once. It shares its journal with the log, which waits for as long as that takes.
pub const QUARANTINE_WRITE_BYTES_MAX: usize = 256 * 1024;

/// Bytes that are put into the quarantine in a second, so that a flood of bad events does not take the disk from the log.
pub const QUARANTINE_BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;

/// Events refused by a destination that are kept, to be looked at and sent once more; then the oldest go. More than anybody
/// looks at; a letter of about 500 bytes for each is in memory.
pub const DEAD_EVENTS_MAX: usize = 10_000;

/// Bytes of those events as JSON. They are on the disk, or in memory where there is no data folder.
pub const DEAD_EVENTS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entries of the quarantine that one call retries or names: each is read from the disk while the caller waits.
pub const QUARANTINE_CALL_ENTRIES_MAX: usize = 1_000;

/// Events of the quarantine that are handed to the engine together, unless one entry has more.
pub const RETRY_EVENTS_MAX: usize = 200;

/// Names of events that one source may use beside those of the project. Plans have some hundreds, and who makes names of what should
/// be properties has thousands: far beyond it somebody makes them up.
pub const EVENT_NAMES_PER_SOURCE_MAX: usize = 10_000;

/// Names of attributes likewise. People have tens of attributes; objects in `traits` are flattened, so maps make more of them.
pub const ATTRIBUTE_NAMES_PER_SOURCE_MAX: usize = 10_000;

/// Types of external ids likewise. Each is a part of each identifier, and is looked at on its own; projects have ten.
pub const IDENTIFIER_TYPES_PER_SOURCE_MAX: usize = 100;

/// The most that a project may set for names of events and attributes. One takes about 40 bytes of memory, and a line of 70 in a file.
pub const NAMES_PER_SOURCE_ALLOWED_MAX: u64 = 1_000_000;

/// The same for types of external ids.
pub const TYPES_PER_SOURCE_ALLOWED_MAX: u64 = 10_000;

/// Names of events that `deltaic events` tells apart: an equal share for each source, so that a page that makes up names makes no more,
/// and takes none from others. Plans have some hundreds.
pub const NAMES_SEEN_MAX: usize = 4_000;

/// The share of a source at least.
pub const NAMES_SEEN_PER_SOURCE_MIN: usize = 50;

/// Fields of one of these names: so one that makes up fields takes no room from others.
pub const FIELDS_PER_NAME_MAX: usize = 200;

/// Fields of all of them, about 260 bytes each where their names are as long as they may be: 5 MB. Likewise in equal shares.
pub const FIELDS_SEEN_MAX: usize = 20_000;

/// Bytes of an identifier's value that a project may allow: identifiers are parts of keys of the storage, of 64 KB at most.
pub const IDENTIFIER_BYTES_ALLOWED_MAX: u64 = 32 * 1024;

/// Bytes of a small file of the data folder (`FORMAT`, `PROCESS`, `SEAL` …): the largest has two pages.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of the storage's list of tables. A table is 33 bytes of it and has 64 MB: so many are 32 TB.
pub const VERSION_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Scans of relations under way at a time. Each has workers busy for a part of their time, and a tick of its own for which the past is held.
pub const SCANS_MAX: usize = 4;

/// How long a scan may take, unless it says otherwise.
pub const SCAN_TIME_MAX: Duration = Duration::from_secs(60);

/// Bytes of rows that a scan may have that is collected in memory, unless it says otherwise.
pub const SCAN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Ticks with changes that may wait for the reader of a subscription: a second or more of them.
pub const SUBSCRIPTION_TICKS_MAX: usize = 1_000;

/// Milliseconds that a read waits where it does not say.
pub const WAIT_MS_DEFAULT: u64 = 1_000;

/// Members in one answer where the read does not say.
pub const PAGE_DEFAULT: usize = 100;

/// Bytes of the token of a cluster at least: as many as nobody guesses, also who writes down what two processes say to each other.
pub const CLUSTER_TOKEN_BYTES_MIN: usize = 16;

/// Processes of a cluster: each has connections to all others. Positions of events have room for 65,536.
pub const PROCESSES_MAX: usize = 256;

/// How much memory the process may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// 80 % of what the machine, or the container, has.
    #[default]
    OfMachine,
    /// Any amount.
    Off,
    /// So many bytes.
    Bytes(u64),
}

/// Limits that a project may set under `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event. 32 KB is the limit of the Segment tracking API.
    pub event_bytes_max: usize,
    /// Bytes of one request after decompression. 4 MB is the limit of RudderStack's; the Segment tracking API has 500 KB, which
    /// servers that batch by number of events go beyond.
    pub request_bytes_max: usize,
    /// Events of one request. 2,500 is the limit of the Segment tracking API.
    pub batch_events_max: usize,
    /// Identifiers of one event: a hostile one could link thousands of people at once.
    pub identifiers_per_event_max: usize,
    /// Bytes of one identifier's value; real ones are e-mail addresses (at most 254) and device ids.
    pub identifier_bytes_max: usize,
    /// Events accepted and not yet through the dataflow; beyond it senders get 429. About 100 MB of parsed events.
    pub pending_events_max: usize,
    /// Bytes of the texts of these events. Events of the largest size would be 3 GB otherwise; parsed, they take as much again.
    pub pending_bytes_max: usize,
    /// Resident memory that senders get 429 before it is reached, rather than that the kernel kills the process.
    pub memory_limit: MemoryLimit,
    /// Message ids remembered where there is no data folder, and in replays, at most; beyond it the oldest are forgotten
    /// early, and it is said for how long they are remembered. About 40 bytes each, in memory. In a data folder they are on disk,
    /// without a limit. In a cluster it also bounds what the dataflow remembers to tell apart what came to two processes.
    pub dedupe_ids_max: usize,
    /// Events that may wait for one destination; beyond it the oldest are given up. A day at 10 events a second: who does
    /// not take them for longer has to be told otherwise what happened.
    pub forward_events_max: usize,
    /// Bytes of those events as JSON. They are on the disk, or in memory where there is no data folder.
    pub forward_bytes_max: usize,
    /// Members or profiles in one answer.
    pub page_max: usize,
    /// Milliseconds that a read with `after` waits at most.
    pub wait_ms_max: u64,
    /// Connections of the HTTP server.
    pub connections_max: usize,
    /// Rejected events in the quarantine; then the oldest go. Nobody looks through more; an index of about 60 bytes each is in memory.
    pub quarantine_entries_max: usize,
    /// Bytes of them. Without a data folder they are in memory.
    pub quarantine_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            event_bytes_max: 32 * 1024,
            request_bytes_max: 4 * 1024 * 1024,
            batch_events_max: 2_500,
            identifiers_per_event_max: 32,
            identifier_bytes_max: 512,
            pending_events_max: 100_000,
            pending_bytes_max: 128 * 1024 * 1024,
            memory_limit: MemoryLimit::OfMachine,
            dedupe_ids_max: 5_000_000,
            forward_events_max: 1_000_000,
            forward_bytes_max: 512 * 1024 * 1024,
            page_max: 1_000,
            wait_ms_max: 30_000,
            connections_max: 10_000,
            quarantine_entries_max: 100_000,
            quarantine_bytes_max: 64 * 1024 * 1024,
        }
    }
}

// Limits of the project file. A project comes from its owner, so these guard against mistakes and generated files, and
// keep ids of definitions within their 16 bits.

/// Bytes of `deltaic.toml`. A thousand definitions of average length take a tenth of it.
pub const PROJECT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one expression. The longest useful one is a list of some hundred values.
pub const EXPRESSION_BYTES_MAX: usize = 4 * 1024;

/// Levels of nesting in one expression: people lose track at ten, and evaluation recurses.
pub const EXPRESSION_DEPTH_MAX: usize = 48;

/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 100;

/// Triggers of a project: each is looked at when what it is on happens.
pub(crate) const TRIGGERS_MAX: usize = 200;

/// Entries of the payload of a trigger.
pub(crate) const TRIGGER_PAYLOAD_MAX: usize = 100;

/// Sequences that have a name in a project.
pub(crate) const SEQUENCES_MAX: usize = 1_000;

/// Steps of a sequence: each has a bit in what is kept of an event, and a time to look at for each event.
pub(crate) const SEQUENCE_STEPS_MAX: usize = 16;

/// Events that a step of a sequence may ask for: a tenth of those that are looked at.
pub(crate) const SEQUENCE_TIMES_MAX: u16 = 100;

/// Kinds of sessions of a project: each keeps runs of all identifiers.
pub(crate) const SESSIONS_MAX: usize = 100;

/// Values of a session: each run has all of them.
pub(crate) const SESSION_VALUES_MAX: usize = 50;

/// The place up to which `top` tells values apart by how frequent they are.
///
/// To find it, so many are stepped over at each change; what is beyond is not what anybody likes best.
pub(crate) const TOP_PLACES_MAX: u16 = 100;

/// Levels of objects and arrays within a value that is one. What is deeper is kept as its text.
///
/// It leaves as JSON, and parsers of readers give up at 64 levels or more: one event could make a profile unreadable.
pub(crate) const NESTED_DEPTH_MAX: usize = 32;

/// Values in a `list` that says nothing of how many.
///
/// What is shown of a person, or sent, is read by people and programs that make room for tens.
pub(crate) const LISTED_VALUES: u16 = 20;

/// Values in a `list` at most.
///
/// All of them are read at each change, and leave with each payload.
pub(crate) const LISTED_VALUES_MAX: u16 = 1_000;

/// Events of `last_n` at most.
///
/// Each identifier keeps so many, in memory.
pub(crate) const LATEST_EVENTS_MAX: u16 = 100;

/// Traits of a project, and attributes that it declares or uses, each.
pub const TRAITS_MAX: usize = 1_000;

/// Audiences of a project: each costs evaluation at every change of a profile.
pub const AUDIENCES_MAX: usize = 1_000;

/// Different aggregates over events in a project: each costs memory per person.
pub const MEASURES_MAX: usize = 4_000;

/// Different fields of events that a project reads: each is looked up in every event.
pub const FIELDS_MAX: usize = 1_000;

/// Purposes of consent of a project: an event may decide on each of them, and each is kept once per person. Consent tools have ten.
pub const PURPOSES_MAX: usize = 100;

/// Entries of `from` of `[identity]`: each is looked at in the events that it is meant for.
pub const ORIGINS_MAX: usize = 200;

/// Names in the path of such an entry.
pub const ORIGIN_DEPTH_MAX: usize = 8;

/// Sources of a project.
pub const SOURCES_MAX: usize = 1_000;

/// Destinations of a project: each has its own queue and connections.
pub const DESTINATIONS_MAX: usize = 100;

/// Calls to one destination that may be on their way at a time. Each holds a connection and a batch; receivers that take
/// more at once take larger batches better.
pub const CONCURRENCY_MAX: u64 = 64;

/// Entries of one list in the project file.
pub const LIST_MAX: usize = 1_000;

/// The longest duration, in milliseconds: ten years. A longer window is better none at all.
pub const DURATION_MS_MAX: u64 = 3_660 * 24 * 60 * 60 * 1_000;

/// Errors of a project file that are printed; nobody reads on.
pub const PROBLEMS_MAX: usize = 100;

/// Ids of messages that are asked for, or told, at once between processes: an answer comes when all of them have been looked up,
/// at some microseconds each.
pub const OWNERS_IDS_AT_ONCE: usize = 16 * 1024;

/// Bytes of what processes say to each other about message ids at once: so many ids, and what goes with them.
pub const OWNERS_FRAME_BYTES_MAX: usize = 32 * OWNERS_IDS_AT_ONCE;

/// How long a request waits for the owners of its message ids. They take a millisecond; a sender tries again, perhaps elsewhere.
pub const OWNERS_WAIT: Duration = Duration::from_secs(2);

/// How long a connection between the processes of a cluster may take to say who it is.
pub const PROCESS_HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of what a process of a cluster says of itself: the names of as many definitions and sources as there may be, with a hash each.
/// Read only of who knows the token.
pub const PROCESS_HELLO_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How often the processes of a cluster say that they are there.
pub const PULSE_EVERY: Duration = Duration::from_millis(250);

/// From when on a process that says nothing is said to be silent: six beats, which a busy machine does not miss.
pub const PULSE_SILENT_AFTER: Duration = Duration::from_millis(1_500);

/// From when on it is lost: pauses of virtual machines end before that, and to start a cluster again takes longer.
pub const PULSE_LOST_AFTER: Duration = Duration::from_secs(10);

/// How long a process of a cluster that stops waits for the others to come to their end.
pub const CLUSTER_STOP_MAX: Duration = Duration::from_secs(10);

/// How long a process that ends since another one was told to stop waits to be told so, too: who stops a cluster tells one after the
/// other, and all of them end as they were told.
pub const CLUSTER_STOP_GRACE: Duration = Duration::from_secs(1);

/// How long it is waited for another reason to end than a fault: where another process went, faults here follow from that.
pub const CLUSTER_FAULT_GRACE: Duration = Duration::from_millis(500);

/// Connections to a process of a cluster that have not said yet who they are. The other processes come one by one.
pub const PROCESS_STRANGERS_MAX: usize = 64;

/// Bytes of a line of a dump: an event is as large as a request at most, and few projects take requests of a tenth of this.
pub const DUMP_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names of events in a file that `deltaic check` remembers though no definition reads them: one of them may be meant.
pub const SAMPLED_NAMES_MAX: usize = 1_000;

/// Files of a replay that are opened at once where there are no more; of more, each is opened when its first event is due, which
/// takes a look into each before. A system lets a process have 1,024 files, often fewer.
pub const REPLAY_FILES_OPENED_AT_ONCE_MAX: usize = 32;

/// Files of a replay that are open at a time because their times overlap. Each has 64 KB of its file in memory, and as much of the
/// text where it is compressed.
pub const REPLAY_FILES_OPEN_MAX: usize = 200;

/// For how long a clock that jumped must have stayed as it is before ticks follow it: a time server that is wrong, or a machine that
/// is just being set, is another one by then.
pub const CLOCK_SETTLES: Duration = Duration::from_secs(60);

/// How far a clock may have jumped ahead for ticks to follow it without an order. Mistakes are larger: a wrong year, a dead battery.
pub const CLOCK_FOLLOWED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Jumps of the clock that are remembered. There is one a minute at most, so these fill any window in which the clock is of use.
pub const CLOCK_JUMPS_MAX: usize = 1_000;

/// How long a process of a cluster waits at its start for the time of process 0, which answers at once.
pub const CLOCK_WAIT: Duration = Duration::from_secs(10);
