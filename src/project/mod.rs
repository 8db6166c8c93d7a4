//! The project file: from text to a checked, typed [`Project`].

mod resolved;

pub use resolved::{Clock, CsvMapping, Destination, DestinationKind, Project, Secret, Source, Webhook};
