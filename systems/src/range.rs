//! Range finders.

pub mod protocol;
