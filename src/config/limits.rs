//! What numbers of the config may be.

use std::fmt;

/// What a number of the config may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The key with its section; devices and models without their index: `camera.width`.
    pub key: &'static str,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Unit; empty where there is none.
    pub unit: &'static str,
}

pub(super) const fn limit(key: &'static str, min: f64, max: f64, unit: &'static str) -> Limit {
    Limit { key, min, max, unit }
}

/// The limits of every number in the config.
pub const LIMITS: &[Limit] = &[
    limit("camera.width", 64.0, 7680.0, "pixels"),
    limit("camera.height", 64.0, 4320.0, "pixels"),
    limit("camera.fps", 1.0, 240.0, "frames a second"),
    limit("camera.loop_frames", 0.0, 1000.0, "frames"),
    limit("camera.geometry.horizontal_fov_deg", 10.0, 170.0, "degrees"),
    limit("camera.geometry.height_m", 0.2, 5.0, "m"),
    limit("camera.geometry.pitch_down_deg", -30.0, 30.0, "degrees"),
    limit("camera.geometry.yaw_left_deg", -30.0, 30.0, "degrees"),
    limit("camera.geometry.left_m", -2.0, 2.0, "m"),
    limit("camera.geometry.bumper_m", -1.0, 5.0, "m"),
    limit("microphone.rate_hz", 0.0, 384_000.0, "Hz"),
    limit("gps.baud", 0.0, 921_600.0, "Bd"),
    limit("gps.rate_hz", 0.1, 50.0, "Hz"),
    limit("range.baud", 1200.0, 921_600.0, "Bd"),
    limit("range.rate_hz", 1.0, 1000.0, "Hz"),
    limit("model.input.width", 32.0, 4096.0, "pixels"),
    limit("model.input.height", 32.0, 4096.0, "pixels"),
    limit("speaker.buffer_ms", 20.0, 2000.0, "ms"),
    limit("supervisor.backoff_min_ms", 10.0, 60_000.0, "ms"),
    limit("supervisor.backoff_max_ms", 10.0, 600_000.0, "ms"),
    limit("supervisor.absent_ms", 50.0, 60_000.0, "ms"),
    limit("supervisor.failures", 1.0, 1000.0, "failures"),
    limit("supervisor.window_s", 1.0, 86_400.0, "s"),
    limit("supervisor.rest_s", 1.0, 86_400.0, "s"),
    limit("tick.period_ms", 1.0, 1000.0, "ms"),
    limit("tick.min_gap_ms", 0.0, 1000.0, "ms"),
    limit("threads.compute", 1.0, 64.0, "threads"),
    limit("threads.jobs", 1.0, 16.0, "threads"),
    limit("threads.model", 1.0, 64.0, "threads"),
    limit("threads.network", 1.0, 16.0, "threads"),
    // Whole numbers up to here are exact in every reader of JSON.
    limit("simulation.seed", 0.0, 9_007_199_254_740_991.0, ""),
    limit("simulation.faults_per_hour", 0.0, 3600.0, "faults"),
    limit("simulation.errors.missed", 0.0, 1.0, ""),
    limit("simulation.errors.smallest_px", 0.0, 1000.0, "pixels"),
    limit("simulation.errors.edge_px", 0.0, 100.0, "pixels"),
    limit("simulation.errors.edge_share", 0.0, 1.0, ""),
    limit("simulation.errors.false_per_hour", 0.0, 36_000.0, "boxes"),
    limit("simulation.errors.line_m", 0.0, 2.0, "m"),
    limit("simulation.errors.line_missed", 0.0, 1.0, ""),
    limit("simulation.errors.mask_missed", 0.0, 1.0, ""),
    limit("gate.threshold", 0.0, 255.0, "luma levels"),
    limit("gate.force_after_s", 0.0, 3600.0, "s"),
    limit("remote.timeout_ms", 10.0, 60_000.0, "ms"),
    limit("remote.retries", 0.0, 10.0, "tries"),
    limit("remote.breaker_failures", 1.0, 1000.0, "failures"),
    limit("remote.breaker_rest_s", 0.1, 3600.0, "s"),
    limit("remote.breaker_longest_rest_s", 0.1, 86_400.0, "s"),
    limit("segmentation.rate_hz", 0.1, 100.0, "Hz"),
    limit("segmentation.deadline_ms", 10.0, 600_000.0, "ms"),
    limit("segmentation.virtual_latency_ms", 0.0, 60_000.0, "ms"),
    limit("detection.rate_hz", 0.1, 100.0, "Hz"),
    limit("detection.score", 0.0, 1.0, ""),
    limit("detection.crop_share", 0.1, 1.0, ""),
    limit("detection.deadline_ms", 10.0, 600_000.0, "ms"),
    limit("detection.virtual_latency_ms", 0.0, 60_000.0, "ms"),
    limit("voice.enter", 0.0, 1.0, ""),
    limit("voice.exit", 0.0, 1.0, ""),
    limit("voice.silero_enter", 0.0, 1.0, ""),
    limit("voice.silero_exit", 0.0, 1.0, ""),
    limit("voice.enter_windows", 1.0, 100.0, "windows"),
    limit("voice.hang_over_ms", 0.0, 10_000.0, "ms"),
    limit("voice.pre_roll_ms", 0.0, 5000.0, "ms"),
    limit("voice.max_utterance_s", 1.0, 300.0, "s"),
    limit("gps_fix.max_wait_ms", 0.0, 10_000.0, "ms"),
    limit("health.camera_stale_s", 0.1, 3600.0, "s"),
    limit("health.microphone_stale_s", 0.1, 3600.0, "s"),
    limit("health.gps_stale_s", 0.1, 3600.0, "s"),
    limit("health.range_stale_s", 0.1, 3600.0, "s"),
    limit("parked.after_s", 0.0, 86_400.0, "s"),
    limit("warnings.vehicle_width_m", 0.5, 3.0, "m"),
    limit("warnings.self_test_s", 0.0, 30.0, "s"),
    limit("warnings.stale_s", 0.1, 2.0, "s"),
    limit("warnings.text_s", 0.5, 10.0, "s"),
    limit("warnings.forward_collision.caution_s", 1.0, 6.0, "s"),
    limit("warnings.forward_collision.warning_s", 0.5, 6.0, "s"),
    limit("warnings.forward_collision.doubt", 0.0, 2.0, ""),
    limit("warnings.forward_collision.least_speed_kmh", 5.0, 100.0, "km/h"),
    limit("warnings.forward_collision.least_closing_mps", 0.3, 10.0, "m/s"),
    limit("warnings.forward_collision.least_radius_m", 0.0, 1000.0, "m"),
    limit("warnings.forward_collision.hard_mps2", 2.0, 10.0, "m/s²"),
    limit("warnings.forward_collision.reaction_s", 0.3, 2.5, "s"),
    limit("warnings.forward_collision.lead_braking_mps2", 1.0, 10.0, "m/s²"),
    limit("warnings.forward_collision.range_alone_kmh", 0.0, 100.0, "km/h"),
    limit("warnings.forward_collision.again_s", 0.0, 60.0, "s"),
    limit("warnings.headway.notice_s", 0.3, 3.0, "s"),
    limit("warnings.headway.caution_s", 0.2, 3.0, "s"),
    limit("warnings.headway.for_s", 0.5, 30.0, "s"),
    limit("warnings.headway.least_speed_kmh", 20.0, 150.0, "km/h"),
    limit("warnings.headway.again_s", 0.0, 600.0, "s"),
    limit("warnings.lane_departure.crossing_s", 0.0, 1.5, "s"),
    limit("warnings.lane_departure.beyond_m", -0.3, 0.3, "m"),
    limit("warnings.lane_departure.least_rate_mps", 0.05, 1.0, "m/s"),
    limit("warnings.lane_departure.most_rate_mps", 0.5, 5.0, "m/s"),
    limit("warnings.lane_departure.least_speed_kmh", 20.0, 150.0, "km/h"),
    limit("warnings.lane_departure.least_radius_m", 0.0, 2000.0, "m"),
    limit("warnings.lane_departure.least_confidence", 0.0, 1.0, ""),
    limit("warnings.lane_departure.again_s", 0.0, 60.0, "s"),
    limit("warnings.vulnerable_road_user.caution_s", 1.0, 6.0, "s"),
    limit("warnings.vulnerable_road_user.warning_s", 0.5, 6.0, "s"),
    limit("warnings.vulnerable_road_user.near_m", 0.0, 10.0, "m"),
    limit("warnings.vulnerable_road_user.reach_m", 5.0, 100.0, "m"),
    limit("warnings.vulnerable_road_user.least_speed_kmh", 2.0, 50.0, "km/h"),
    limit("warnings.vulnerable_road_user.most_speed_kmh", 20.0, 100.0, "km/h"),
    limit("warnings.vulnerable_road_user.again_s", 0.0, 60.0, "s"),
    limit("warnings.moving_off.near_m", 0.5, 5.0, "m"),
    limit("warnings.moving_off.touch_m", 0.2, 5.0, "m"),
    limit("warnings.moving_off.caution_s", 0.5, 10.0, "s"),
    limit("warnings.moving_off.least_closing_mps", 0.1, 2.0, "m/s"),
    limit("warnings.moving_off.most_speed_kmh", 2.0, 20.0, "km/h"),
    limit("warnings.moving_off.for_s", 1.0, 30.0, "s"),
    limit("warnings.moving_off.again_s", 0.0, 60.0, "s"),
    limit("mqtt.keep_alive_s", 1.0, 600.0, "s"),
    limit("mqtt.reconnect_max_s", 1.0, 3600.0, "s"),
    limit("mqtt.in_flight", 1.0, 10_000.0, "messages"),
    limit("mqtt.spool_mb", 1.0, 65_536.0, "MB"),
    limit("mqtt.commit_ms", 1.0, 10_000.0, "ms"),
    limit("mqtt.position_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.speed_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.lane_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.objects_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.voice_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.health_hz", 0.0, 50.0, "Hz"),
    limit("mqtt.heartbeat_s", 1.0, 86_400.0, "s"),
    limit("mqtt.position_deadband_m", 0.0, 10_000.0, "m"),
    limit("mqtt.speed_deadband_kmh", 0.0, 100.0, "km/h"),
    limit("mqtt.lane_deadband_m", 0.0, 10.0, "m"),
    limit("mqtt.distance_deadband_m", 0.0, 100.0, "m"),
    limit("mqtt.keep_telemetry_h", 0.01, 8760.0, "h"),
    limit("mqtt.keep_events_h", 0.01, 8760.0, "h"),
    limit("webrtc.sessions", 1.0, 16.0, "sessions"),
    limit("webrtc.offer_s", 2.0, 120.0, "s"),
    limit("webrtc.max_kbps", 100.0, 20_000.0, "kbit/s"),
    limit("webrtc.max_fps", 1.0, 60.0, "frames a second"),
    limit("webrtc.max_height", 90.0, 2160.0, "pixels"),
    limit("webrtc.turn_lifetime_s", 60.0, 86_400.0, "s"),
    limit("record.segment_s", 1.0, 86_400.0, "s"),
    limit("record.segment_mb", 1.0, 65_536.0, "MB"),
    limit("record.queue_mb", 1.0, 65_536.0, "MB"),
    limit("record.flush_ms", 10.0, 60_000.0, "ms"),
    limit("record.keep_gb", 0.0, 1_000_000.0, "GB"),
    limit("record.keep_days", 0.0, 36_500.0, "days"),
    limit("record.free_gb", 0.0, 1_000_000.0, "GB"),
    limit("record.preserve_s", 1.0, 3600.0, "s"),
    limit("replay.look_ahead_mb", 1.0, 65_536.0, "MB"),
];

impl Limit {
    /// The limit of `key`, if that is a number.
    pub fn of(key: &str) -> Option<&'static Limit> {
        Self::among(LIMITS, key)
    }

    /// The limit of `key` among `limits`.
    pub(super) fn among(limits: &'static [Limit], key: &str) -> Option<&'static Limit> {
        limits.iter().find(|limit| limit.key == key)
    }

    /// Whether `value` keeps it. Not-a-number never does.
    pub fn allows(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)?;
        if self.unit.is_empty() { Ok(()) } else { write!(f, " {}", self.unit) }
    }
}
