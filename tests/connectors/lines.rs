//! Destinations of the type `lines`: a record for each identifier, with a key, as a log that keeps the latest record of each key has it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use deltaic::egress::destinations::{Action, CallBatch, ConnectContext, Connector, DestinationSettings, Failure, Pace};
use deltaic::project::{Secret, SettingsSection};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesSettings {
    address: String,
    token: Option<Secret>,
    pace: Pace,
}

impl DestinationSettings for LinesSettings {
    const TYPE: &'static str = "lines";
    const TAKES_EVENTS: bool = false;
    type Connector = LinesConnector;

    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self> {
        let address = section.required_text("address", "host and port, such as \"127.0.0.1:9000\"");
        let (token, pace) = (section.secret("token", "the token"), Pace::read(section));
        let address = address?;
        if !address.is_broken() && !address.as_str().contains(':') {
            section.report(address.place(), "expected host and port", Some("such as \"127.0.0.1:9000\""));
        }
        Some(LinesSettings { address: address.as_str().to_owned(), token, pace })
    }

    fn place(&self) -> Vec<u8> {
        self.address.clone().into_bytes()
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn connect(&self, _: &ConnectContext<'_>) -> Result<LinesConnector, String> {
        Ok(LinesConnector { settings: self.clone(), records: AtomicU64::new(0) })
    }
}

#[derive(Debug)]
pub struct LinesConnector {
    settings: LinesSettings,
    records: AtomicU64,
}

impl Connector for LinesConnector {
    /// The id of the call, and its records: key, tab, value. A delete is a key with nothing behind it.
    type Payload = (String, Vec<String>);

    fn encode(&self, call: &CallBatch) -> Self::Payload {
        let mut records = Vec::new();
        for change in call.changes() {
            let value = match change.action() {
                Action::Add(_) => serde_json::to_string(&change.traits()).expect("traits are JSON"),
                Action::Delete => String::new(),
            };
            let record = |identifier| format!("{}/{identifier}\t{value}\n", change.audience());
            records.extend(change.identifiers().iter().map(record));
        }
        (call.id().to_string(), records)
    }

    async fn deliver(&self, (id, records): &Self::Payload) -> Result<(), Failure> {
        let not_reached = |error: std::io::Error| Failure::NotReached { error: error.to_string() };
        let mut stream = BufReader::new(TcpStream::connect(&self.settings.address).await.map_err(not_reached)?);
        let token = self.settings.token.as_ref().map_or("", Secret::expose);
        let call = format!("{id} {} {token}\n{}", records.len(), records.concat());
        let mut answer = String::new();
        let answered = async {
            stream.write_all(call.as_bytes()).await?;
            stream.read_line(&mut answer).await
        };
        // From here on it may have arrived.
        answered.await.map_err(|error| Failure::later(error.to_string()))?;
        match answer.trim() {
            "ok" => _ = self.records.fetch_add(records.len() as u64, Relaxed),
            "" => return Err(Failure::later("no answer".to_owned())),
            "who?" => return Err(Failure::Elsewhere { error: "the token is wrong".to_owned() }),
            answer => {
                let (error, answer) = ("it does not take them".to_owned(), answer.to_owned());
                return Err(Failure::Refused { error, answer, is_too_large: false });
            }
        }
        Ok(())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("records", self.records.load(Relaxed))]
    }
}
