//! `deltaic load`: an honest load generator, which knows what has to come out.

pub mod body;
pub mod mix;
pub mod model;
pub mod project;
pub mod stream;
