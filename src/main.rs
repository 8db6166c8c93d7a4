//! The command line of Deltaic.
fn main() {}
