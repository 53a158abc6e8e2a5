use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cpal::SampleFormat;

use super::*;
use crate::ingress::{channel, wake};
use crate::sound::samples;
use crate::supervisor::{Supervisor, SupervisorSettings, Task};

#[test]
fn what_is_lost_is_told_in_chunks_and_not_too_often() {
    let second = |s: u64| Mono(s * 1_000_000_000);
    let mut lost = Lost::default();
    assert_eq!((lost.chunks(48_000), lost.line(second(1))), (0, None));
    lost.frames = 1;
    assert_eq!((lost.chunks(48_000), lost.line(second(1))), (1, Some(1)));
    lost.frames = 960;
    assert_eq!((lost.chunks(48_000), lost.line(second(3))), (0, None));
    lost.frames = 4_800;
    assert_eq!((lost.chunks(48_000), lost.line(second(3))), (4, Some(4)));
    lost.frames = u64::MAX;
    assert!(lost.chunks(48_000) > 0);
    assert_eq!(lost.line(second(3) + Duration::from_millis(999)), None);
    assert!(lost.line(second(4)).is_some());
}

/// A device that is another one whenever it is opened: it gives a second of a sine, too much by a period, and is gone.
struct Changing(AtomicUsize);

const KINDS: [(u32, u16, SampleFormat); 3] =
    [(48_000, 2, SampleFormat::F32), (16_000, 1, SampleFormat::I16), (44_100, 6, SampleFormat::I32)];

impl Driver for Changing {
    fn run(&self, lease: &Lease) -> Result<(), DriverError> {
        let Some(&(rate, channels, format)) = KINDS.get(self.0.fetch_add(1, Ordering::SeqCst)) else {
            return Err(DriverError::Ended);
        };
        let granted = Granted { rate, channels, format, period: None };
        let (mut intake, outtake, _) = intake::queue(rate as usize, granted.frame());
        let (begin, period) = (boottime() - Duration::from_secs(2), rate / 20);
        for callback in 0..21 {
            let mut bytes = Vec::new();
            for n in callback * period..(callback + 1) * period {
                let sine = libm::sin(std::f64::consts::TAU * 440.0 * f64::from(n) / f64::from(rate)) * 0.5;
                samples::write(format, channels, sine, &mut bytes);
            }
            intake.take(&bytes, begin + Duration::from_millis(50) * (callback + 1));
        }
        let (mut told, errors) = RingBuffer::new(1);
        told.push(ErrorKind::DeviceNotAvailable.into()).unwrap();
        lease.opened(&granted.describe(), PACE)?;
        Listening::new("test", granted, outtake)?.run(lease, errors, &Said::begin())
    }
}

/// Frequency in hertz by zero crossings.
fn hertz(samples: &[i16]) -> f64 {
    let up: Vec<usize> = (1..samples.len()).filter(|&n| samples[n - 1] < 0 && samples[n] >= 0).collect();
    16_000.0 * (up.len() - 1) as f64 / (up[up.len() - 1] - up[0]) as f64
}

#[test]
fn a_microphone_that_changes_rate_goes_on() {
    let (outlet, inlet) = channel(StreamId(1), 1000, DropPolicy::KeepOldest, wake().0);
    let task = Task { name: "microphone".to_owned(), driver: Arc::new(Changing(AtomicUsize::new(0))), outlet };
    let settings = SupervisorSettings { absent: Duration::from_millis(10), ..SupervisorSettings::default() };
    let supervisor = Supervisor::start(vec![task], settings).unwrap();
    let begin = boottime();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|(_, payload)| *payload != Payload::Link(LinkState::Ended)) {
        assert!(boottime().since(begin) < Duration::from_secs(60), "never ended: {heard:?}");
        heard.extend(inlet.drain().into_iter().map(|delivery| (delivery.captured, delivery.payload)));
        std::thread::yield_now();
    }
    supervisor.stop(Duration::from_secs(5));
    let opened = |payload: &Payload| matches!(payload, Payload::Described(_));
    let times: Vec<_> = heard.chunk_by(|_, next| !opened(&next.1)).filter(|time| opened(&time[0].1)).collect();
    assert_eq!(times.len(), 3);
    for (time, (rate, ..)) in times.iter().zip(KINDS) {
        assert!(matches!(&time[0].1, Payload::Described(what) if what.starts_with(&format!("{rate} Hz"))));
        let chunks: Vec<_> = time
            .iter()
            .filter_map(|(at, payload)| if let Payload::Audio(pcm) = payload { Some((*at, pcm)) } else { None })
            .collect();
        let sound: Vec<i16> =
            chunks.iter().flat_map(|(_, pcm)| pcm.as_chunks::<2>().0).map(|two| i16::from_le_bytes(*two)).collect();
        // The resampler holds back some milliseconds.
        assert!((15_000..=16_000).contains(&sound.len()), "{rate}: {}", sound.len());
        assert!((hertz(&sound) - 440.0).abs() < 1.0, "{rate}: {} Hz", hertz(&sound));
        // What the callbacks said, to a millisecond: the resampler's delay is counted back.
        for two in chunks.windows(2) {
            let gap = two[1].0.since(two[0].0);
            assert!(gap.abs_diff(Duration::from_millis(20)) < Duration::from_millis(1), "{rate}: {gap:?}");
        }
        // A period of 50 ms had no room.
        let dropped = Payload::Dropped { policy: DropPolicy::KeepOldest, count: 3 };
        assert!(time.iter().any(|(_, payload)| *payload == dropped), "{rate}");
        let lost = |state: &LinkState| matches!(state, LinkState::Lost(why) if why.contains("no microphone test"));
        assert!(
            time.iter().any(
                |(_, payload)| matches!(payload, Payload::Link(state) if lost(state) || *state == LinkState::Ended)
            )
        );
    }
}
