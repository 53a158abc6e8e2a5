//! A loudspeaker: an ALSA device by cpal, through which an operator's voice is heard.
//!
//! Whoever has sound pushes it into a [`Voice`], which never blocks. The driver's thread puts it into a
//! [`JitterBuffer`], converts it to what the device wants and keeps a queue without locks filled, from which the audio
//! callback copies. While nobody speaks, silence is played. Nothing of this enters the world: a loudspeaker has no
//! samples, and what it plays is another's sound.

mod jitter;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{ErrorKind, SupportedStreamConfigRange};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rtrb::{Consumer, Producer, RingBuffer};
use waywarden_components::audio::SAMPLE_RATE;
use waywarden_components::time::Mono;

pub use jitter::{JitterBuffer, JitterStats};

use crate::clock::boottime;
use crate::resample::Resample;
use crate::sound::{Granted, Said, Way, choose, find, samples};
use crate::supervisor::{Driver, DriverError, Lease, Pace};

/// The longest time for which a device that is alive takes nothing.
const PACE: Pace = Pace { silence: Duration::from_secs(1) };

/// How often the driver's thread looks after the queue.
const LOOK: Duration = Duration::from_millis(10);

/// How long cpal waits before it asks ALSA whether the device is still there.
const ASK: Duration = Duration::from_millis(300);

/// Samples that are taken out of the buffer at a time: 10 ms.
const STEP: usize = 160;

/// Sound that waits before the callback besides a period, in milliseconds: what the driver's thread may be late.
const AHEAD_MS: u32 = 30;

/// Pieces of a voice that may wait for the driver's thread.
const WAITING: usize = 256;

/// How often what became of a voice is told in the log.
const TELL: Duration = Duration::from_secs(1);

/// A loudspeaker at an address of ALSA's, under the supervisor.
pub struct Speaker {
    address: String,
    target: usize,
    spoken: Receiver<Spoken>,
    turned_away: Arc<AtomicU64>,
    delay_us: Arc<AtomicU32>,
    /// Why it could not be used the last time, so that it is not said twice.
    problem: Mutex<Option<DriverError>>,
}

/// Where sound for a loudspeaker is put, from any thread.
#[derive(Clone)]
pub struct Voice {
    sender: Sender<Spoken>,
    /// To take the oldest out again when it has to make room.
    receiver: Receiver<Spoken>,
    turned_away: Arc<AtomicU64>,
    delay_us: Arc<AtomicU32>,
    most: usize,
}

struct Spoken {
    at: u64,
    pcm: Vec<i16>,
}

/// A loudspeaker of this name, and the way to it. Sound waits until `buffer` is filled.
pub fn speaker(address: &str, buffer: Duration) -> (Speaker, Voice) {
    let (sender, receiver) = bounded(WAITING);
    let (turned_away, delay_us) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(0)));
    let target = buffer.as_millis().saturating_mul(u128::from(SAMPLE_RATE)) / 1000;
    let target = usize::try_from(target).unwrap_or(usize::MAX).clamp(1, 60 * SAMPLE_RATE as usize);
    let problem = Mutex::new(None);
    let voice = Voice {
        sender,
        receiver: receiver.clone(),
        turned_away: turned_away.clone(),
        delay_us: delay_us.clone(),
        most: 2 * target,
    };
    (Speaker { address: address.to_owned(), target, spoken: receiver, turned_away, delay_us, problem }, voice)
}

impl Voice {
    /// How long sound that is pushed now takes until it is heard, as far as it is known here: what waits before it, and what
    /// the device says that it holds. None while nothing is played.
    pub fn delay(&self) -> Option<Duration> {
        match self.delay_us.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    /// Hands over sound: 16 kHz, mono. `at` is the number of its first sample, counted from any beginning, as RTP's times
    /// are; see [`JitterBuffer::push`]. It never blocks: when the loudspeaker does not take what waits, the oldest is
    /// dropped and counted (`keep newest`).
    pub fn push(&self, at: u64, pcm: &[i16]) {
        // More than this would be dropped there.
        let surplus = pcm.len().saturating_sub(self.most);
        let at = at.saturating_add(surplus as u64);
        let mut spoken = Spoken { at, pcm: pcm[surplus..].to_vec() };
        let mut dropped = surplus as u64;
        loop {
            match self.sender.try_send(spoken) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => break,
                Err(TrySendError::Full(back)) => {
                    if let Ok(oldest) = self.receiver.try_recv() {
                        dropped += oldest.pcm.len() as u64;
                    }
                    spoken = back;
                }
            }
        }
        if dropped > 0 {
            self.turned_away.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

impl Speaker {
    fn granted(&self, device: &cpal::Device, said: &Said) -> Result<Granted, DriverError> {
        let offers: Vec<SupportedStreamConfigRange> =
            device.supported_output_configs().map_err(|error| said.failure(&self.address, Way::Out, &error))?.collect();
        choose(&offers, None, false).ok_or_else(|| {
            DriverError::Failed(format!("loudspeaker {} has no format that can be written", self.address))
        })
    }

    fn play(&self, lease: &Lease) -> Result<(), DriverError> {
        let said = Said::begin();
        let failed = |error: cpal::Error| said.failure(&self.address, Way::Out, &error);
        let (_host, device) = find(&self.address, Way::Out)?;
        let granted = self.granted(&device, &said)?;
        let ahead = granted.rate / 1000 * AHEAD_MS + granted.period.unwrap_or(granted.rate / 20);
        let (queue, waiting) = RingBuffer::new((2 * ahead) as usize * granted.frame());
        let held_us = Arc::new(AtomicU32::new(0));
        let (stream, errors) = open(&device, granted, waiting, held_us.clone()).map_err(failed)?;
        stream.play().map_err(failed)?;
        let what = format!("ALSA {}: {}", self.address, granted.describe());
        tracing::info!("loudspeaker: {what}");
        lease.opened(&what, PACE)?;
        // What was said while it was not there is not played late.
        self.spoken.try_iter().take(WAITING).for_each(drop);
        let converter = |error| DriverError::Failed(format!("loudspeaker {}: {error}", self.address));
        let resample = (granted.rate != SAMPLE_RATE).then(|| Resample::between(SAMPLE_RATE, granted.rate));
        let playing = Playing {
            speaker: self,
            granted,
            ahead: ahead as usize,
            jitter: JitterBuffer::new(self.target),
            resample: resample.transpose().map_err(converter)?,
            queue,
            held_us,
            told: (JitterStats::default(), Mono::default()),
        };
        let ended = playing.run(lease, errors, &said);
        self.delay_us.store(0, Ordering::Relaxed);
        ended
    }
}

impl Driver for Speaker {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        self.play(lease).inspect_err(|error| {
            let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            if let DriverError::Absent(why) | DriverError::Failed(why) = error
                && problem.as_ref() != Some(error)
            {
                tracing::warn!("{why}");
            }
            *problem = Some(error.clone());
        })
    }
}

fn open(
    device: &cpal::Device,
    granted: Granted,
    mut waiting: Consumer<u8>,
    held_us: Arc<AtomicU32>,
) -> Result<(cpal::Stream, Consumer<cpal::Error>), cpal::Error> {
    let (mut told, errors) = RingBuffer::new(16);
    // cpal has filled it with silence, which stays where nothing waits.
    let wanted = move |data: &mut cpal::Data, info: &cpal::OutputCallbackInfo| {
        let times = info.timestamp();
        let held = times.playback.duration_since(times.callback);
        held_us.store(u32::try_from(held.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
        let _ = waiting.pop_partial_slice(data.bytes_mut());
    };
    let failed = move |error: cpal::Error| match error.kind() {
        // The device plays on, after silence.
        ErrorKind::Xrun => {}
        _ => drop(told.push(error)),
    };
    let stream = device.build_output_stream_raw(granted.config(), granted.format, wanted, failed, Some(ASK))?;
    Ok((stream, errors))
}

/// A stream that runs.
struct Playing<'a> {
    speaker: &'a Speaker,
    granted: Granted,
    /// Frames that wait before the callback.
    ahead: usize,
    jitter: JitterBuffer,
    resample: Option<Resample>,
    queue: Producer<u8>,
    /// How long what the callback writes waits in the device, in microseconds.
    held_us: Arc<AtomicU32>,
    told: (JitterStats, Mono),
}

impl Playing<'_> {
    fn run(mut self, lease: &Lease, mut errors: Consumer<cpal::Error>, said: &Said) -> Result<(), DriverError> {
        let speaker = self.speaker;
        let failed = |error| DriverError::Failed(format!("loudspeaker {}: {error}", speaker.address));
        let (mut step, mut converted, mut bytes) = ([0; STEP], Vec::new(), Vec::new());
        let capacity = self.queue.buffer().capacity();
        loop {
            for spoken in self.speaker.spoken.try_iter().take(WAITING) {
                self.jitter.push(spoken.at, &spoken.pcm);
            }
            let frame = self.granted.frame().max(1);
            while (capacity - self.queue.slots()) / frame < self.ahead {
                // The device takes what is played: a sign of life.
                lease.beat();
                self.jitter.pull(&mut step);
                match &mut self.resample {
                    Some(resample) => {
                        for &sample in &step {
                            resample.push(f32::from(sample) / 32_768.0, &mut converted).map_err(failed)?;
                        }
                    }
                    None => converted.extend(step.iter().map(|&sample| f32::from(sample) / 32_768.0)),
                }
                bytes.clear();
                for sample in converted.drain(..) {
                    samples::write(self.granted.format, self.granted.channels, sample.into(), &mut bytes);
                }
                // There is room for twice as much; a resampler that gave more than that would lose it.
                let _ = self.queue.push_partial_slice(&bytes);
            }
            let queued = (capacity - self.queue.slots()) / frame;
            speaker.delay_us.store(self.delay_us(queued), Ordering::Relaxed);
            self.tell();
            while let Ok(error) = errors.pop() {
                match error.kind() {
                    ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {
                        tracing::warn!("loudspeaker {}: {error}", self.speaker.address);
                    }
                    _ => return Err(said.failure(&self.speaker.address, Way::Out, &error)),
                }
            }
            lease.wait(LOOK)?;
        }
    }

    /// How long sound that comes now takes until it is heard, with so many frames queued, in microseconds; 0 while nothing is
    /// played.
    fn delay_us(&self, queued: usize) -> u32 {
        if !self.jitter.is_playing() {
            return 0;
        }
        let micros = |count: u64, rate: u32| count.saturating_mul(1_000_000) / u64::from(rate.max(1));
        let waits = micros(self.jitter.waiting(), SAMPLE_RATE) + micros(queued as u64, self.granted.rate);
        u32::try_from(waits).unwrap_or(u32::MAX).saturating_add(self.held_us.load(Ordering::Relaxed))
    }

    /// Says what was dropped, at most once a second.
    fn tell(&mut self) {
        let now = boottime();
        let (before, at) = self.told;
        if now.since(at) < TELL {
            return;
        }
        let stats = self.jitter.stats();
        let dropped = stats.dropped - before.dropped + self.speaker.turned_away.swap(0, Ordering::Relaxed);
        let (late, concealed) = (stats.late - before.late, stats.concealed - before.concealed);
        if dropped + late + concealed > 0 {
            tracing::warn!(
                "loudspeaker {}: of the voice {dropped} samples were dropped to keep up (keep newest), {late} came late, \
                 {concealed} never came",
                self.speaker.address
            );
        }
        self.told = (stats, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_that_nobody_takes_keeps_the_newest_and_never_blocks() {
        let (speaker, voice) = speaker("nowhere", Duration::from_millis(100));
        for n in 0..WAITING as u64 + 10 {
            voice.push(n * 320, &[1; 320]);
        }
        assert_eq!(speaker.spoken.len(), WAITING);
        assert_eq!(speaker.spoken.try_recv().unwrap().at, 3200);
        assert_eq!(speaker.turned_away.load(Ordering::Relaxed), 3200);
        // A piece longer than can ever wait comes without its beginning.
        voice.push(0, &[1; 100_000]);
        let last = speaker.spoken.try_iter().last().unwrap();
        assert_eq!((last.at, last.pcm.len()), (96_800, 3200));
    }

    #[test]
    fn a_loudspeaker_that_is_not_there_is_waited_for() {
        let (speaker, _voice) = speaker("hw:CARD=Nowhere,DEV=9", Duration::from_millis(100));
        let error = find(&speaker.address, Way::Out).err().unwrap();
        assert!(matches!(&error, DriverError::Absent(why) if why.contains("hw:CARD=Nowhere,DEV=9")), "{error}");
    }
}
