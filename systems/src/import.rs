//! Recordings of others made into sessions: readers for video, pictures, sound, NMEA text and ranges.
