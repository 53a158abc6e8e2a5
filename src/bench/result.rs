//! What is printed: one JSON object, with the fields of the other programs that are measured on the same folder.

use bevy_ecs::prelude::World;
use serde_json::{Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::metrics::Numbers;
use waywarden_systems::tick::Stages;

use super::latency::{Latencies, round};
use super::machine::{self, Machine};
use super::observe::{Observed, Seen};
use super::same_work::SameWork;
use super::session::Session;
use super::sources::{Start, Told};
use super::{EVERY, Plan, THRESHOLD};
use crate::failure::Failure;

/// A bench at its end.
pub struct Ended<'a> {
    pub plan: &'a Plan,
    pub session: &'a Session,
    pub stages: &'a Stages,
    pub told: &'a Told,
    pub begin: Start,
    /// Counters before the first picture.
    pub before: Machine,
    /// When about half of them were done.
    pub middle: Option<super::Middle>,
    /// Counters behind the last result.
    pub after: Machine,
    /// When each message of a picture came to the broker.
    pub arrived: Vec<(u64, Mono)>,
    /// Messages that the broker does not have.
    pub lost: u64,
    /// Load before.
    pub load: f64,
}

/// What was made of pictures.
struct Jpegs {
    lane: Value,
    obstacle: Value,
    sizes: Vec<(u64, usize)>,
    last: Mono,
}

impl Ended<'_> {
    /// The object, and the details: the gate's value of each picture, and the bytes of each JPEG.
    ///
    /// # Errors
    /// When nothing was seen.
    pub fn value(&self, world: &World) -> Result<(Value, Value), Failure> {
        let observed = world.get_resource::<Observed>().ok_or_else(|| Failure::running("nothing was measured"))?;
        let seen = observed.seen();
        let (frames, overrun) = self.told.frames();
        let done = seen.gates.len() as u64;
        let changed = seen.gates.iter().filter(|(_, value)| f64::from(*value) > THRESHOLD).count();
        let tenths = (frames / self.plan.cameras as u64).div_ceil(EVERY) as usize * self.plan.cameras;
        let jpegs = jpegs(&seen, world.get_resource::<SameWork>(), changed, tenths);
        let begin = self.begin.get().unwrap_or_default();
        let wall = seen.last.max(jpegs.last).since(begin).as_secs_f64();
        let cpu = self.after.cpu_s - self.before.cpu_s;
        let measured = self.after.at.since(self.before.at).as_secs_f64();
        let sink = self.after.sink_s - self.before.sink_s;
        let other = (self.after.busy_s - self.before.busy_s - cpu - sink).max(0.0);
        let faults = (self.after.faults - self.before.faults) as f64;
        let each = |number: f64| number / done.max(1) as f64;
        let (peak, pss) = machine::memory();
        let voice = self.voice_s();
        let full: u64 = world.get_resource::<Numbers>().map_or(0, |numbers| {
            numbers.devices().filter(|device| device.kind == "camera").flat_map(|device| device.dropped).sum()
        });
        let mut sent = Latencies::for_results(self.arrived.len());
        for (number, at) in &self.arrived {
            if let Some(due) = number.checked_sub(1).and_then(|n| seen.told.get(n as usize)) {
                sent.add(*due, *at);
            }
        }
        let counted = frames as usize;
        let gate_sum: f64 = seen.gates.iter().map(|(_, value)| f64::from(*value)).sum();
        let switches = |of: fn(&Machine) -> i64| each((of(&self.after) - of(&self.before)) as f64);
        let value = json!({
            "system": "rust",
            "mode": if self.plan.same_work { "same work" } else { "as shipped" },
            "rate": self.plan.rate, "fps": self.session.fps, "cameras": self.plan.cameras,
            "frames_in": frames, "frames_processed": done, "frames_dropped": frames - done,
            "dropped_by": {
                "camera_overrun": overrun, "queue_full": full, "decode_error": seen.broken,
                "lost_in_restart": frames.saturating_sub(done + overrun + full + seen.broken),
            },
            "stage_drops": { "encode_full": self.told.encode_full(), "model_full": 0 },
            "jpegs": jpegs.sizes.len(),
            "wall_s": round(wall), "throughput_fps": (done as f64 / wall * 10.0).round() / 10.0,
            "cpu_s": round(cpu), "cpu_s_main": round(cpu), "cpu_s_worker": 0.0, "cpu_s_voice": round(voice),
            "cpu_share": round(cpu / measured),
            "cpu_ms_per_frame": round(each(cpu) * 1e3),
            "cpu_ms_per_frame_without_voice": round(each(cpu - voice) * 1e3),
            "page_faults_per_frame": round(each(faults)),
            "page_faults_per_frame_second_half": self.settled(done),
            "waits_per_frame": round(switches(|machine| machine.switches.0)),
            "preemptions_per_frame": round(switches(|machine| machine.switches.1)),
            "peak_rss_mb": round(peak), "pss_mb_at_end": round(pss),
            "latency_ms": {
                "gate": seen.late.gate.summary(counted),
                "lane_jpeg": jpegs.lane,
                "obstacle_jpeg": jpegs.obstacle,
                "vad": seen.late.vad.summary(self.session.sound.len()),
                "gps_fix": seen.late.gps_fix.summary(0),
                "mqtt_frame": seen.late.mqtt_frame.summary(counted),
                "mqtt_frame_sent": sent.summary(counted),
                "mqtt_gps": seen.late.mqtt_gps.summary(0),
                "mqtt_vad": seen.late.mqtt_vad.summary(0),
            },
            "heartbeat_late_ms": self.heartbeat(),
            "stages_ms": self.stage_times(),
            "check": {
                "gate_sum": round(gate_sum), "jpeg_bytes": jpegs.sizes.iter().map(|(_, size)| size).sum::<usize>(),
                "vad_speech": seen.speech.0, "vad_chunks": seen.speech.1,
                "gps_fixes": seen.fixes.0, "gps_moments": seen.fixes.1,
            },
            "mqtt_errors": self.lost, "nmea_errors": seen.bad_sentences, "worker_restarts": 0, "thread_errors": 0,
            "environment": {
                "loadavg_before": self.load, "other_cpu_cores": round(other / measured),
                "steal_cores": round((self.after.steal_s - self.before.steal_s) / measured),
                "mqtt_sink_cpu_s": round(sink), "version": env!("CARGO_PKG_VERSION"),
                "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            },
        });
        Ok((value, json!({ "gates": seen.gates, "jpegs": jpegs.sizes })))
    }

    /// Page faults for a picture in the second half of `done`, when all that is kept has grown to its size.
    fn settled(&self, done: u64) -> Option<f64> {
        let (middle, before) = self.middle?;
        let pictures = done.checked_sub(before as u64).filter(|pictures| *pictures > 0)?;
        Some(round((self.after.faults - middle.faults) as f64 / pictures as f64))
    }

    /// Seconds in which somebody was listened to.
    fn voice_s(&self) -> f64 {
        let times = self.stages.times(|name| (name == "sense/voice::detect").then_some(&[][..]));
        times.values().map(|times| times.sum.as_secs_f64()).sum()
    }

    /// How late each deadline of the tick was met.
    fn heartbeat(&self) -> Value {
        match self.stages.summary().get("lateness") {
            Some(late) => json!({
                "n": late.n, "missing": 0, "p50": round(late.p50_ms), "p95": round(late.p95_ms),
                "p99": round(late.p99_ms), "max": round(late.max_ms),
            }),
            None => json!({ "n": 0, "missing": 0, "p50": null, "p95": null, "p99": null, "max": null }),
        }
    }

    /// By phase and system: how often, how long in all, and the median.
    fn stage_times(&self) -> Value {
        let sums = self.stages.times(|_| Some(&[][..]));
        let times = self.stages.summary().into_iter().filter(|(name, _)| name != "lateness");
        let all = times.map(|(name, stage)| {
            let sum = sums.get(&name).map_or(0.0, |times| times.sum.as_secs_f64() * 1e3);
            (name, json!({ "n": stage.n, "sum": round(sum), "p50": round(stage.p50_ms) }))
        });
        Value::Object(all.collect())
    }
}

/// Those that were passed on, or made anew.
fn jpegs(seen: &Seen, work: Option<&SameWork>, changed: usize, tenths: usize) -> Jpegs {
    match work {
        Some(work) => {
            let encoded = work.encoded();
            let (lane, obstacle) = (encoded.lane.summary(changed), encoded.obstacle.summary(tenths));
            Jpegs { lane, obstacle, sizes: encoded.jpegs.clone(), last: encoded.last }
        }
        None => {
            let (lane, obstacle) = (seen.late.lane_jpeg.summary(changed), seen.late.obstacle_jpeg.summary(tenths));
            Jpegs { lane, obstacle, sizes: seen.jpegs.clone(), last: Mono::default() }
        }
    }
}
