//! Samples and findings as Foxglove messages, for everybody else's tools.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use foxglove::Encode;
use foxglove::messages::{
    Color, CompressedImage, ImageAnnotations, KeyValuePair, LocationFix, Log, Point2, PointsAnnotation, RawAudio,
    TextAnnotation, Timestamp, location_fix, log, points_annotation,
};
use serde_json::json;
use waywarden_components::prelude::*;

use crate::registry::Change;

/// Turns samples and changed values into Foxglove messages.
pub struct Publisher {
    names: BTreeMap<StreamId, String>,
    offset_ns: i64,
}

/// A message that is ready to be written.
pub struct Published {
    /// Topic.
    pub topic: String,
    /// Schema of the message.
    pub schema: Option<foxglove::Schema>,
    /// How it is encoded, as MCAP calls it.
    pub encoding: &'static str,
    /// Its bytes.
    pub data: Bytes,
}

fn published<M: Encode>(topic: String, message: &M) -> Option<Published> {
    let mut data = BytesMut::with_capacity(message.encoded_len().unwrap_or_default());
    message.encode(&mut data).ok()?;
    Some(Published { topic, schema: M::get_schema(), encoding: "protobuf", data: data.freeze() })
}

/// Red, for warnings and everything in the way.
const RED: Color = Color { r: 1.0, g: 0.25, b: 0.2, a: 1.0 };
/// Green, for the ego lane.
const GREEN: Color = Color { r: 0.2, g: 1.0, b: 0.4, a: 1.0 };

/// All that other tools need to plot it: it is an object with a time.
const TRUTH_SCHEMA: &[u8] = br#"{"type":"object","properties":{"timestamp":{"type":"object","title":"time","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}}}}"#;

impl Publisher {
    /// A publisher for these streams; `offset_ns` is added to monotonic times.
    pub fn new(streams: &[StreamSpec], offset_ns: i64) -> Self {
        Self { names: streams.iter().map(|spec| (spec.id, spec.name.clone())).collect(), offset_ns }
    }

    /// From now on this is added to monotonic times.
    pub fn set_offset(&mut self, offset_ns: i64) {
        self.offset_ns = offset_ns;
    }

    /// The topics of what a live run shows, with their schemas: pictures, lanes and obstacles of cameras, fixes, the log.
    pub fn live_topics(streams: &[StreamSpec]) -> Vec<(String, Option<foxglove::Schema>)> {
        let of = |spec: &StreamSpec| match spec.kind {
            StreamKind::Camera { .. } => vec![
                (format!("/{}/image", spec.name), CompressedImage::get_schema()),
                (format!("/{}/lane", spec.name), ImageAnnotations::get_schema()),
                (format!("/{}/obstacles", spec.name), ImageAnnotations::get_schema()),
            ],
            StreamKind::Gps { .. } => vec![(format!("/{}/fix", spec.name), LocationFix::get_schema())],
            _ => Vec::new(),
        };
        let log = ("/log".to_owned(), Log::get_schema());
        streams.iter().flat_map(of).chain([log]).collect()
    }

    /// A monotonic time as MCAP log time, in nanoseconds.
    pub fn log_time(&self, at: Mono) -> u64 {
        at.0.saturating_add_signed(self.offset_ns)
    }

    fn timestamp(&self, at: Mono) -> Option<Timestamp> {
        let ns = self.log_time(at);
        let seconds = u32::try_from(ns / 1_000_000_000).ok()?;
        // The remainder of a division by 10^9 fits.
        Timestamp::new_checked(seconds, (ns % 1_000_000_000) as u32)
    }

    fn name(&self, stream: StreamId) -> &str {
        self.names.get(&stream).map_or("unknown", String::as_str)
    }

    /// A frame, which is an input: topic `/NAME/image`.
    pub fn frame(&self, stream: StreamId, at: Mono, jpeg: &Bytes) -> Option<Published> {
        let message = CompressedImage {
            timestamp: self.timestamp(at),
            frame_id: self.name(stream).to_owned(),
            data: jpeg.clone(),
            format: "jpeg".to_owned(),
        };
        published(format!("/{}/image", self.name(stream)), &message)
    }

    /// What a simulator knows to be true: topic `/NAME`, JSON with the fields of [`Truth`] and the picture's `timestamp`.
    pub fn truth(&self, stream: StreamId, at: Mono, truth: &Truth) -> Option<Published> {
        let time = self.timestamp(at)?;
        let mut value = serde_json::to_value(truth).ok()?;
        value["timestamp"] = json!({ "sec": time.sec(), "nsec": time.nsec() });
        let schema = foxglove::Schema::new("waywarden.Truth", "jsonschema", TRUTH_SCHEMA);
        let data = Bytes::from(serde_json::to_vec(&value).ok()?);
        Some(Published { topic: format!("/{}", self.name(stream)), schema: Some(schema), encoding: "json", data })
    }

    /// Sound, which is an input: topic `/NAME/audio`.
    pub fn audio(&self, stream: StreamId, at: Mono, pcm: &Bytes) -> Option<Published> {
        let message = RawAudio {
            timestamp: self.timestamp(at),
            data: pcm.clone(),
            format: "pcm-s16".to_owned(),
            sample_rate: SAMPLE_RATE,
            number_of_channels: 1,
        };
        published(format!("/{}/audio", self.name(stream)), &message)
    }

    /// What a changed value shows to a person, if anything.
    pub fn change(&self, now: Mono, change: &Change) -> Option<Published> {
        let value = change.value.as_deref()?;
        let stream = change.id.stream;
        match &*change.kind {
            kind if kind == GpsFix::NAME => {
                let fix: GpsFix = rmp_serde::from_slice(value).ok()?;
                // A position that cannot be would spoil the map; it is in the outputs.
                (fix.validity == FixValidity::Valid).then(|| self.fix(stream, now, &fix)).flatten()
            }
            kind if kind == EgoLane::NAME => self.lane(stream, &rmp_serde::from_slice(value).ok()?),
            kind if kind == Obstacles::NAME => self.obstacles(stream, &rmp_serde::from_slice(value).ok()?),
            kind if kind == Notice::NAME => self.notice(now, &rmp_serde::from_slice(value).ok()?),
            _ => None,
        }
    }

    /// A fix: topic `/NAME/fix`.
    pub fn fix(&self, stream: StreamId, now: Mono, fix: &GpsFix) -> Option<Published> {
        // Horizontal dilution times 3 m, a common figure for the error of a single-frequency receiver.
        let variance = fix.hdop.map(|hdop| 9.0 * hdop * hdop);
        let covariance = variance.map(|v| vec![v, 0.0, 0.0, 0.0, v, 0.0, 0.0, 0.0, 4.0 * v]);
        let kind = match covariance {
            Some(_) => location_fix::PositionCovarianceType::Approximated,
            None => location_fix::PositionCovarianceType::Unknown,
        };
        let message = LocationFix {
            timestamp: self.timestamp(now),
            frame_id: self.name(stream).to_owned(),
            latitude: fix.latitude_deg,
            longitude: fix.longitude_deg,
            altitude: fix.altitude_m.unwrap_or_default(),
            position_covariance: covariance.unwrap_or_default(),
            position_covariance_type: kind.into(),
            heading: fix.course_deg.map(f64::to_radians),
            metadata: fix
                .speed_mps
                .map(|speed| KeyValuePair { key: "speed_mps".to_owned(), value: format!("{speed:.2}") })
                .into_iter()
                .collect(),
            ..Default::default()
        };
        published(format!("/{}/fix", self.name(stream)), &message)
    }

    /// The lane of a camera, as lines in the picture in which it was found: topic `/NAME/lane`.
    pub fn lane(&self, stream: StreamId, lane: &EgoLane) -> Option<Published> {
        let timestamp = self.timestamp(lane.captured?);
        let line = |points: &Vec<ImagePoint>| PointsAnnotation {
            timestamp,
            r#type: points_annotation::Type::LineStrip.into(),
            points: points.iter().map(|p| Point2 { x: p.x.into(), y: p.y.into() }).collect(),
            outline_color: Some(GREEN),
            thickness: 3.0,
            ..Default::default()
        };
        let points = [&lane.estimate.left, &lane.estimate.right].into_iter().flatten().map(line).collect();
        let message = ImageAnnotations { timestamp, points, ..Default::default() };
        published(format!("/{}/lane", self.name(stream)), &message)
    }

    /// Boxes of obstacles in the picture in which they were found: topic `/NAME/obstacles`.
    pub fn obstacles(&self, stream: StreamId, obstacles: &Obstacles) -> Option<Published> {
        let timestamp = self.timestamp(obstacles.captured?);
        let corners = |d: &Detection| {
            let (l, t) = (f64::from(d.left), f64::from(d.top));
            let (r, b) = (l + f64::from(d.width), t + f64::from(d.height));
            vec![Point2 { x: l, y: t }, Point2 { x: r, y: t }, Point2 { x: r, y: b }, Point2 { x: l, y: b }]
        };
        let points = obstacles
            .boxes
            .iter()
            .map(|d| PointsAnnotation {
                timestamp,
                r#type: points_annotation::Type::LineLoop.into(),
                points: corners(d),
                outline_color: Some(RED),
                thickness: 2.0,
                ..Default::default()
            })
            .collect();
        let texts = obstacles
            .boxes
            .iter()
            .map(|d| TextAnnotation {
                timestamp,
                position: Some(Point2 { x: d.left.into(), y: d.top.into() }),
                text: format!("{:?} {:.2}", d.class, d.score),
                font_size: 14.0,
                text_color: Some(RED),
                ..Default::default()
            })
            .collect();
        let message = ImageAnnotations { timestamp, points, texts, ..Default::default() };
        published(format!("/{}/obstacles", self.name(stream)), &message)
    }

    /// A line for the log: topic `/log`.
    pub fn notice(&self, now: Mono, notice: &Notice) -> Option<Published> {
        let level = match notice.level {
            NoticeLevel::Info => log::Level::Info,
            NoticeLevel::Warning => log::Level::Warning,
            NoticeLevel::Error => log::Level::Error,
        };
        let message = Log {
            timestamp: self.timestamp(now),
            level: level.into(),
            message: notice.text.clone(),
            name: notice.source.clone(),
            ..Default::default()
        };
        published("/log".to_owned(), &message)
    }
}
