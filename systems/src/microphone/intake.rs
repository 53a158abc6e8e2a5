//! The way of sound from the audio callback to the driver's thread: a queue without locks, whose memory is there before
//! the first callback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};
use waywarden_components::time::Mono;

/// Callbacks that may wait: more than any device makes of the sound that may wait.
const MARKS: usize = 4096;

/// One callback's worth of sound that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Frames.
    pub frames: u64,
    /// When the last of them was heard.
    pub at: Mono,
    /// Frames right before them for which there was no room.
    pub lost: u64,
    /// Whether sound was lost in ALSA right before them. Nobody knows how much.
    pub torn: bool,
}

/// The callback's end. Nothing that it does locks, allocates, waits or fails.
pub struct Intake {
    bytes: Producer<u8>,
    marks: Producer<Mark>,
    frame: usize,
    lost: u64,
    counters: Arc<Counters>,
}

/// The driver's end.
pub struct Outtake {
    bytes: Consumer<u8>,
    marks: Consumer<Mark>,
    frame: usize,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    lost: AtomicU64,
    torn: AtomicU64,
}

/// Tells the callback that ALSA lost sound.
#[derive(Clone)]
pub struct Torn(Arc<Counters>);

/// A queue for this many frames of so many bytes.
pub fn queue(frames: usize, frame: usize) -> (Intake, Outtake, Torn) {
    let frame = frame.max(1);
    let (bytes, waiting) = RingBuffer::new(frames.saturating_mul(frame));
    let (marks, marked) = RingBuffer::new(MARKS);
    let counters = Arc::new(Counters::default());
    let torn = Torn(counters.clone());
    let intake = Intake { bytes, marks, frame, lost: 0, counters: counters.clone() };
    (intake, Outtake { bytes: waiting, marks: marked, frame, counters }, torn)
}

impl Torn {
    /// Sound was lost.
    pub fn tear(&self) {
        self.0.torn.fetch_add(1, Ordering::Relaxed);
    }
}

impl Intake {
    /// Takes what came in one callback: whole frames, the last of which was heard at `at`. Without room for all of them
    /// they are lost, and what waits is kept.
    pub fn take(&mut self, bytes: &[u8], at: Mono) {
        let frames = (bytes.len() / self.frame) as u64;
        let whole = &bytes[..bytes.len() - bytes.len() % self.frame];
        if frames == 0 {
            return;
        }
        if self.marks.is_full() || self.bytes.push_entire_slice(whole).is_err() {
            self.lost = self.lost.saturating_add(frames);
            self.counters.lost.fetch_add(frames, Ordering::Relaxed);
            return;
        }
        let torn = self.counters.torn.swap(0, Ordering::Relaxed) > 0;
        let mark = Mark { frames, at, lost: std::mem::take(&mut self.lost), torn };
        // There is room: only this end fills it, and that there was has been asked.
        let _ = self.marks.push(mark);
    }
}

impl Outtake {
    /// What waits of the next callback: its bytes take the place of what `bytes` held.
    pub fn next(&mut self, bytes: &mut Vec<u8>) -> Option<Mark> {
        let mark = self.marks.pop().ok()?;
        let length = usize::try_from(mark.frames).unwrap_or(usize::MAX).saturating_mul(self.frame);
        // The bytes of a mark are there before it, so all of them are; the queue bounds how many that can be.
        let chunk = self.bytes.read_chunk(length.min(self.bytes.slots())).ok()?;
        let (first, second) = chunk.as_slices();
        bytes.clear();
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        chunk.commit_all();
        Some(mark)
    }

    /// Frames for which there was no room, since the last call.
    pub fn lost(&self) -> u64 {
        self.counters.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let (mut intake, mut outtake, _) = queue(10, 2);
        let mut bytes = vec![9; 3];
        assert_eq!(outtake.next(&mut bytes), None);
        for n in 0..50u8 {
            intake.take(&[n, n + 1, n + 2, n + 3, n + 4, n + 5], Mono(n.into()));
            intake.take(&[n, 0], Mono(n.into()));
            assert_eq!(outtake.next(&mut bytes), Some(Mark { frames: 3, at: Mono(n.into()), lost: 0, torn: false }));
            assert_eq!(bytes, [n, n + 1, n + 2, n + 3, n + 4, n + 5]);
            assert_eq!(outtake.next(&mut bytes).unwrap().frames, 1);
            assert_eq!(bytes, [n, 0]);
        }
        assert_eq!(outtake.lost(), 0);
    }

    #[test]
    fn a_full_queue_keeps_the_oldest_and_says_where_the_hole_is() {
        let (mut intake, mut outtake, _) = queue(4, 2);
        let mut bytes = Vec::new();
        intake.take(&[1; 6], Mono(1));
        intake.take(&[2; 4], Mono(2));
        intake.take(&[3; 4], Mono(3));
        assert_eq!(outtake.next(&mut bytes).map(|mark| (mark.frames, mark.lost)), Some((3, 0)));
        assert_eq!(bytes, [1; 6]);
        intake.take(&[4; 4], Mono(4));
        assert_eq!(outtake.next(&mut bytes), Some(Mark { frames: 2, at: Mono(4), lost: 4, torn: false }));
        assert_eq!(bytes, [4; 4]);
        assert_eq!((outtake.lost(), outtake.lost()), (4, 0));
    }

    #[test]
    fn what_alsa_lost_is_marked_once() {
        let (mut intake, mut outtake, torn) = queue(4, 1);
        torn.tear();
        torn.tear();
        intake.take(&[1], Mono(1));
        intake.take(&[2], Mono(2));
        let mut bytes = Vec::new();
        assert!(outtake.next(&mut bytes).unwrap().torn);
        assert!(!outtake.next(&mut bytes).unwrap().torn);
    }

    #[test]
    fn half_frames_are_nothing() {
        let (mut intake, mut outtake, _) = queue(4, 4);
        intake.take(&[1, 2, 3], Mono(1));
        intake.take(&[1, 2, 3, 4, 5], Mono(2));
        let mut bytes = Vec::new();
        assert_eq!(outtake.next(&mut bytes).map(|mark| mark.frames), Some(1));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(outtake.next(&mut bytes), None);
    }

    #[test]
    fn two_threads_lose_nothing_that_is_not_counted() {
        let (mut intake, mut outtake, _) = queue(64, 1);
        let sent = 20_000u64;
        let (mut got, mut bytes) = (0, Vec::new());
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || (0..sent).for_each(|n| intake.take(&[n as u8; 7], Mono(n))));
            loop {
                let done = sender.is_finished();
                while let Some(mark) = outtake.next(&mut bytes) {
                    assert_eq!(bytes, [mark.at.0 as u8; 7]);
                    got += mark.frames;
                }
                if done {
                    break;
                }
            }
        });
        assert_eq!(got + outtake.lost(), sent * 7);
    }
}
