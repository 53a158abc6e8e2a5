//! Following things over the frames of a camera: which box of this frame is which of the last one.
//!
//! ByteTrack (Zhang et al., arXiv:2110.06864): boxes that the detector is sure of are given to tracks first, doubtful ones
//! then keep tracks alive but start none. What found no box where it was expected is looked for where it was last seen,
//! as OC-SORT does (Cao et al., arXiv:2203.14360, section 4.3), with boxes grown on all sides (C-BIoU, arXiv:2211.14317),
//! since frames come 5 to 10 times a second, with gaps, and cameras shake. Where things are expected says a Kalman filter.

mod assign;
mod motion;
mod rect;
pub mod score;
#[cfg(test)]
mod tests;
mod track;
mod votes;

use serde::{Deserialize, Serialize};
use waywarden_components::perception::{Detection, ObjectClass};
use waywarden_components::time::Mono;

use self::rect::Rect;
use self::track::{Candidate, Track};
use self::votes::Group;

/// Most boxes of a frame that are looked at: the best.
const MOST_BOXES: usize = 256;

/// Less than this share of an unseen box in the frame: it has left.
const LEFT_SHARE: f64 = 0.2;

/// When boxes are believed and tracks forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackerSettings {
    /// Least score of a box that the detector is sure of, 0 to 1.
    pub high_score: f32,
    /// Least score of a box that starts a track, 0 to 1.
    pub new_score: f32,
    /// Least score of a box that is looked at, 0 to 1. A detector that keeps back what is below is a loss.
    pub low_score: f32,
    /// Least overlap (intersection over union) of a sure box with where a track is expected to be its box, 0 to 1.
    pub overlap: f32,
    /// The same for doubtful boxes.
    pub low_overlap: f32,
    /// The same for a sure box and where a track was last seen, both grown by `grown`.
    pub last_overlap: f32,
    /// By how much of its width and height a box is grown on each side for that, in shares of its size.
    pub grown: f32,
    /// Overlap above which two boxes, or two tracks, are one thing seen twice, 0 to 1.
    pub duplicate_overlap: f32,
    /// Boxes of a thing until it is believed.
    pub confirm_hits: u32,
    /// Seconds until something that is not seen any more is forgotten.
    pub forget_s: f32,
    /// The same for what was never confirmed.
    pub forget_unconfirmed_s: f32,
    /// Most things that are followed at a time; newer ones are not taken up.
    pub most_tracks: u32,
    /// Whether classes are followed that are neither vehicles nor people.
    pub others: bool,
}

impl Default for TrackerSettings {
    /// Chosen on boxes of YOLOX-nano on 50 s of a highway, a third or a half of them taken away by chance and the others
    /// disturbed, at 4 to 12 frames a second, with gaps and irregular. `examples/track.rs` measures them with other chances.
    fn default() -> Self {
        Self {
            high_score: 0.35,
            new_score: 0.45,
            low_score: 0.1,
            overlap: 0.35,
            low_overlap: 0.4,
            last_overlap: 0.3,
            grown: 0.1,
            duplicate_overlap: 0.7,
            confirm_hits: 3,
            forget_s: 2.0,
            forget_unconfirmed_s: 0.5,
            most_tracks: 64,
            others: false,
        }
    }
}

impl TrackerSettings {
    /// What is wrong with them, if anything.
    pub fn fault(&self) -> Option<String> {
        let shares = [
            ("high_score", self.high_score),
            ("new_score", self.new_score),
            ("low_score", self.low_score),
            ("overlap", self.overlap),
            ("low_overlap", self.low_overlap),
            ("last_overlap", self.last_overlap),
            ("duplicate_overlap", self.duplicate_overlap),
        ];
        if let Some((name, _)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Some(format!("{name} must be 0 to 1"));
        }
        let lengths = [
            ("grown", self.grown, 2.0),
            ("forget_s", self.forget_s, 10.0),
            ("forget_unconfirmed_s", self.forget_unconfirmed_s, 10.0),
        ];
        if let Some((name, _, most)) = lengths.iter().find(|(_, length, most)| !(0.0..=*most).contains(length)) {
            return Some(format!("{name} must be 0 to {most}"));
        }
        let most_tracks = 1..=MOST_BOXES as u32;
        (!most_tracks.contains(&self.most_tracks)).then(|| format!("most_tracks must be 1 to {MOST_BOXES}"))
    }
}

/// One thing that is followed, after the newest frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Its number, from 1; no other thing ever gets it.
    pub id: u64,
    /// What it is, by what it was taken for over time.
    pub class: ObjectClass,
    /// How sure the model was when it was last seen, 0 to 1.
    pub score: f32,
    /// Where it is by all that was seen, in pixels of the frame, cut at its edges; where it is expected if it was not seen.
    pub smooth: Detection,
    /// The box of the newest frame; none if it was not seen in it.
    pub raw: Option<Detection>,
    /// When it was first seen.
    pub first_seen: Mono,
    /// When it was last seen.
    pub last_seen: Mono,
    /// Boxes found for it.
    pub hits: u32,
    /// Whether it was seen often enough to be believed.
    pub confirmed: bool,
}

/// What is known of the things before a camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    /// When the newest frame was captured.
    at: Option<Mono>,
    /// Its width and height in pixels.
    frame_size: (u32, u32),
    /// The newest number that was given to a track.
    last_id: u64,
    /// In order of number.
    tracks: Vec<Track>,
}

impl Tracker {
    /// The things that are followed, in order of number: those not (yet) confirmed and those not seen in the newest frame
    /// too.
    pub fn tracks(&self) -> impl ExactSizeIterator<Item = Tracked> + '_ {
        self.tracks.iter().map(|track| track.tracked(self.frame_size))
    }

    /// Ends all tracks, as when nothing can be seen any more. Their numbers are not given again.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    /// When the newest frame was captured; none before the first.
    pub fn at(&self) -> Option<Mono> {
        self.at
    }

    /// Takes the boxes of one frame of `frame_size` (width, height) pixels. Returns whether it did: a frame that is not newer
    /// than the one before is ignored. Boxes that nothing real has (not finite, empty, far larger than the frame) are left
    /// out. In a frame of another size nothing is where it was: all tracks end.
    pub fn update(
        &mut self,
        settings: &TrackerSettings,
        captured: Mono,
        boxes: &[Detection],
        frame_size: (u32, u32),
    ) -> bool {
        if self.at.is_some_and(|at| captured <= at) {
            return false;
        }
        let seconds = self.at.map_or(0.0, |at| captured.since(at).as_secs_f64());
        self.at = Some(captured);
        if self.frame_size != frame_size {
            self.frame_size = frame_size;
            self.tracks.clear();
        }
        let unseen_s = |track: &Track| captured.since(track.last_seen).as_secs_f64();
        // Also a bound of the time over which is predicted.
        self.tracks.retain(|track| unseen_s(track) <= f64::from(settings.forget_s));
        for track in &mut self.tracks {
            track.motion.predict(seconds, !track.seen);
            track.seen = false;
        }
        let found = candidates(settings, boxes, frame_size);
        let free = self.match_all(settings, &found, captured);
        self.tracks.retain(|track| {
            track.seen || {
                let here = track.motion.rect();
                let kept_s = if track.confirmed { settings.forget_s } else { settings.forget_unconfirmed_s };
                unseen_s(track) <= f64::from(kept_s) && here.within(frame_size).area() >= LEFT_SHARE * here.area()
            }
        });
        self.merge(settings);
        for candidate in free.into_iter().filter(|candidate| candidate.raw.score >= settings.new_score) {
            if self.tracks.len() >= settings.most_tracks as usize {
                break;
            }
            self.last_id += 1;
            self.tracks.push(Track::new(self.last_id, &candidate, captured));
        }
        for track in &mut self.tracks {
            track.confirmed |= track.hits >= settings.confirm_hits;
        }
        true
    }

    /// Gives boxes to tracks, and returns the sure ones that none took.
    fn match_all(&mut self, settings: &TrackerSettings, found: &[Candidate], now: Mono) -> Vec<Candidate> {
        let sure = found.partition_point(|candidate| candidate.raw.score >= settings.high_score);
        let (sure, doubtful) = found.split_at(sure);
        let (mut sure, mut doubtful) = (sure.to_vec(), doubtful.to_vec());
        let expected = |track: &Track, candidate: &Candidate| track.motion.rect().overlap(&candidate.rect);
        let grown = f64::from(settings.grown);
        let last_place =
            |track: &Track, candidate: &Candidate| track.latest_rect.grown(grown).overlap(&candidate.rect.grown(grown));
        self.match_some(&mut sure, now, settings.overlap, |track| track.confirmed, expected);
        self.match_some(&mut doubtful, now, settings.low_overlap, |track| track.confirmed, expected);
        self.match_some(&mut sure, now, settings.last_overlap, |track| track.confirmed, last_place);
        self.match_some(&mut sure, now, settings.overlap, |track| !track.confirmed, expected);
        self.match_some(&mut sure, now, settings.last_overlap, |track| !track.confirmed, last_place);
        sure
    }

    /// Gives boxes to those tracks that have none yet and are `asked`, and takes them away from `boxes`.
    fn match_some(
        &mut self,
        boxes: &mut Vec<Candidate>,
        now: Mono,
        least: f32,
        asked: impl Fn(&Track) -> bool,
        likeness: impl Fn(&Track, &Candidate) -> f64,
    ) {
        let mut tracks: Vec<&mut Track> = self.tracks.iter_mut().filter(|track| !track.seen && asked(track)).collect();
        let pairs = assign::best_pairs(tracks.len(), boxes.len(), f64::from(least), |row, column| {
            let (track, candidate) = (tracks.get(row)?, boxes.get(column)?);
            (track.group() == Group::of(candidate.raw.class)).then(|| likeness(track, candidate))
        });
        let mut taken = vec![false; boxes.len()];
        for (row, column) in pairs {
            if let (Some(track), Some(candidate), Some(taken)) =
                (tracks.get_mut(row), boxes.get(column), taken.get_mut(column))
            {
                track.take(candidate, now);
                *taken = true;
            }
        }
        let mut taken = taken.into_iter();
        boxes.retain(|_| !taken.next().unwrap_or(false));
    }

    /// Ends the younger of two tracks that are in one place.
    fn merge(&mut self, settings: &TrackerSettings) {
        let most = f64::from(settings.duplicate_overlap);
        let same = |a: &Track, b: &Track| a.group() == b.group() && a.motion.rect().overlap(&b.motion.rect()) > most;
        let mut order: Vec<&Track> = self.tracks.iter().collect();
        order.sort_by_key(|track| (!track.confirmed, std::cmp::Reverse(track.age()), track.id));
        let mut kept: Vec<&Track> = Vec::with_capacity(order.len());
        for track in order {
            if !kept.iter().any(|other| same(track, other)) {
                kept.push(track);
            }
        }
        let mut ids: Vec<u64> = kept.into_iter().map(|track| track.id).collect();
        ids.sort_unstable();
        self.tracks.retain(|track| ids.binary_search(&track.id).is_ok());
    }
}

/// The boxes that are worth a look, best first, each thing once, in an order that does not hang on how they came.
fn candidates(settings: &TrackerSettings, boxes: &[Detection], frame: (u32, u32)) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = boxes
        .iter()
        .filter(|found| (settings.low_score..=1.0).contains(&found.score))
        .filter(|found| settings.others || !matches!(found.class, ObjectClass::Other(_)))
        .filter_map(|found| Some(Candidate { raw: *found, rect: Rect::of(found, frame)? }))
        .collect();
    let key = |candidate: &Candidate| {
        let Detection { left, top, width, height, .. } = candidate.raw;
        [left, top, width, height]
    };
    all.sort_by(|a, b| {
        let by_place = || key(a).iter().zip(key(b)).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
        b.raw
            .score
            .total_cmp(&a.raw.score)
            .then_with(|| by_place().unwrap_or(std::cmp::Ordering::Equal))
            .then_with(|| a.raw.class.cmp(&b.raw.class))
    });
    all.truncate(MOST_BOXES);
    let most = f64::from(settings.duplicate_overlap);
    let mut once: Vec<Candidate> = Vec::with_capacity(all.len());
    for candidate in all {
        let group = Group::of(candidate.raw.class);
        let double =
            |other: &Candidate| Group::of(other.raw.class) == group && other.rect.overlap(&candidate.rect) > most;
        if !once.iter().any(double) {
            once.push(candidate);
        }
    }
    once
}
