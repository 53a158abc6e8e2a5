//! The GPS track of a GoPro camera, inside its video.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use waywarden_components::input::Payload;
use waywarden_components::time::Mono;

use super::error::ordinary_file;
use super::ffmpeg::{Packet, gpmf_packets};
use super::{ImportError, Place, Reader, TimedItem};
use crate::gps::gpmf::{MAX_PAYLOAD, has_position};

/// A reader of the payloads of the track, byte for byte as the camera wrote them. Each comes at its end: its fixes are of
/// the second before, and in the drive nobody could have known them sooner.
///
/// Time 0 is the start of the file, as for its [video](super::video::Video).
pub struct GpmfTrack {
    path: PathBuf,
    file: File,
    /// Bytes of the file.
    length: u64,
    packets: std::vec::IntoIter<Packet>,
    last: Mono,
    /// Payloads that are not in the file, or larger than any.
    missing: u64,
}

impl GpmfTrack {
    /// Looks for such a track in a video. None when it has none, or one that never speaks of the position.
    ///
    /// # Errors
    /// When the file cannot be read, or `ffprobe` is not there.
    pub fn find(path: &Path) -> Result<Option<Self>, ImportError> {
        let Some(packets) = gpmf_packets(path)? else { return Ok(None) };
        let length = ordinary_file(path)?;
        let file = File::open(path).map_err(|source| ImportError::io(path, Place::Whole, source))?;
        let open = |file, packets: Vec<Packet>| Self {
            path: path.into(),
            file,
            length,
            packets: packets.into_iter(),
            last: Mono::default(),
            missing: 0,
        };
        let mut track = open(file, packets.clone());
        while let Some(item) = track.next() {
            if matches!(item?.payload, Payload::Serial(bytes) if has_position(&bytes)) {
                return Ok(Some(open(track.file, packets)));
            }
        }
        Ok(None)
    }

    fn read(&mut self, packet: &Packet) -> Result<Option<TimedItem>, ImportError> {
        let inside = packet.at.checked_add(packet.size).is_some_and(|end| end <= self.length);
        let length = usize::try_from(packet.size).ok().filter(|length| inside && (1..=MAX_PAYLOAD).contains(length));
        let Some(length) = length else { return Ok(None) };
        let mut bytes = vec![0; length];
        let read = self.file.seek(SeekFrom::Start(packet.at)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|source| ImportError::io(&self.path, Place::Byte(packet.at), source))?;
        let end = Duration::try_from_secs_f64(packet.start + packet.length).unwrap_or_default();
        self.last = self.last.max(Mono::default() + end);
        Ok(Some(TimedItem { at: self.last, payload: Payload::Serial(Bytes::from(bytes)) }))
    }
}

impl Iterator for GpmfTrack {
    type Item = Result<TimedItem, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(packet) = self.packets.next() {
            match self.read(&packet).transpose() {
                Some(item) => {
                    if item.is_err() {
                        self.packets = Vec::new().into_iter();
                    }
                    return Some(item);
                }
                None => self.missing += 1,
            }
        }
        None
    }
}

impl Reader for GpmfTrack {
    fn warnings(&self) -> Vec<String> {
        let missing = format!("{} payloads of the GPS track are not in the file", self.missing);
        (self.missing > 0).then_some(missing).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gps::gpmf::{GpmfEvent, GpmfReader};
    use crate::import::test_data;

    /// Fixes of a track with the times at which they were captured, in seconds.
    fn fixes(track: GpmfTrack) -> Vec<(f64, f64, f64)> {
        let (mut reader, mut fixes) = (GpmfReader::default(), Vec::new());
        for item in track {
            let TimedItem { at, payload: Payload::Serial(bytes) } = item.unwrap() else { panic!() };
            reader.read(&bytes, at, |event| match event {
                GpmfEvent::Good(found) => fixes.extend(found),
                other => panic!("{other:?}"),
            });
        }
        fixes.iter().map(|(fix, at)| (at.as_secs_f64(), fix.latitude_deg, fix.longitude_deg)).collect()
    }

    #[test]
    fn the_track_of_a_real_camera_gives_all_its_fixes() {
        let Some(path) = test_data("data/video/walking-with-gps-480p-10s.mp4") else { return };
        let fixes = fixes(GpmfTrack::find(&path).unwrap().unwrap());
        assert_eq!(fixes.len(), 191);
        assert!(fixes.windows(2).all(|pair| pair[0].0 < pair[1].0), "times rise");
        assert!(fixes[0].0 > 0.0 && fixes[0].0 < 0.1 && (fixes[190].0 - 10.517).abs() < 0.01, "{fixes:?}");
        // Somebody walks: a few metres, that is less than a ten thousandth of a degree a second.
        assert!(fixes.iter().all(|(_, lat, lon)| (lat - 33.126).abs() < 0.001 && (lon + 117.327).abs() < 0.001));
    }

    #[test]
    fn other_videos_have_none_and_cut_ones_say_so() {
        let Some(path) = test_data("data/video/highway-540p-9s.mp4") else { return };
        assert!(GpmfTrack::find(&path).unwrap().is_none());
        let Some(path) = test_data("data/video/walking-with-gps-480p-10s.mp4") else { return };
        let mut track = GpmfTrack::find(&path).unwrap().unwrap();
        let mut packets = track.packets.as_slice().to_vec();
        packets[10].at = u64::MAX / 4;
        packets[9].size = u64::MAX;
        track.packets = packets.into_iter();
        assert_eq!(track.by_ref().count(), 9);
        assert_eq!(track.warnings(), ["2 payloads of the GPS track are not in the file"]);
    }
}
