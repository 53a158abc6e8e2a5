//! Microphones: ALSA devices by cpal.
//!
//! The audio callback copies what came into a queue without locks; the driver's thread makes 16 kHz mono of it, the mean
//! of all channels, and passes it on in chunks of 20 ms. A chunk's time is that of its last sample, on a
//! line drawn through the times of callbacks. What the resampler holds back and what waits are counted back.
//!
//! Sound is lost when the queue is full, because the thread got no processor for [`WAITING`], or in ALSA, when the
//! callback got none for two periods. Both are told as dropped **chunks of 20 ms**, begun ones counted whole, with the
//! policy `keep oldest`; how much ALSA lost is seen by how late the next sound is.

mod convert;
pub mod intake;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::Duration;

use cpal::ErrorKind;
use cpal::traits::{DeviceTrait, StreamTrait};
use rtrb::{Consumer, RingBuffer};
use waywarden_components::prelude::*;

use crate::clock::boottime;
use crate::sound::{Granted, RATES, Said, Way, choose, find, is_hardware};
use crate::supervisor::{Driver, DriverError, Lease, Pace};
use convert::{CHUNK, Converter};
use intake::{Intake, Outtake, Torn};
use timeline::Timeline;

/// The longest silence of a stream that is alive: callbacks come every 50 ms.
const PACE: Pace = Pace { silence: Duration::from_secs(1) };

/// Sound that may wait for the driver's thread.
pub const WAITING: Duration = Duration::from_secs(1);

/// How often the driver's thread looks for sound.
const LOOK: Duration = Duration::from_millis(10);

/// How long cpal waits before it asks ALSA whether the device is still there.
const ASK: Duration = Duration::from_millis(300);

/// How often what was lost is told in the log.
const TELL: Duration = Duration::from_secs(1);

/// A microphone at an address of ALSA's, under the supervisor.
pub struct AlsaMicrophone {
    address: String,
    rate: Option<u32>,
}

impl AlsaMicrophone {
    /// The microphone of this name: `default`, `hw:CARD=C920,DEV=0`, or another one that
    /// [`microphones`](crate::sound::microphones) lists. It is asked for `rate` samples a second, or for what suits it
    /// best if there is none.
    pub fn new(address: &str, rate: Option<u32>) -> Self {
        Self { address: address.to_owned(), rate }
    }

    fn granted(&self, device: &cpal::Device, said: &Said) -> Result<Granted, DriverError> {
        let failed = |error: &cpal::Error| said.failure(&self.address, Way::In, error);
        let offers: Vec<_> = device.supported_input_configs().map_err(|error| failed(&error))?.collect();
        choose(&offers, self.rate, is_hardware(&self.address)).ok_or_else(|| {
            let wanted = self.rate.map_or_else(|| "4000 to 384000 Hz".to_owned(), |rate| format!("{rate} Hz"));
            let least = offers.iter().map(cpal::SupportedStreamConfigRange::min_sample_rate).min().unwrap_or_default();
            let most = offers.iter().map(cpal::SupportedStreamConfigRange::max_sample_rate).max().unwrap_or_default();
            DriverError::Failed(format!(
                "microphone {} has no {wanted}: it offers {least} to {most} Hz in {} formats",
                self.address,
                offers.len()
            ))
        })
    }
}

impl Driver for AlsaMicrophone {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let said = Said::begin();
        let failed = |error: cpal::Error| said.failure(&self.address, Way::In, &error);
        let (_host, device) = find(&self.address, Way::In)?;
        let granted = self.granted(&device, &said)?;
        let waiting = u64::from(granted.rate) * WAITING.as_secs();
        let (intake, outtake, torn) =
            intake::queue(usize::try_from(waiting).unwrap_or(*RATES.end() as usize), granted.frame());
        let listening = Listening::new(&self.address, granted, outtake)?;
        let (stream, errors) = open(&device, granted, intake, torn).map_err(failed)?;
        stream.play().map_err(failed)?;
        let period =
            stream.buffer_size().map_or_else(|_| String::new(), |frames| format!(", {frames} frames at a time"));
        lease.opened(&format!("ALSA {}: {}{period}", self.address, granted.describe()), PACE)?;
        listening.run(lease, errors, &said)
    }
}

/// Builds the stream. What its callback does is [`Intake::take`], and reading the clock.
fn open(
    device: &cpal::Device,
    granted: Granted,
    mut intake: Intake,
    torn: Torn,
) -> Result<(cpal::Stream, Consumer<cpal::Error>), cpal::Error> {
    let (mut told, errors) = RingBuffer::new(16);
    let period = move |samples: usize| {
        let frames = samples / usize::from(granted.channels.max(1));
        Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(granted.rate.max(1)))
    };
    let heard = move |data: &cpal::Data, info: &cpal::InputCallbackInfo| {
        // What is still in ALSA's buffer behind these frames was heard later than they.
        let delay = info.timestamp().callback.duration_since(info.timestamp().capture).min(WAITING);
        let behind = delay.saturating_sub(period(data.len()));
        intake.take(data.bytes(), boottime() - behind);
    };
    let failed = move |error: cpal::Error| match error.kind() {
        ErrorKind::Xrun => torn.tear(),
        // Without room there are enough already.
        _ => drop(told.push(error)),
    };
    let stream = device.build_input_stream_raw(granted.config(), granted.format, heard, failed, Some(ASK))?;
    Ok((stream, errors))
}

/// A stream that runs.
struct Listening<'a> {
    address: &'a str,
    rate: u32,
    outtake: Outtake,
    converter: Converter,
    timeline: Timeline,
    /// The time of the last chunk.
    sent: Mono,
    lost: Lost,
}

impl<'a> Listening<'a> {
    fn new(address: &'a str, granted: Granted, outtake: Outtake) -> Result<Self, DriverError> {
        let converter =
            Converter::new(granted).map_err(|error| DriverError::Failed(format!("microphone {address}: {error}")))?;
        let (timeline, lost) = (Timeline::new(granted.rate), Lost::default());
        Ok(Self { address, rate: granted.rate, outtake, converter, timeline, sent: Mono::default(), lost })
    }

    /// Passes on what comes, until the stream or the lease is over.
    fn run(mut self, lease: &Lease, mut errors: Consumer<cpal::Error>, said: &Said) -> Result<(), DriverError> {
        let mut bytes = Vec::new();
        loop {
            lease.wait(LOOK)?;
            while let Some(mark) = self.outtake.next(&mut bytes) {
                lease.beat();
                if mark.lost > 0 {
                    self.timeline.skip(mark.lost);
                }
                if mark.torn {
                    // At least something was lost, else nobody would have said so.
                    let frames = self.timeline.tear(mark.frames, mark.at).max(1);
                    self.lost.frames = self.lost.frames.saturating_add(frames);
                }
                self.timeline.heard(mark.frames, mark.at);
                self.pass_on(lease, &bytes)?;
            }
            self.lost.frames = self.lost.frames.saturating_add(self.outtake.lost());
            self.tell(lease)?;
            while let Ok(error) = errors.pop() {
                match error.kind() {
                    // The stream goes on.
                    ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {
                        tracing::warn!("microphone {}: {error}", self.address);
                    }
                    _ => return Err(said.failure(self.address, Way::In, &error)),
                }
            }
        }
    }

    fn pass_on(&mut self, lease: &Lease, bytes: &[u8]) -> Result<(), DriverError> {
        let failed = |error| DriverError::Failed(format!("microphone {}: {error}", self.address));
        self.converter.take(bytes).map_err(failed)?;
        while let Some(chunk) = self.converter.chunk() {
            let now = boottime();
            let heard = self.timeline.time_of(chunk.position).unwrap_or(now).min(now);
            // Behind a line that began anew: never back.
            self.sent = heard.max(Mono(self.sent.0.saturating_add(1)));
            lease.send(self.sent, Payload::Audio(chunk.pcm))?;
        }
        Ok(())
    }

    /// Says what was lost: to the journal at once, to the log at most once a second.
    fn tell(&mut self, lease: &Lease) -> Result<(), DriverError> {
        let now = boottime();
        let count = self.lost.chunks(self.rate);
        if count > 0 {
            lease.send(now, Payload::Dropped { policy: DropPolicy::KeepOldest, count })?;
        }
        if let Some(lost) = self.lost.line(now) {
            tracing::warn!("microphone {}: {lost} chunks of 20 ms were lost: the computer is too busy", self.address);
        }
        Ok(())
    }
}

/// What was lost and is to be told.
#[derive(Debug, Default)]
struct Lost {
    /// Frames, since the stream was opened.
    frames: u64,
    /// Chunks that have been told to the journal.
    journalled: u64,
    /// Chunks that have been told to the log, and when the last time.
    logged: u64,
    at: Option<Mono>,
}

impl Lost {
    /// Chunks to be told to the journal, so that all together are the frames, rounded up.
    fn chunks(&mut self, rate: u32) -> u64 {
        let frames = u128::from(self.frames) * u128::from(SAMPLE_RATE);
        let chunks = frames.div_ceil(u128::from(rate.max(1)) * CHUNK as u128);
        let chunks = u64::try_from(chunks).unwrap_or(u64::MAX);
        let more = chunks.saturating_sub(self.journalled);
        self.journalled = chunks;
        more
    }

    /// Chunks to be told to the log, if it is time.
    fn line(&mut self, now: Mono) -> Option<u64> {
        let more = self.journalled.saturating_sub(self.logged);
        if more == 0 || self.at.is_some_and(|at| now.since(at) < TELL) {
            return None;
        }
        (self.logged, self.at) = (self.journalled, Some(now));
        Some(more)
    }
}
