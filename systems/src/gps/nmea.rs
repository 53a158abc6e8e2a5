//! NMEA 0183: bytes in, fixes out, no I/O.
