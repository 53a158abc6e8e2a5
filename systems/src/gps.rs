//! Satellite receivers.

pub mod nmea;
