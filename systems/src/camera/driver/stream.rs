//! Pictures as they come.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::errno::Errno;
use v4l::Device;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::mmap;
use v4l::io::traits::{CaptureStream, Stream as _};
use waywarden_components::prelude::*;

use crate::clock::{boottime, monotonic};

/// Buffers that a driver fills in turn: what is taken late by less than three pictures is not lost.
pub const BUFFERS: u32 = 4;

/// A picture older than this when it comes has a stamp that is of no use.
const OLDEST: Duration = Duration::from_secs(5);

/// Pictures from before the camera was opened that are believed to be such. With more of them its stamps are wrong.
const MOST_LEFT_OVER: u32 = 2 * BUFFERS;

/// A picture in its buffer.
pub struct Picture<'a> {
    /// What of the buffer was filled.
    pub bytes: &'a [u8],
    /// When it was taken.
    pub captured: Mono,
    /// Whether the driver says that part of it was lost.
    pub damaged: bool,
    /// Whether it was taken before the camera was opened: a loopback hands out the last picture of a feeder that has
    /// stopped, which is no sign of life.
    pub left_over: bool,
}

/// A camera that delivers.
pub struct Stream {
    /// None once it has ended.
    stream: Option<mmap::Stream<'static>>,
    /// When it was opened.
    opened: Mono,
    /// Pictures from before.
    left_over: u32,
    /// When the last picture was taken.
    last: Mono,
}

impl Stream {
    /// Has buffers; the camera begins with the first picture that is waited for.
    pub fn new(device: &Device) -> io::Result<Self> {
        let stream = mmap::Stream::with_buffers(device, Type::VideoCapture, BUFFERS)?;
        Ok(Self { stream: Some(stream), opened: boottime(), left_over: 0, last: Mono::default() })
    }

    /// Waits for the next picture: for ever, or until a signal comes. After an error nothing more will come.
    pub fn next(&mut self) -> io::Result<Picture<'_>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (buffer, metadata) = CaptureStream::next(stream)?;
        let used = buffer.len().min(metadata.bytesused as usize);
        let now = boottime();
        let stamp = stamp(metadata, monotonic(), now);
        let left_over = stamp.is_some_and(|stamp| stamp < self.opened) && self.left_over < MOST_LEFT_OVER;
        self.left_over += u32::from(left_over);
        self.last = stamp.filter(|stamp| now.since(*stamp) <= OLDEST).unwrap_or(now).max(self.last);
        let damaged = metadata.flags.contains(Flags::ERROR);
        Ok(Picture { bytes: &buffer[..used], captured: self.last, damaged, left_over })
    }
}

/// When a picture was taken by the driver's own stamp, given what both clocks say now; none if it has none that can be.
///
/// Drivers that do not name the clock, as v4l2loopback, use the same one; the date is far from it.
fn stamp(metadata: &Metadata, monotonic: Mono, boottime: Mono) -> Option<Mono> {
    let (stamp, flags) = (metadata.timestamp, metadata.flags);
    if flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_COPY || (stamp.sec, stamp.usec) == (0, 0) {
        return None;
    }
    let micros = u64::try_from(stamp.sec).ok()?.checked_mul(1_000_000)?.checked_add(u64::try_from(stamp.usec).ok()?)?;
    let age = monotonic.0.checked_sub(micros.checked_mul(1000)?)?;
    Some(Mono(boottime.0.checked_sub(age)?))
}

impl Drop for Stream {
    /// The library panics when a stream that it drops does not stop, and again when its buffers are not given back; two
    /// panics at once would end the program. So a stream is dropped only after it stopped, and left where it is otherwise.
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let stopped = match stream.stop() {
            Ok(()) => true,
            // It was unplugged, which the library bears.
            Err(error) => error.raw_os_error() == Some(Errno::ENODEV as i32),
        };
        if stopped && !std::thread::panicking() {
            // A panic is logged by its hook, and the reason for which the stream ended is not lost by it.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(stream)));
        } else {
            let handle = stream.handle();
            std::mem::forget(stream);
            // Its last owner is never dropped now: closing it gives the camera back.
            let _ = nix::unistd::close(handle.fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use v4l::Timestamp;

    use super::*;

    #[test]
    fn the_drivers_stamp_counts_where_it_can_be() {
        let (monotonic, boottime) = (Mono::from_secs_f64(100.0), Mono::from_secs_f64(1000.0));
        let at = |sec, usec, flags| {
            let metadata = Metadata { timestamp: Timestamp::new(sec, usec), flags, ..Metadata::default() };
            stamp(&metadata, monotonic, boottime).map(Mono::as_secs_f64)
        };
        let known = Flags::TIMESTAMP_MONOTONIC | Flags::MAPPED | Flags::DONE;
        assert_eq!(at(99, 960_000, known), Some(999.96));
        assert_eq!(at(100, 0, known), Some(1000.0));
        assert_eq!(at(90, 0, known), Some(990.0));
        // Somebody else's, a date, from the future, none at all.
        assert_eq!(at(99, 960_000, Flags::TIMESTAMP_COPY), None);
        for flags in [known, Flags::MAPPED] {
            assert_eq!(at(99, 0, flags), Some(999.0));
            for (sec, usec) in [(1_700_000_000, 0), (100, 1), (0, 0), (-1, -1), (i64::MAX, i64::MAX)] {
                assert_eq!(at(sec, usec, flags), None);
            }
        }
    }
}
