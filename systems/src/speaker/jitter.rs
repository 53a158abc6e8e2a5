//! A bounded buffer between a network that brings sound unevenly and a loudspeaker that takes it evenly.

use std::collections::BTreeMap;

/// What became of the sound that went in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Samples that were played.
    pub played: u64,
    /// Samples of silence in place of sound that never came, or came too late.
    pub concealed: u64,
    /// Times that the buffer ran empty and was filled anew: also at the end of whatever is said.
    pub emptied: u64,
    /// Samples that came too late, or twice.
    pub late: u64,
    /// Samples that were dropped because more than twice the target waited: the oldest.
    pub dropped: u64,
}

/// Sound of 16 kHz, mono, on its way. Does no I/O and knows no clock: what is pulled is its time.
///
/// It begins to play when its target waits, or when what waits has waited for so long. What is missing in the middle is
/// silence. When it runs empty it waits for its target again. Beyond twice the target the oldest is dropped, down to the
/// target, so that a voice is never far behind.
#[derive(Clone, Debug)]
pub struct JitterBuffer {
    target: u64,
    /// Pieces by the number of their first sample; none overlap, none lie before `next`.
    pieces: BTreeMap<u64, Vec<i16>>,
    /// Samples in them.
    waiting: u64,
    /// The number of the sample that is played next; none before the first.
    next: Option<u64>,
    playing: bool,
    /// Samples of silence since the first piece came while it does not play.
    waited: u64,
    stats: JitterStats,
}

impl JitterBuffer {
    /// A buffer that fills up to `target` samples before it plays.
    pub fn new(target: usize) -> Self {
        Self {
            target: (target as u64).max(1),
            pieces: BTreeMap::new(),
            waiting: 0,
            next: None,
            playing: false,
            waited: 0,
            stats: JitterStats::default(),
        }
    }

    /// What became of everything so far.
    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    /// Samples that wait to be played.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Whether it plays: not while it waits for its target.
    pub fn is_playing(&self) -> bool {
        self.playing
    }

    /// Takes a piece of sound whose first sample has the number `at`. Numbers count samples from any beginning; they may
    /// come out of order, twice, or not at all. Numbers far from the last ones are those of another voice.
    pub fn push(&mut self, mut at: u64, mut pcm: &[i16]) {
        let most = self.most();
        if pcm.len() as u64 > most {
            let (old, new) = pcm.split_at(pcm.len() - usize::try_from(most).unwrap_or(pcm.len()));
            self.stats.dropped += old.len() as u64;
            at = at.saturating_add(old.len() as u64);
            pcm = new;
        }
        let Some(end) = at.checked_add(pcm.len() as u64) else { return };
        if self.next.is_some_and(|next| end.abs_diff(next) > self.far()) {
            self.begin_anew();
        }
        if let Some(next) = self.next.filter(|&next| at < next) {
            pcm = self.cut(pcm, next - at);
            at = next;
        }
        // Of two that overlap the first one stays.
        if let Some((&before, piece)) = self.pieces.range(..=at).next_back() {
            let covered = (before + piece.len() as u64).saturating_sub(at);
            pcm = self.cut(pcm, covered);
            at += covered;
        }
        if let Some((&behind, _)) = self.pieces.range(at..).next() {
            let room = usize::try_from(behind - at).unwrap_or(usize::MAX).min(pcm.len());
            self.stats.late += (pcm.len() - room) as u64;
            pcm = &pcm[..room];
        }
        if pcm.is_empty() {
            return;
        }
        self.waiting += pcm.len() as u64;
        self.pieces.insert(at, pcm.to_vec());
        if self.waiting > most {
            self.drop_oldest();
        }
    }

    /// Fills `out` with what is to be played now: sound or silence.
    pub fn pull(&mut self, out: &mut [i16]) {
        out.fill(0);
        if !self.playing && !self.begins(out.len() as u64) {
            return;
        }
        let mut filled = 0;
        while filled < out.len() {
            let Some((&first, _)) = self.pieces.first_key_value() else {
                self.playing = false;
                self.stats.emptied += 1;
                return;
            };
            let next = *self.next.get_or_insert(first);
            let room = out.len() - filled;
            if first > next {
                // A hole. One that is longer than what waits before playing is a pause, and not waited for.
                let hole = first - next;
                if hole > self.target {
                    self.next = Some(first);
                    continue;
                }
                let silence = usize::try_from(hole).unwrap_or(room).min(room);
                self.stats.concealed += silence as u64;
                self.next = Some(next + silence as u64);
                filled += silence;
                continue;
            }
            let Some((_, piece)) = self.pieces.pop_first() else { return };
            let count = piece.len().min(room);
            out[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
            self.stats.played += count as u64;
            self.waiting -= count as u64;
            self.next = Some(next + count as u64);
            if count < piece.len() {
                self.pieces.insert(next + count as u64, piece[count..].to_vec());
            }
        }
    }

    /// Whether it begins to play with these `samples`.
    fn begins(&mut self, samples: u64) -> bool {
        if self.pieces.is_empty() {
            self.waited = 0;
            return false;
        }
        if self.waiting < self.target && self.waited < self.target {
            self.waited += samples;
            return false;
        }
        self.waited = 0;
        self.playing = true;
        true
    }

    /// Samples that wait at most.
    fn most(&self) -> u64 {
        self.target.saturating_mul(2)
    }

    /// Numbers that are further than this from what is played are of another voice.
    fn far(&self) -> u64 {
        self.target.saturating_mul(16)
    }

    fn begin_anew(&mut self) {
        self.stats.dropped += self.waiting;
        self.pieces.clear();
        (self.waiting, self.next, self.playing, self.waited) = (0, None, false, 0);
    }

    /// What is left of a piece without its first samples, which came too late or twice.
    fn cut<'a>(&mut self, pcm: &'a [i16], samples: u64) -> &'a [i16] {
        let cut = usize::try_from(samples).unwrap_or(usize::MAX).min(pcm.len());
        self.stats.late += cut as u64;
        &pcm[cut..]
    }

    fn drop_oldest(&mut self) {
        while self.waiting > self.target {
            let Some((first, piece)) = self.pieces.pop_first() else { return };
            let surplus = usize::try_from(self.waiting - self.target).unwrap_or(usize::MAX).min(piece.len());
            self.stats.dropped += surplus as u64;
            self.waiting -= surplus as u64;
            if surplus < piece.len() {
                self.pieces.insert(first + surplus as u64, piece[surplus..].to_vec());
            }
        }
        // What is dropped is not waited for.
        self.next = self.pieces.keys().next().copied();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 20 ms whose samples are their numbers.
    fn piece(at: u64, length: u64) -> Vec<i16> {
        (at..at + length).map(|n| (n % 30_000) as i16 + 1).collect()
    }

    fn pull(buffer: &mut JitterBuffer, length: usize) -> Vec<i16> {
        let mut out = vec![-7; length];
        buffer.pull(&mut out);
        out
    }

    #[test]
    fn it_plays_when_its_target_waits() {
        let mut buffer = JitterBuffer::new(960);
        buffer.push(0, &piece(0, 320));
        buffer.push(320, &piece(320, 320));
        assert_eq!(pull(&mut buffer, 320), [0; 320]);
        buffer.push(640, &piece(640, 320));
        assert_eq!(pull(&mut buffer, 500), piece(0, 500));
        assert_eq!(pull(&mut buffer, 460), piece(500, 460));
        assert_eq!(buffer.stats(), JitterStats { played: 960, ..JitterStats::default() });
    }

    #[test]
    fn what_is_short_is_played_when_it_has_waited_long_enough() {
        let mut buffer = JitterBuffer::new(960);
        buffer.push(5_000, &piece(5_000, 320));
        (0..3).for_each(|_| assert_eq!(pull(&mut buffer, 320), [0; 320]));
        assert_eq!(pull(&mut buffer, 320), piece(5_000, 320));
    }

    #[test]
    fn pieces_out_of_order_and_twice_are_put_right() {
        let mut buffer = JitterBuffer::new(960);
        for at in [640, 0, 640, 320, 0] {
            buffer.push(at, &piece(at, 320));
        }
        assert_eq!(pull(&mut buffer, 960), piece(0, 960));
        assert_eq!(buffer.stats(), JitterStats { played: 960, late: 640, ..JitterStats::default() });
        // Half of it comes too late.
        buffer.push(800, &piece(800, 320));
        buffer.push(1120, &piece(1120, 960));
        assert_eq!(pull(&mut buffer, 1120), piece(960, 1120));
        assert_eq!(buffer.stats().late, 800);
    }

    #[test]
    fn a_lost_piece_is_silence_of_its_length() {
        let mut buffer = JitterBuffer::new(640);
        buffer.push(0, &piece(0, 320));
        buffer.push(640, &piece(640, 320));
        let out = pull(&mut buffer, 960);
        assert_eq!((&out[..320], &out[320..640], &out[640..]), (&*piece(0, 320), &[0; 320][..], &*piece(640, 320)));
        assert_eq!(buffer.stats(), JitterStats { played: 640, concealed: 320, ..JitterStats::default() });
    }

    #[test]
    fn when_it_runs_empty_it_fills_again() {
        let mut buffer = JitterBuffer::new(640);
        buffer.push(0, &piece(0, 640));
        assert_eq!(pull(&mut buffer, 800)[640..], [0; 160]);
        assert_eq!(buffer.stats().emptied, 1);
        buffer.push(640, &piece(640, 320));
        assert_eq!(pull(&mut buffer, 320), [0; 320]);
        buffer.push(960, &piece(960, 320));
        assert_eq!(pull(&mut buffer, 640), piece(640, 640));
    }

    #[test]
    fn a_pause_of_the_speaker_is_not_played() {
        let mut buffer = JitterBuffer::new(640);
        buffer.push(0, &piece(0, 640));
        buffer.push(5_000, &piece(5_000, 320));
        let out = pull(&mut buffer, 960);
        assert_eq!((&out[..640], &out[640..]), (&*piece(0, 640), &*piece(5_000, 320)));
        assert_eq!(buffer.stats().concealed, 0);
    }

    #[test]
    fn beyond_twice_the_target_the_oldest_is_dropped() {
        let mut buffer = JitterBuffer::new(640);
        (0..4).for_each(|n| buffer.push(n * 320, &piece(n * 320, 320)));
        assert_eq!(buffer.stats().dropped, 0);
        buffer.push(1280, &piece(1280, 320));
        assert_eq!(buffer.stats().dropped, 960);
        assert_eq!(pull(&mut buffer, 640), piece(960, 640));
        // One that is too long by itself keeps its end.
        buffer.push(1600, &piece(1600, 5_000));
        assert_eq!(buffer.stats().dropped, 960 + 3720);
        assert_eq!(pull(&mut buffer, 1280), piece(5320, 1280));
    }

    #[test]
    fn another_voice_with_numbers_of_its_own_is_heard() {
        let mut buffer = JitterBuffer::new(320);
        buffer.push(1_000_000, &piece(1_000_000, 320));
        assert_eq!(pull(&mut buffer, 160), piece(1_000_000, 160));
        buffer.push(0, &piece(0, 320));
        assert_eq!(pull(&mut buffer, 320), piece(0, 320));
        assert_eq!(buffer.stats(), JitterStats { played: 480, dropped: 160, ..JitterStats::default() });
    }

    proptest! {
        #[test]
        fn no_numbers_upset_it(
            target in 0usize..2_000,
            steps in proptest::collection::vec((prop_oneof![0u64..5_000, any::<u64>()], 0usize..5_000, 0usize..2_000), 0..60),
        ) {
            let mut buffer = JitterBuffer::new(target);
            for (at, push, pull) in steps {
                buffer.push(at, &vec![1; push]);
                prop_assert!(buffer.waiting <= buffer.most());
                prop_assert_eq!(buffer.waiting, buffer.pieces.values().map(|piece| piece.len() as u64).sum::<u64>());
                buffer.pull(&mut vec![0; pull]);
                let mut end = 0;
                for (&first, piece) in &buffer.pieces {
                    prop_assert!(first >= end && buffer.next.is_none_or(|next| first >= next));
                    end = first + piece.len() as u64;
                }
            }
        }
    }
}
