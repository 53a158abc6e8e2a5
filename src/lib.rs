//! Waywarden: one headless program on a vehicle's computer that watches, listens, locates, warns, and records drives
//! that replay bit for bit.

pub mod config;
