//! `deltaic quarantine`: a command that talks to a running engine, over HTTP and with an admin token.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use thiserror::Error;

use crate::egress::install_crypto;
use crate::project::Secret;

/// The environment variable with the admin token: an argument would be in the list of processes.
const TOKEN_VARIABLE: &str = "DELTAIC_ADMIN_TOKEN";

/// Longer than any call takes.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How often a retry waits for an engine that is behind, a second at a time.
const WAITS_MAX: usize = 60;

/// Which engine.
#[derive(Args, Clone, Debug)]
pub struct Engine {
    /// Where it listens. The token comes from the environment variable DELTAIC_ADMIN_TOKEN.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
}

/// What can be done with rejected events.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List what was rejected, the oldest first: number, time, source, code, bytes.
    List {
        /// Only what is later than this entry.
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: u64,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Only those of this code.
        #[arg(long)]
        code: Option<String>,
    },
    /// Show an entry, and what was sent. That is personal data.
    Show {
        /// Its number.
        id: u64,
    },
    /// Try again: what is accepted now goes, what is still wrong stays. Counts nothing twice.
    Retry {
        /// Which entries.
        #[command(flatten)]
        which: Which,
    },
    /// Delete entries.
    Purge {
        /// Which entries.
        #[command(flatten)]
        which: Which,
        /// All before this one.
        #[arg(long, value_name = "ID", conflicts_with_all = ["ids", "all"])]
        before: Option<u64>,
    },
}

/// Which entries.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Their numbers.
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// All of this code.
    #[arg(long, conflicts_with = "ids")]
    code: Option<String>,
}

/// Why a command came to nothing, or not to its end.
#[derive(Debug, Error)]
pub enum AdminError {
    /// There is no token.
    #[error("there is no admin token: set {TOKEN_VARIABLE} to one of `admin_tokens` in the project's [access]")]
    NoToken,
    /// Nothing is said to be meant.
    #[error("nothing is named: give the numbers of entries, or --all, or --code")]
    Nothing,
    /// The engine did not answer.
    #[error("no answer of {url}: {reason}; is the engine running there?")]
    NoAnswer {
        /// Where it should be.
        url: Url,
        /// Why.
        reason: String,
    },
    /// It said no.
    #[error("the engine refused it with {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] io::Error),
}

struct Caller {
    client: Client,
    url: Url,
    token: Secret,
}

/// Does what is asked for; writes the result to `out`.
pub async fn quarantine(
    engine: Engine,
    command: Command,
    token: Option<String>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let caller = Caller::new(engine, token)?;
    match command {
        Command::List { after, limit, code } => {
            let mut query = vec![("after", after.to_string()), ("limit", limit.to_string())];
            query.extend(code.map(|code| ("code", code)));
            list(&caller.call(Method::GET, "", &query, None).await?, out)
        }
        Command::Show { id } => {
            let entry = caller.call(Method::GET, &format!("/{id}"), &[], None).await?;
            show(&entry, io::stdout().is_terminal(), out)
        }
        Command::Retry { which } => retry(&caller, which, out).await,
        Command::Purge { which: Which { ids, all, code }, before } => {
            let mut query = Vec::new();
            if !ids.is_empty() {
                query.push(("ids", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")));
            }
            query.extend(all.then(|| ("all", "true".to_owned())));
            query.extend(before.map(|before| ("before", before.to_string())));
            query.extend(code.map(|code| ("code", code)));
            if query.is_empty() {
                return Err(AdminError::Nothing);
            }
            let answer = caller.call(Method::DELETE, "", &query, None).await?;
            Ok(writeln!(out, "{} entries are deleted", answer["removed"])?)
        }
    }
}

/// The token that the environment has.
pub fn token_of(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    environment(TOKEN_VARIABLE).filter(|token| !token.is_empty())
}

impl Caller {
    fn new(engine: Engine, token: Option<String>) -> Result<Self, AdminError> {
        let token = Secret::new(token.ok_or(AdminError::NoToken)?);
        install_crypto();
        // As for webhooks: a token goes where it is said to go and nowhere else, and no certificates are looked for in vain.
        let client = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).referer(false);
        let client = if engine.url.scheme() == "https" { client } else { client.tls_certs_only([]) };
        let client = client.build();
        let client =
            client.map_err(|error| AdminError::NoAnswer { url: engine.url.clone(), reason: error.to_string() })?;
        Ok(Caller { client, url: engine.url, token })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, AdminError> {
        let no_answer = |error: reqwest::Error| AdminError::NoAnswer {
            url: self.url.clone(),
            reason: error.without_url().to_string(),
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{}/v1/quarantine{path}", self.url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.map_err(no_answer)?;
        let status = answer.status();
        let text = answer.text().await.map_err(no_answer)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let message = body["message"].as_str().map_or_else(|| "is this a deltaic engine?".to_owned(), str::to_owned);
        Err(AdminError::Refused { status: status.as_u16(), message })
    }
}

fn list(page: &Value, out: &mut impl Write) -> Result<(), AdminError> {
    let entries = page["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let whole = if entry["what"] == "request" { "  (a whole request)" } else { "" };
        let cut = if entry["cut"] == true { "  (cut)" } else { "" };
        let (id, bytes) = (&entry["id"], &entry["bytes"]);
        writeln!(out, "{id}  {}  {}  {}  {bytes} bytes{whole}{cut}", text("at"), text("source"), text("code"))?;
    }
    match page["next"].as_u64() {
        Some(next) => writeln!(out, "{} of {}; go on with --after {next}", entries.len(), page["total"])?,
        None => writeln!(out, "{} of {}", entries.len(), page["total"])?,
    }
    Ok(())
}

/// Writes an entry. To a terminal nothing is written that would command it: the text is a stranger's.
fn show(entry: &Value, is_terminal: bool, out: &mut impl Write) -> Result<(), AdminError> {
    for key in ["id", "at", "source", "what", "call", "code", "message", "bytes", "cut", "hash", "sent_at", "context"] {
        match &entry[key] {
            Value::Null => {}
            Value::String(text) => writeln!(out, "{key:<8} {}", harmless(text, is_terminal))?,
            other => writeln!(out, "{key:<8} {other}")?,
        }
    }
    let text = entry["text"].as_str().unwrap_or_default();
    writeln!(out, "\n{}", harmless(text, is_terminal))?;
    Ok(())
}

fn harmless(text: &str, is_terminal: bool) -> String {
    let bad = |c: char| is_terminal && c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Retries, as many calls as it takes.
async fn retry(caller: &Caller, which: Which, out: &mut impl Write) -> Result<(), AdminError> {
    let mut body = match which {
        Which { ids, all: false, code: None } if !ids.is_empty() => json!({ "ids": ids }),
        Which { all: true, code: None, .. } => json!({"all": true}),
        Which { code: Some(code), .. } => json!({ "code": code }),
        _ => return Err(AdminError::Nothing),
    };
    let (mut sums, mut waits) = ([0; 4], 0);
    const KEYS: [&str; 4] = ["removed", "accepted", "duplicates", "failed"];
    loop {
        let answer = match caller.call(Method::POST, "/retry", &[], Some(&body)).await {
            Err(AdminError::Refused { status: 429 | 503, .. }) if waits < WAITS_MAX => {
                waits += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            answer => answer?,
        };
        sums.iter_mut().zip(KEYS).for_each(|(sum, key)| *sum += answer[key].as_u64().unwrap_or_default());
        let next = answer["next"].as_u64();
        match (next, body.get_mut("ids")) {
            (None, _) => break,
            (Some(_), Some(_)) => {
                let message = "the engine is behind, and has not retried all of these: try again".to_owned();
                return Err(AdminError::Refused { status: 429, message });
            }
            (Some(next), None) => {
                body["after"] = next.into();
                // What is rejected from now on was not meant.
                if body.get("until").is_none() {
                    body["until"] = answer["newest"].clone();
                }
            }
        }
    }
    let [removed, accepted, duplicates, failed] = sums;
    writeln!(out, "{removed} entries are gone: {accepted} events accepted, {duplicates} of them were there before")?;
    Ok(writeln!(out, "{failed} entries are still wrong: they stay")?)
}
