//! Metrics of a run, as Prometheus reads them. All are read when somebody asks, from what others count anyway.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use waywarden_components::prelude::*;
use waywarden_systems::clock::{boottime, process_cpu_seconds, system_utc};
use waywarden_systems::inference::remote::RemoteStats;
use waywarden_systems::ingress::Waiting;
use waywarden_systems::metrics::{DeviceReading, GateReading, Numbers, POLICIES, STATES};
use waywarden_systems::mqtt::outbox::Outbox;
use waywarden_systems::record::RecorderStats;
use waywarden_systems::tick::{StageTimes, Stages};

use crate::http::Connections;
use crate::session_info;

/// The content type of the text: OpenMetrics.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the times of phases, systems and ticks that are late.
const SHORT: [Duration; 15] =
    micros([5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 1_000_000]);

/// Bounds of the times of jobs.
const LONG: [Duration; 12] = micros([
    5000, 10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
]);

/// The phases, by which their times are known among others.
const PHASES: [&str; 7] = ["ingress", "sense", "perceive", "understand", "act", "record", "retire"];

const fn micros<const N: usize>(micros: [u64; N]) -> [Duration; N] {
    let mut bounds = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        bounds[n] = Duration::from_micros(micros[n]);
        n += 1;
    }
    bounds
}

/// What is counted of a run, wherever it is counted.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What the world says.
    pub numbers: Numbers,
    /// Times.
    pub stages: Stages,
    /// What waits in the channels of the streams.
    pub channels: Vec<(StreamId, Waiting)>,
    /// The recorder, and the bytes that may wait for it, if there is one.
    pub recorder: Option<(Arc<RecorderStats>, u64)>,
    /// Who has asked.
    pub connections: Arc<Connections>,
    /// The service that computes models elsewhere, if there is one.
    pub remote: Option<Arc<RemoteStats>>,
    /// What waits for the broker, if there is one.
    pub outbox: Option<Outbox>,
}

impl Observed {
    /// All metrics as text.
    ///
    /// # Errors
    /// Never in practice: a string takes what is written.
    pub fn text(&self) -> Result<String, Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::with_capacity(64 * 1024);
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What stands in braces behind a name.
type Labels<'a> = [(&'static str, &'a str)];

/// Writes one metric after the other.
struct Writer<'a>(DescriptorEncoder<'a>);

/// The metric that is being written.
struct Metric<'a>(MetricEncoder<'a>);

impl Metric<'_> {
    fn put(
        &mut self,
        labels: &Labels<'_>,
        value: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if labels.is_empty() { value(&mut self.0) } else { value(&mut self.0.encode_family(&labels.to_vec())?) }
    }

    fn count(&mut self, labels: &Labels<'_>, count: u64) -> Result<(), Error> {
        self.put(labels, |metric| metric.encode_counter::<Vec<(&str, &str)>, u64, u64>(&count, None))
    }

    fn gauge(&mut self, labels: &Labels<'_>, value: f64) -> Result<(), Error> {
        self.put(labels, |metric| metric.encode_gauge(&value))
    }

    fn times(&mut self, labels: &Labels<'_>, bounds: &[Duration], times: &StageTimes) -> Result<(), Error> {
        let inside: u64 = times.up_to.iter().sum();
        let last = (f64::INFINITY, times.n.saturating_sub(inside));
        let bounds = bounds.iter().map(Duration::as_secs_f64).zip(times.up_to.iter().copied());
        let buckets: Vec<(f64, u64)> = bounds.chain([last]).collect();
        let sum = times.sum.as_secs_f64();
        self.put(labels, |metric| metric.encode_histogram::<Vec<(&str, &str)>>(sum, times.n, &buckets, None))
    }
}

impl Writer<'_> {
    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Metric<'s>, Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Counter).map(Metric)
    }

    fn gauge<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Metric<'s>, Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge).map(Metric)
    }

    fn histogram<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Metric<'s>, Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Histogram).map(Metric)
    }
}

impl Collector for Observed {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut writer = Writer(encoder);
        self.build(&mut writer)?;
        self.ticks(&mut writer)?;
        self.times(&mut writer)?;
        self.jobs(&mut writer)?;
        let devices: Vec<DeviceReading> = self.numbers.devices().collect();
        health(&mut writer, &devices)?;
        traffic(&mut writer, &devices)?;
        gates(&mut writer, &devices)?;
        self.channels(&mut writer, &devices)?;
        self.recorder(&mut writer)?;
        self.remote(&mut writer)?;
        self.outbox(&mut writer)?;
        process(&mut writer)?;
        self.connections(&mut writer)
    }
}

impl Observed {
    fn build(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let build = session_info::build();
        let labels = [
            ("version", build.version.as_str()),
            ("commit", &build.commit),
            ("profile", &build.profile),
            ("target", &build.target),
        ];
        let mut info = writer.0.encode_descriptor("waywarden_build", "What runs", None, MetricType::Info)?;
        info.encode_info(&labels.to_vec())
    }

    fn ticks(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let last = self.numbers.last_tick();
        writer.counter("waywarden_ticks", "Ticks that have been run")?.count(&[], last.map_or(0, |(tick, _)| tick))?;
        let age = last.map_or(f64::INFINITY, |(_, at)| boottime().since(at).as_secs_f64());
        writer.gauge("waywarden_tick_age_seconds", "Time since the last tick began")?.gauge(&[], age)
    }

    fn times(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let times = self.stages.times(|name| match name {
            "lateness" => Some(&SHORT[..]),
            _ if PHASES.contains(&name) => Some(&SHORT[..]),
            _ => match name.split_once('/')? {
                ("job", _) => Some(&LONG[..]),
                (phase, _) => PHASES.contains(&phase).then_some(&SHORT[..]),
            },
        });
        let mut metric = writer
            .histogram("waywarden_tick_lateness_seconds", "How late the tick was for each deadline, missed ones too")?;
        if let Some(times) = times.get("lateness") {
            metric.times(&[], &SHORT, times)?;
        }
        let mut metric = writer.histogram("waywarden_phase_duration_seconds", "How long a phase took")?;
        for (name, times) in times.iter().filter(|(name, _)| PHASES.contains(&name.as_str())) {
            metric.times(&[("phase", name)], &SHORT, times)?;
        }
        let named = || times.iter().filter_map(|(name, times)| Some((name.split_once('/')?, times)));
        let mut metric = writer.histogram("waywarden_system_duration_seconds", "How long a system took")?;
        for ((phase, system), times) in named().filter(|((phase, _), _)| *phase != "job") {
            metric.times(&[("phase", phase), ("system", system)], &SHORT, times)?;
        }
        let mut metric = writer.histogram("waywarden_job_duration_seconds", "How long a model took for a picture")?;
        for ((_, role), times) in named().filter(|((phase, _), _)| *phase == "job") {
            metric.times(&[("role", role)], &LONG, times)?;
        }
        Ok(())
    }

    fn jobs(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let mut metric = writer.counter("waywarden_jobs", "Jobs that have ended, by how")?;
        for queue in self.numbers.jobs() {
            for (outcome, count) in [("done", queue.done), ("failed", queue.failed), ("missed", queue.missed)] {
                metric.count(&[("role", queue.role.name()), ("outcome", outcome)], count)?;
            }
        }
        let mut metric =
            writer.counter("waywarden_job_frames_replaced", "Frames that waited for a model until a newer one came")?;
        for queue in self.numbers.jobs() {
            metric.count(&[("role", queue.role.name())], queue.replaced)?;
        }
        Ok(())
    }

    fn channels(&self, writer: &mut Writer<'_>, devices: &[DeviceReading]) -> Result<(), Error> {
        let name = |stream: StreamId| {
            let device = devices.iter().find(|device| device.stream == stream);
            device.map_or_else(|| stream.0.to_string(), |device| device.name.clone())
        };
        let mut metric = writer.gauge("waywarden_channel_waiting_bytes", "Bytes that wait for the next tick")?;
        for (stream, waiting) in &self.channels {
            metric.gauge(&[("device", &name(*stream))], waiting.now().1 as f64)?;
        }
        let mut metric = writer.gauge("waywarden_channel_waiting_items", "Items that wait for the next tick")?;
        for (stream, waiting) in &self.channels {
            metric.gauge(&[("device", &name(*stream))], waiting.now().0 as f64)?;
        }
        Ok(())
    }

    fn recorder(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let Some((stats, limit)) = &self.recorder else { return Ok(()) };
        for (name, help, count) in [
            ("waywarden_recorder_bytes", "Bytes recorded", stats.bytes.load(Relaxed)),
            ("waywarden_recorder_segments", "Segments begun", stats.segments.load(Relaxed)),
            ("waywarden_recorder_ticks", "Ticks recorded", stats.ticks.load(Relaxed)),
            ("waywarden_recorder_lost_ticks", "Ticks that could not be recorded", stats.lost.load(Relaxed)),
        ] {
            writer.counter(name, help)?.count(&[], count)?;
        }
        let waiting = stats.waiting.load(Relaxed) as f64;
        writer.gauge("waywarden_recorder_queue_bytes", "Bytes that wait for the disk")?.gauge(&[], waiting)?;
        let limit = *limit as f64;
        writer.gauge("waywarden_recorder_queue_limit_bytes", "Bytes that may wait for the disk")?.gauge(&[], limit)
    }

    fn remote(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let Some(stats) = &self.remote else { return Ok(()) };
        let help = "Pictures for the remote service: answered, failed, or spared because it is left alone";
        let mut metric = writer.counter("waywarden_remote_requests", help)?;
        for (outcome, count) in [("answered", &stats.answered), ("failed", &stats.failed), ("spared", &stats.spared)] {
            metric.count(&[("outcome", outcome)], count.load(Relaxed))?;
        }
        Ok(())
    }

    fn outbox(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        let tally = outbox.spool().tally();
        let help = "Messages to the broker: put, acknowledged by it, expired, or dropped for want of room";
        let mut metric = writer.counter("waywarden_mqtt_messages", help)?;
        for (topic, stream) in &tally.streams {
            for (outcome, count) in [
                ("put", stream.put),
                ("acknowledged", stream.acknowledged),
                ("expired", stream.expired),
                ("dropped", stream.dropped),
            ] {
                metric.count(&[("topic", topic), ("outcome", outcome)], count)?;
            }
        }
        let mut metric = writer.gauge("waywarden_spool_messages", "Messages that wait for the broker")?;
        metric.gauge(&[("place", "disk")], tally.messages as f64)?;
        metric.gauge(&[("place", "memory")], tally.waiting as f64)?;
        let mut metric = writer.gauge("waywarden_spool_bytes", "Their size")?;
        metric.gauge(&[("place", "disk")], tally.bytes as f64)?;
        metric.gauge(&[("place", "memory")], tally.waiting_bytes as f64)?;
        let now = system_utc()
            .and_then(|utc| u64::try_from((boottime().0 as i64).checked_add(utc.offset_ns)? / 1_000_000).ok());
        let age = tally.oldest.zip(now).map_or(0.0, |(oldest, now)| now.saturating_sub(oldest) as f64 / 1e3);
        writer
            .gauge("waywarden_spool_oldest_age_seconds", "How long the oldest of them has waited on disk")?
            .gauge(&[], age)
    }

    fn connections(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        for (name, help, count) in [
            ("waywarden_http_connections", "Connections that were accepted", &self.connections.accepted),
            ("waywarden_http_connections_refused", "Connections beyond those that may be", &self.connections.refused),
        ] {
            writer.counter(name, help)?.count(&[], count.load(Relaxed))?;
        }
        Ok(())
    }
}

fn health(writer: &mut Writer<'_>, devices: &[DeviceReading]) -> Result<(), Error> {
    let mut metric =
        writer.gauge("waywarden_device_health", "1 for the state that a device is in, 0 for the others")?;
    for device in devices {
        for state in STATES {
            let name = format!("{state:?}").to_lowercase();
            let labels = [("device", device.name.as_str()), ("kind", device.kind), ("state", name.as_str())];
            metric.gauge(&labels, f64::from(u8::from(device.state == state)))?;
        }
    }
    let mut metric = writer.gauge("waywarden_device_connected", "1 for a device that is open")?;
    for device in devices {
        metric.gauge(&[("device", &device.name), ("kind", device.kind)], f64::from(u8::from(device.connected)))?;
    }
    let mut metric =
        writer.counter("waywarden_device_link_losses", "How often a device was lost or given up, and begun anew")?;
    for device in devices {
        metric.count(&[("device", &device.name), ("kind", device.kind)], device.losses)?;
    }
    Ok(())
}

fn traffic(writer: &mut Writer<'_>, devices: &[DeviceReading]) -> Result<(), Error> {
    let mut metric =
        writer.counter("waywarden_device_samples", "Samples, or chunks of bytes, that came from a device")?;
    for device in devices {
        metric.count(&[("device", &device.name), ("kind", device.kind)], device.received)?;
    }
    let mut metric = writer.counter("waywarden_device_bytes", "Bytes that came from a device")?;
    for device in devices {
        metric.count(&[("device", &device.name), ("kind", device.kind)], device.bytes)?;
    }
    let mut metric = writer.counter("waywarden_dropped", "Items that a full queue dropped, by what it drops")?;
    for device in devices {
        for (policy, count) in POLICIES.iter().zip(device.dropped) {
            metric.count(&[("device", &device.name), ("policy", &policy.to_string())], count)?;
        }
    }
    Ok(())
}

fn gates(writer: &mut Writer<'_>, devices: &[DeviceReading]) -> Result<(), Error> {
    type Count = fn(&GateReading) -> u64;
    let all: [(&str, &str, Count); 5] = [
        ("waywarden_gate_judged", "Frames that the gate judged", |gate| gate.judged),
        ("waywarden_gate_accepted", "Frames that the gate accepted", |gate| gate.accepted),
        ("waywarden_gate_forced", "Frames accepted for the time that had passed alone", |gate| gate.forced),
        ("waywarden_gate_broken", "Frames that could not be decoded", |gate| gate.broken),
        ("waywarden_gate_wrong_size", "Frames of another size than their camera's", |gate| gate.wrong_size),
    ];
    for (name, help, count) in all {
        let mut metric = writer.counter(name, help)?;
        for (device, gate) in devices.iter().filter_map(|device| Some((device, device.gate.as_ref()?))) {
            metric.count(&[("camera", &device.name)], count(gate))?;
        }
    }
    Ok(())
}

/// What the kernel says of this process.
fn process(writer: &mut Writer<'_>) -> Result<(), Error> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
    };
    let help = "Memory of this process that is in use";
    let mut metric = writer.gauge("waywarden_process_resident_memory_bytes", help)?;
    if let Some(kib) = line("VmRSS") {
        metric.gauge(&[], kib * 1024.0)?;
    }
    let mut metric = writer.gauge("waywarden_process_threads", "Threads of this process")?;
    if let Some(threads) = line("Threads") {
        metric.gauge(&[], threads)?;
    }
    let help = "Processor time that this process has used";
    let mut metric = writer.0.encode_descriptor("waywarden_process_cpu_seconds", help, None, MetricType::Counter)?;
    metric.encode_counter::<Vec<(&str, &str)>, f64, f64>(&process_cpu_seconds(), None)
}

#[cfg(test)]
mod tests;
