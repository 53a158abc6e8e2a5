//! How good what was found is, against what is known to be true.

pub mod speech;
