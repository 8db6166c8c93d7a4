//! The command line: what was asked → which function.

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use anyhow::{anyhow, bail};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use dataflows::model::Tick;
use deltaic::egress;
use deltaic::ending::Exit;
use deltaic::engine::{Topology, WorkersError};
use deltaic::history::HistoryAddress;
use deltaic::http::Admission;
use deltaic::log::{inspect, repair, rewind};
use deltaic::observe::logging::{self, LogFormat, Logging};
use deltaic::output::{Patient, Stdout};
use deltaic::project::{self, Colour, Project};
use deltaic::serve::Server;
use deltaic::{admin, clock, features, memory, receive, replay, sample, serve};
#[cfg(feature = "load")]
use deltaic::{hist, load};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A real-time customer data platform engine.
#[derive(Parser)]
#[command(version, long_version = VERSION.as_str(), max_term_width = 100)]
struct Cli {
    /// The format of log lines on standard error. DELTAIC_LOG sets what is logged: a level such as `debug`, or `TARGET=LEVEL,…`.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine: ingest events, maintain audiences, deliver changes.
    Run {
        /// The folder with `deltaic.toml`.
        project: PathBuf,
        /// The address to listen on. Overrides the project.
        #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
        listen: Option<SocketAddr>,
        /// The data folder for events and delivery state. Overrides the project.
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
        /// Start although changed definitions need more of the past than is kept; they count what there is.
        #[arg(long)]
        accept_partial: bool,
        /// Take over a data folder that is a copy or belongs to another instance, and deliver from it.
        #[arg(long, conflicts_with = "no_delivery")]
        take_over: bool,
        /// Ingest events, but deliver nothing.
        #[arg(long)]
        no_delivery: bool,
        /// The address of this destination has changed, and nothing is there yet: deliver everything.
        #[arg(long, value_name = "DESTINATION")]
        as_new: Vec<String>,
        /// The address of this destination has changed, and what it confirmed is there: deliver what is new.
        #[arg(long, value_name = "DESTINATION")]
        as_moved: Vec<String>,
        /// Accept the clock of this machine, although it is far from the last tick of the data folder.
        #[arg(long)]
        accept_clock: bool,
        /// Accept the key of [identity], although the data folder was written with another one: messages sent before count again if they are sent again.
        #[arg(long)]
        accept_key: bool,
        /// Append the latency histograms of each second to this file (HdrHistogram interval log, V2).
        #[arg(long, value_name = "FILE")]
        hlog: Option<PathBuf>,
        /// Start the clock at this time (RFC 3339) instead of the machine's, to test what depends on the age of data.
        #[arg(long, value_name = "TIME", value_parser = project::parse_time, hide = true)]
        clock_from: Option<Tick>,
        #[command(flatten)]
        workers: WorkerArgs,
    },
    /// Check a project and report every problem. With a data folder, also report what a start would read and deliver.
    Check {
        /// The folder with `deltaic.toml`, or that file.
        project: PathBuf,
        /// A data folder that is not in use. It is only read.
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
        /// The worker threads that read the data folder.
        #[arg(long, value_name = "N", default_value_t = 1)]
        workers: usize,
        /// Files of events, as for `replay`: report fields that definitions read and the events lack or have with another type.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        events: Vec<PathBuf>,
        /// Show all settings, defaults included: how identities are resolved, the types of attributes, and what each definition
        /// reads.
        #[arg(short, long)]
        verbose: bool,
    },
    /// Replay recorded events through the same dataflow, on the events' own clock.
    Replay {
        /// The folder with `deltaic.toml`.
        project: PathBuf,
        /// Files of events, merged by time: JSONL, or CSV by the project's mapping; also with `.gz`. What `deltaic log dump` wrote
        /// is taken as with --from-dump. [default: those of the project]
        #[arg(long, value_name = "FILE", num_args = 1..)]
        events: Vec<PathBuf>,
        /// Replay what `deltaic log dump` wrote, at the ticks and in the order of the log; in a cluster the dumps of all processes.
        #[arg(long, value_name = "FILE", num_args = 1.., group = "recorded", conflicts_with_all = ["events", "until", "from_history"])]
        from_dump: Vec<PathBuf>,
        /// Replay the history of an engine, at its ticks and in its order: a folder `history`, the data folder that has it, or
        /// `s3://BUCKET/PREFIX`; in a cluster those of all processes.
        #[arg(long, value_name = "HISTORY", num_args = 1.., group = "recorded", conflicts_with_all = ["events", "until"])]
        from_history: Vec<PathBuf>,
        /// Replay only what arrived at or after this time (RFC 3339, or a date), of a history or a dump.
        #[arg(long, value_name = "TIME", value_parser = project::parse_time, requires = "recorded")]
        from: Option<Tick>,
        /// Replay only what arrived at or before this time, of a history or a dump. Results are as of it.
        #[arg(long, value_name = "TIME", value_parser = project::parse_time, requires = "recorded")]
        to: Option<Tick>,
        /// Leave out events later than this time (RFC 3339, or a date). Results are as of it.
        #[arg(long, value_name = "TIME", value_parser = project::parse_time)]
        until: Option<Tick>,
        /// The present, for files: later events are from the future and rejected. [default: the time at the start]
        #[arg(long, value_name = "TIME", value_parser = project::parse_time, conflicts_with = "recorded")]
        now: Option<Tick>,
        /// Write each entry into and exit from an audience, in the order of ticks. `-` is standard output.
        #[arg(long, value_name = "FILE")]
        changes: Option<PathBuf>,
        /// Write each move of an identifier (by its hash) from one profile to another, in the order of ticks.
        #[arg(long, value_name = "FILE")]
        identities: Option<PathBuf>,
        /// Write the messages that triggers would have sent, in the order of ticks.
        #[arg(long, value_name = "FILE")]
        triggers: Option<PathBuf>,
        /// Write the members of the audiences at the end.
        #[arg(long, value_name = "FILE")]
        memberships: Option<PathBuf>,
        /// Write the profiles at the end.
        #[arg(long, value_name = "FILE")]
        profiles: Option<PathBuf>,
        #[command(flatten)]
        workers: WorkerArgs,
    },
    /// Inspect, verify, repair or rewind the log of a data folder that is not in use.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Show the destinations of a running engine; pause, resume or resync one of them.
    Destination {
        #[command(flatten)]
        engine: admin::EngineAddress,
        #[command(subcommand)]
        command: admin::destination::DestinationCommand,
    },
    /// Show what destinations of a running engine refused for good; resend it or drop it.
    DeadLetters {
        #[command(flatten)]
        engine: admin::EngineAddress,
        #[command(subcommand)]
        command: admin::dead_letters::DeadLettersCommand,
    },
    /// Make a running engine deliver that does not, since its data folder is a copy.
    TakeOver {
        #[command(flatten)]
        engine: admin::EngineAddress,
    },
    /// Show the ticks and the machine's clock of a running engine, or accept a clock that jumped.
    Clock {
        #[command(flatten)]
        engine: admin::EngineAddress,
        #[command(subcommand)]
        command: admin::clock::ClockCommand,
    },
    /// Show the processes of a cluster and their progress.
    Cluster {
        #[command(flatten)]
        engine: admin::EngineAddress,
        #[command(subcommand)]
        command: admin::cluster::ClusterCommand,
    },
    /// Show the events that a running engine rejected; retry them or delete them.
    Quarantine {
        #[command(flatten)]
        engine: admin::EngineAddress,
        #[command(subcommand)]
        command: admin::quarantine::QuarantineCommand,
    },
    /// Show the events that come in at a running engine, by source and name, with their fields and whether definitions fit them.
    Events(admin::events::EventsOptions),
    /// Show where a running engine spends its time and memory.
    Top(admin::top::TopOptions),
    /// Write the dataflow as a Graphviz graph: of a running engine, with sizes, or of a project.
    Dot(admin::dot::DotOptions),
    /// Receive webhook calls, verify them and print them.
    Receive {
        /// The port to listen on; 0 for any free one.
        #[arg(long)]
        port: u16,
        /// The secret that signs calls. Better set `DELTAIC_WEBHOOK_SECRET`: arguments are visible to other users.
        #[arg(long)]
        secret: Option<String>,
        /// Answer every n-th call with 500.
        #[arg(long, value_name = "N")]
        fail_every: Option<u32>,
        /// The time to answer each call, in milliseconds.
        #[arg(long, value_name = "MS", default_value_t = 0)]
        delay_ms: u64,
    },
    /// Send events to a running engine at a rate, and verify every resulting change. Secrets come from
    /// `DELTAIC_WRITE_KEY`, `DELTAIC_READ_TOKEN` and `DELTAIC_WEBHOOK_SECRET`; without them those of `examples/load` are used.
    #[cfg(feature = "load")]
    Load(Box<load::LoadOptions>),
    /// Show the percentiles of interval logs, and the difference between two of them.
    #[cfg(feature = "load")]
    Hist(hist::HistOptions),
    /// Write a shell completion script to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages into a folder: `deltaic.1` and one for each command.
    Man {
        /// The folder. It is created if it is missing.
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
enum LogCommand {
    /// Show counts and sizes.
    Stat {
        /// The data folder.
        folder: PathBuf,
        /// Its history, if that is elsewhere: `s3://BUCKET/PREFIX`, with credentials from the environment (`AWS_…`).
        #[arg(long, value_name = "HISTORY")]
        history: Option<PathBuf>,
    },
    /// Write the events as lines of JSON, with their ticks.
    Dump {
        /// The data folder.
        folder: PathBuf,
        /// The first tick or time (RFC 3339, or a date).
        #[arg(long, value_name = "TIME", value_parser = tick_or_date, default_value = "1970-01-01")]
        from: Tick,
        /// The last tick or time, included. [default: the end]
        #[arg(long, value_name = "TIME", value_parser = tick_or_date)]
        until: Option<Tick>,
    },
    /// Read everything and report damage.
    Verify {
        /// The data folder.
        folder: PathBuf,
        /// Its history, if that is elsewhere: `s3://BUCKET/PREFIX`, with credentials from the environment (`AWS_…`).
        #[arg(long, value_name = "HISTORY")]
        history: Option<PathBuf>,
    },
    /// Rewind a data folder to a tick, after a wrong clock. What came later is set aside beside the folder.
    Rewind {
        /// The data folder.
        folder: PathBuf,
        /// The last tick that stays: milliseconds since 1970, or a time (RFC 3339).
        #[arg(long, value_name = "TICK", value_parser = tick)]
        to: Tick,
    },
    /// Copy what is sound in a damaged data folder into a new one, and report what is lost. The damaged one stays as it is.
    Repair {
        /// The damaged data folder.
        folder: PathBuf,
        /// The new one.
        #[arg(long, value_name = "COPY")]
        into: PathBuf,
    },
}

#[derive(Args)]
struct WorkerArgs {
    /// Worker threads of this process.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// The index of this process in the cluster, from 0. Processes talk unencrypted: keep their ports in a private network.
    #[arg(long, value_name = "I", requires = "hosts")]
    process: Option<usize>,
    /// The processes of the cluster: a file with one `host:port` a line, the same for all.
    #[arg(long, value_name = "FILE", requires = "process")]
    hosts: Option<PathBuf>,
}

impl WorkerArgs {
    fn topology(&self) -> anyhow::Result<Topology> {
        let threads = self.workers.into();
        Ok(match (&self.hosts, self.process) {
            (Some(hosts), Some(process)) => Topology::cluster(threads, process, hosts)?,
            _ => Topology::local(threads),
        })
    }
}

/// What stands below the help of each command.
const BELOW_HELP: &str = "\
Exit codes:
    0  all went well; a reader that went away, as `head` does, is no error
    1  something is wrong: a project or its data, a damaged folder, lines of which none was right, an engine that cannot go on
    2  the command line is wrong
   70  a mistake of the program: a thread or task that the engine needs has panicked; started again it may go well
   75  another process of the cluster is gone, or was told to stop: start all of them again; `cluster status`: one is silent or gone
   78  the processes of the cluster do not go together: they are to be given the same program, project, hosts file and workers
  130  interrupted once more while it was stopping

Environment:
  DELTAIC_LOG             what is logged: error, warn, info, debug, trace or off, or TARGET=LEVEL, several with commas
  NO_COLOR                no colours, where it is not empty
  DELTAIC_ADMIN_TOKEN     for commands that talk to a running engine
  DELTAIC_WRITE_KEY, DELTAIC_READ_TOKEN, DELTAIC_WEBHOOK_SECRET
                          for `load`; the last for `receive`, too
  AWS_…                   access to histories in S3-compatible storage, where the project does not say it
  RUST_BACKTRACE          1: where in the program a mistake of it is
  and those that the project file names: ${NAME}, ${NAME:-default}";

/// The version, with what is in it.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}\nfeatures: {}", env!("CARGO_PKG_VERSION"), features::listed()));

/// The command line, each command with what is the same for all.
fn described_cli() -> clap::Command {
    Cli::command().after_help(BELOW_HELP).mut_subcommands(|command| command.after_help(BELOW_HELP))
}

fn main() -> ExitCode {
    let matches = described_cli().get_matches();
    let Cli { log_format, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let (filter, problem) = match logging::filter(environment("DELTAIC_LOG").as_deref()) {
        Ok(filter) => (filter, None),
        Err(error) => (Default::default(), Some(error)),
    };
    let logging = Logging::start(filter, log_format, matches!(Colour::of_stderr(), Colour::Terminal));
    let done = match problem {
        Some(error) => Err(anyhow!("DELTAIC_LOG: {error}")),
        // A mistake on this thread is one as any other.
        None => catch_unwind(AssertUnwindSafe(|| run(command, &logging))).unwrap_or_else(|_| {
            logging.say("deltaic: a mistake of the program; what it said stands above\n");
            Ok(ExitCode::from(Exit::Fault.code()))
        }),
    };
    match done {
        Ok(code) => code,
        // Whoever read has seen enough.
        Err(_) if Stdout::reader_is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            // Not its chain: each message names its cause.
            logging.say(&format!("deltaic: {error}\n"));
            ExitCode::from(exit_of(&error).code())
        }
    }
}

fn run(command: Command, logging: &Logging) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run {
            project,
            listen,
            data,
            accept_partial,
            take_over,
            no_delivery,
            as_new,
            as_moved,
            accept_clock,
            accept_key,
            hlog,
            clock_from,
            workers,
        } => {
            memory::without_huge_pages();
            let topology = workers.topology()?;
            let folder = project;
            let project = load(&folder, logging)?;
            follow(&project, logging)?;
            let admission = Admission::new(&project);
            let hangups = Hangups { running: Arc::new(project.clone()), folder, admission: admission.clone() };
            let name = project.name.clone();
            let server = Server::builder(project)
                .topology(topology)
                .listen(listen)
                .data(data)
                .accept_partial(accept_partial)
                .take_over(take_over)
                .no_delivery(no_delivery)
                .as_new(as_new)
                .as_moved(as_moved)
                .accept_clock(accept_clock)
                .accept_key(accept_key)
                .hlog(hlog)
                .admission(admission)
                .clock_from(clock_from);
            // Nobody need read it.
            let ready = move |address| _ = writeln!(Stdout, "{name} listens on http://{address}");
            let runtime = runtime()?;
            let done = runtime.block_on(async {
                let hangup = listen_for(SignalKind::hangup())?;
                tokio::select! {
                    done = server.run(ready, stop_signal()?) => done.map_err(Into::into),
                    failed = hangups.follow(hangup, logging) => failed,
                }
            });
            // What waits for somebody who is no more is not waited for.
            runtime.shutdown_background();
            done
        }
        Command::Check { project, data, workers, events, verbose } => {
            let detail = if verbose { project::Detail::Settings } else { project::Detail::Summary };
            match project::check(&project, &environment, Colour::of_stderr(), detail) {
                Ok(summary) => {
                    write!(Stdout, "{summary}")?;
                    let loaded =
                        project::load(&project, &environment).map_err(|problems| anyhow!("{problems}"))?.project;
                    let (sampled, has_any) = match events.as_slice() {
                        [] => (sample::of_tables(&loaded)?, true),
                        events => sample::of_files(&loaded, events)?,
                    };
                    write!(Stdout, "{sampled}")?;
                    if !has_any {
                        return Ok(ExitCode::FAILURE);
                    }
                    if let Some(data) = data {
                        let preview = serve::preview(&loaded, &data, workers.max(1))?;
                        write!(Stdout, "{preview}")?;
                        if preview.is_refused() {
                            return Ok(ExitCode::FAILURE);
                        }
                    }
                    Ok(())
                }
                Err(problems) => {
                    logging.say(&problems);
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Command::Replay {
            project,
            events,
            from_dump,
            from_history,
            from,
            to,
            until,
            now,
            changes,
            identities,
            triggers,
            memberships,
            profiles,
            workers,
        } => {
            let topology = workers.topology()?;
            let project = load(&project, logging)?;
            let events = if events.is_empty() { project.replay.events.clone() } else { events };
            let from = from.unwrap_or_default();
            let address = |text: &PathBuf| HistoryAddress::of(text, project.history.as_ref());
            let histories = from_history.iter().map(address).collect::<Result<Vec<_>, _>>()?;
            let is_recorded = !histories.is_empty() || !from_dump.is_empty();
            let recorded = is_recorded.then_some(replay::RecordedOptions { histories, dumps: from_dump, from });
            let until = until.or(to);
            let now = Some(now.unwrap_or_else(clock::wall_clock));
            let options = replay::ReplayOptions {
                events,
                recorded,
                now,
                until,
                changes,
                identities,
                triggers,
                memberships,
                profiles,
                topology,
            };
            let summary = replay::replay(&project, &options)?;
            logging.say(&summary.to_string());
            if summary.is_all_rejected() {
                bail!("no line was right: are these the files, and is [replay.csv] as they are?");
            }
            Ok(())
        }
        Command::Log { command } => return log(command),
        Command::Destination { engine, command } => {
            let mut out = Stdout;
            let done = admin::destination::run(engine, command, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::DeadLetters { engine, command } => {
            let mut out = Stdout;
            let done = admin::dead_letters::run(engine, command, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::TakeOver { engine } => {
            let mut out = Stdout;
            let done = admin::take_over::run(engine, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Clock { engine, command } => {
            let mut out = Stdout;
            let done = admin::clock::run(engine, command, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Cluster { engine, command } => {
            let mut out = Stdout;
            let done = admin::cluster::run(engine, command, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Quarantine { engine, command } => {
            let mut out = Stdout;
            let done = admin::quarantine::run(engine, command, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Events(options) => {
            let mut out = Stdout;
            let done = admin::events::run(options, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Top(options) => {
            let mut out = Stdout;
            let done = admin::top::run(options, admin::token_of(environment), &mut out);
            runtime()?.block_on(done).map_err(Into::into)
        }
        Command::Dot(options) => {
            let mut out = Stdout;
            match options.project() {
                Some(folder) => {
                    let project = load(folder, logging)?;
                    Ok(out.write_all(admin::dot::of_definitions(project.definitions)?.as_bytes())?)
                }
                None => {
                    let done = admin::dot::run(options, admin::token_of(environment), &mut out);
                    runtime()?.block_on(done).map_err(Into::into)
                }
            }
        }
        Command::Receive { port, secret, fail_every, delay_ms } => runtime()?
            .block_on(receive::run(receive::ReceiveCommand { port, secret, fail_every, delay_ms }))
            .map_err(|error| anyhow!("cannot receive on port {port}: {error}")),
        #[cfg(feature = "load")]
        Command::Load(options) => {
            let say = |text: &str| _ = Stdout.write_all(text.as_bytes());
            let is_right = runtime()?.block_on(load::run(*options, load::Secrets::of(environment), say))?;
            return Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut described_cli(), "deltaic", &mut text);
            Ok(Stdout.write_all(&text)?)
        }
        Command::Man { folder } => {
            let written =
                std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(described_cli(), &folder));
            written.map_err(|error| anyhow!("cannot write the manual into {}: {error}", folder.display()))
        }
        #[cfg(feature = "load")]
        Command::Hist(options) => {
            write!(Stdout, "{}", hist::run(&options)?)?;
            Ok(())
        }
    }
    .map(|()| ExitCode::SUCCESS)
}

fn log(command: LogCommand) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(Stdout);
    let address = |history: Option<PathBuf>| history.map(|text| HistoryAddress::of(&text, None)).transpose();
    match command {
        LogCommand::Stat { folder, history } => {
            write!(out, "{}", inspect::stat(&folder, address(history)?.as_ref())?)?;
        }
        LogCommand::Dump { folder, from, until } => {
            inspect::dump(&folder, from, until.unwrap_or(Tick::MAX), &mut out)?;
        }
        LogCommand::Rewind { folder, to } => rewind(&folder, to, &egress::rewound, &mut out)?,
        LogCommand::Repair { folder, into } => repair(&folder, &into, &mut out)?,
        LogCommand::Verify { folder, history } => {
            // What it finds is in its exit code, whoever reads the rest.
            let mut out = Patient(out);
            let is_damaged = !inspect::verify(&folder, address(history)?.as_ref(), &mut out)?.is_empty();
            out.flush()?;
            return Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Where to listen, as people write it.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

/// A tick as people write it: its number, or a time.
fn tick(text: &str) -> Result<Tick, String> {
    match text.parse() {
        Ok(ms) => Ok(Tick::from_ms(ms)),
        // A date would be midnight: who means that says so.
        Err(_) if text.contains(['T', 't', ' ']) => project::parse_time(text),
        Err(_) => Err("expected the number of a tick, or a time such as 2026-11-26T12:00:00Z".to_owned()),
    }
}

/// With what the process ends that cannot go on.
fn exit_of(error: &anyhow::Error) -> Exit {
    let of_run = error.downcast_ref::<serve::RunError>().map(serve::RunError::exit);
    let of_replay = || match error.downcast_ref::<replay::ReplayError>() {
        Some(replay::ReplayError::Workers(WorkersError::Apart(_))) => Some(Exit::Apart),
        _ => None,
    };
    let of_order = || match error.downcast_ref::<admin::AdminError>() {
        Some(admin::AdminError::NotWhole(_)) => Some(Exit::Together),
        _ => None,
    };
    let of_task = || error.downcast_ref::<tokio::task::JoinError>().map(|_| Exit::Fault);
    of_run.or_else(of_replay).or_else(of_order).or_else(of_task).unwrap_or(Exit::Wrong)
}

/// The same, or a date.
fn tick_or_date(text: &str) -> Result<Tick, String> {
    text.parse().map(Tick::from_ms).or_else(|_| project::parse_time(text))
}

/// The project in a folder; its warnings are shown. One with errors is refused.
fn load(folder: &Path, logging: &Logging) -> anyhow::Result<Project> {
    match project::load(folder, &environment) {
        Ok(loaded) => {
            logging.say(&loaded.warnings.render(Colour::of_stderr()));
            Ok(loaded.project)
        }
        Err(problems) => {
            logging.say(&problems.render(Colour::of_stderr()));
            bail!("{problems}")
        }
    }
}

fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The exit code of a process that was interrupted, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // The sequencer waits for the disk on one of them.
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get) + 1;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| anyhow!("cannot start the I/O runtime: {error}"))
}

fn listen_for(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).map_err(|error| anyhow!("cannot listen for signals: {error}"))
}

/// Logs what the project says, unless the environment does.
fn follow(project: &Project, logging: &Logging) -> anyhow::Result<()> {
    if environment("DELTAIC_LOG").is_none() {
        logging.follow(logging::filter(project.log.as_deref())?);
    }
    Ok(())
}

/// What is read anew when a running engine is told to by SIGHUP.
struct Hangups {
    running: Arc<Project>,
    folder: PathBuf,
    admission: Admission,
}

impl Hangups {
    /// Comes back only where something is wrong.
    async fn follow(self, mut hangup: Signal, logging: &Logging) -> anyhow::Result<()> {
        loop {
            hangup.recv().await;
            let Hangups { running, folder, admission } = &self;
            let (running, folder, admission) = (running.clone(), folder.clone(), admission.clone());
            let reload = move || serve::reload(&running, project::load(&folder, &environment), &admission);
            if let Some(project) = tokio::task::spawn_blocking(reload).await? {
                follow(&project, logging)?;
            }
        }
    }
}

/// Waits for SIGTERM or SIGINT. Whoever interrupts once more will not wait: then the process ends at once, as by `kill -9`.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(INTERRUPTED);
        });
    })
}
