//! The reader of journals.
