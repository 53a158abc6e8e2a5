//! Where the vehicle was and how fast.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use waywarden_components::prelude::*;
use waywarden_systems::session::TickFindings;

use super::base::Base;
use super::chart::{BLUE, Chart, GREEN, RED, Style, TRUTH, colour, line, round, truth_line};
use super::decimate::{Series, Thinned};

/// Points of a track that are drawn.
const MOST_POINTS: usize = 4000;

/// Metres of a degree of latitude, on average (WGS 84: 110.6 to 111.7 km).
const METRES_PER_DEGREE: f64 = 111_195.0;

/// Receivers send a fix a second at the least; a line is broken when three are missing.
const HOLE: Duration = Duration::from_secs(3);

/// What is known of position and speed.
#[derive(Clone, Debug)]
pub struct Positions {
    receivers: BTreeMap<StreamId, Receiver>,
    true_speed: Series,
    true_track: Thinned<Place>,
}

#[derive(Clone, Debug)]
struct Receiver {
    speed: Series,
    satellites: Series,
    track: Thinned<Place>,
    fixes: u64,
    travelled_m: f64,
    /// The fix before, unless a gap lies between.
    before: Option<Place>,
    last: Option<Place>,
    longest_silence_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: Mono,
    latitude_deg: f64,
    longitude_deg: f64,
    speed_mps: Option<f64>,
}

impl Default for Positions {
    fn default() -> Self {
        Self { receivers: BTreeMap::new(), true_speed: Series::default(), true_track: Thinned::new(MOST_POINTS) }
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            speed: Series::default(),
            satellites: Series::default(),
            track: Thinned::new(MOST_POINTS),
            fixes: 0,
            travelled_m: 0.0,
            before: None,
            last: None,
            longest_silence_s: 0.0,
        }
    }
}

/// Position in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PositionFacts {
    /// Fixes made.
    pub fixes: u64,
    /// Length of the way from fix to fix, in metres.
    pub travelled_m: Option<f64>,
    /// Mean speed, in m/s.
    pub mean_speed_mps: Option<f64>,
    /// Highest speed, in m/s.
    pub highest_speed_mps: Option<f64>,
    /// The longest time between two fixes, in seconds.
    pub longest_silence_s: Option<f64>,
}

impl Place {
    /// Metres east and north of `origin`, on a plane that touches the earth there: good for a drive.
    fn metres_from(&self, origin: &Self) -> (f64, f64) {
        let north = (self.latitude_deg - origin.latitude_deg) * METRES_PER_DEGREE;
        let scale = METRES_PER_DEGREE * libm::cos(origin.latitude_deg.to_radians());
        // The short way round where the date changes.
        let east = (self.longitude_deg - origin.longitude_deg + 540.0).rem_euclid(360.0) - 180.0;
        (east * scale, north)
    }
}

impl Positions {
    /// Takes what a tick says.
    pub fn add(&mut self, tick: &TickFindings) {
        for (at, truth) in tick.truths() {
            self.true_speed.push(at, truth.speed_mps.into());
            self.true_track.push(Place {
                at,
                latitude_deg: truth.latitude_deg,
                longitude_deg: truth.longitude_deg,
                speed_mps: Some(truth.speed_mps.into()),
            });
        }
        if tick.segment.as_ref().is_some_and(|segment| segment.missing_ticks > 0) {
            // What the receiver said in the meantime is not known.
            self.receivers.values_mut().for_each(|receiver| receiver.before = None);
        }
        let usable = |(_, fix): &&(StableId, GpsFix)| fix.validity == FixValidity::Valid;
        for (id, fix) in tick.found.iter().flat_map(|found| &found.fixes).filter(usable) {
            let receiver = self.receivers.entry(id.stream).or_default();
            let place = Place {
                at: tick.now,
                latitude_deg: fix.latitude_deg,
                longitude_deg: fix.longitude_deg,
                speed_mps: fix.speed_mps,
            };
            receiver.add(place, fix);
        }
    }

    /// Position in numbers, of the receiver with the most fixes.
    pub fn facts(&self) -> PositionFacts {
        let fixes = self.receivers.values().map(|receiver| receiver.fixes).sum();
        let Some(best) = self.receivers.values().max_by_key(|receiver| receiver.fixes) else {
            return PositionFacts { fixes, ..PositionFacts::default() };
        };
        PositionFacts {
            fixes,
            travelled_m: (best.fixes > 1).then_some(best.travelled_m),
            mean_speed_mps: best.speed.mean(),
            highest_speed_mps: best.speed.max().map(|(_, speed)| speed),
            longest_silence_s: (best.fixes > 1).then_some(best.longest_silence_s),
        }
    }

    /// Its charts.
    pub fn charts(&self, base: &Base) -> Vec<Chart> {
        let style = Style { hole: HOLE, ..Style::new(BLUE, 1, "km/h") };
        let kmh = |series: &Series| series.scaled(3.6);
        let mut speed = Chart::timed("speed", "Speed", "km/h", "Over ground, as the receiver says.").with_some(
            truth_line("truth", &kmh(&self.true_speed), base.start, Style { hole: Duration::from_secs(1), ..style }),
        );
        for (n, (id, receiver)) in self.receivers.iter().enumerate() {
            let style = Style { colour: colour(n), ..style };
            speed.traces.extend(line(&base.name(*id), &kmh(&receiver.speed), base.start, style));
        }
        let mut satellites =
            Chart::timed("satellites", "Satellites used", "satellites", "By the receiver, for its fix.");
        satellites.height = 180;
        for (n, (id, receiver)) in self.receivers.iter().enumerate() {
            let style = Style { hole: HOLE, ..Style::new(colour(n), 0, "") };
            satellites.traces.extend(line(&base.name(*id), &receiver.satellites, base.start, style));
        }
        [self.track(base), speed.if_any(), satellites.if_any()].into_iter().flatten().collect()
    }

    /// The way seen from above, in metres, north up.
    fn track(&self, base: &Base) -> Option<Chart> {
        let first = |track: &Thinned<Place>| track.kept().first().copied();
        let origin = self.receivers.values().find_map(|receiver| first(&receiver.track)).or(first(&self.true_track))?;
        let mut chart = Chart::timed("track", "Track", "m north", "");
        chart.note = format!(
            "Seen from above, north up, in metres from {:.6}°, {:.6}°. No map is drawn: the report needs no network.",
            origin.latitude_deg, origin.longitude_deg
        );
        chart.timed = false;
        chart.height = 460;
        if self.true_track.seen() > 0 {
            let mut trace = way("truth", &self.true_track, &origin, base, TRUTH);
            trace["line"] = json!({ "color": TRUTH, "width": 5 });
            trace["opacity"] = json!(0.6);
            chart.traces.push(trace);
        }
        for (n, (id, receiver)) in self.receivers.iter().enumerate() {
            chart.traces.push(way(&base.name(*id), &receiver.track, &origin, base, colour(n)));
            for (place, name, colour) in [(first(&receiver.track), "start", GREEN), (receiver.last, "end", RED)] {
                let Some((east, north)) = place.map(|place| place.metres_from(&origin)) else { continue };
                chart.traces.push(json!({
                    "type": "scatter", "mode": "markers", "name": name, "x": [round(east, 2)], "y": [round(north, 2)],
                    "marker": { "color": colour, "size": 12, "symbol": "circle" }, "hovertemplate": name,
                }));
            }
        }
        chart.layout = json!({
            "xaxis": { "title": { "text": "m east" }, "zeroline": false },
            "yaxis": { "title": { "text": "m north" }, "scaleanchor": "x", "scaleratio": 1, "zeroline": false },
            "hovermode": "closest",
        });
        Some(chart)
    }
}

impl Receiver {
    fn add(&mut self, place: Place, fix: &GpsFix) {
        self.fixes += 1;
        if let Some(speed) = fix.speed_mps {
            self.speed.push(place.at, speed);
        }
        if let Some(satellites) = fix.satellites {
            self.satellites.push(place.at, satellites.into());
        }
        if let Some(before) = self.before.replace(place) {
            let (east, north) = place.metres_from(&before);
            self.travelled_m += libm::hypot(east, north);
            self.longest_silence_s = self.longest_silence_s.max(place.at.since(before.at).as_secs_f64());
        }
        self.track.push(place);
        self.last = Some(place);
    }
}

fn way(name: &str, track: &Thinned<Place>, origin: &Place, base: &Base, colour: &str) -> serde_json::Value {
    let (mut x, mut y, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<Mono> = None;
    // What was thinned is further apart.
    let hole = HOLE.max(Duration::from_secs_f64(3.0 * base.length_s() / track.kept().len().max(1) as f64));
    for place in track.kept() {
        let (east, north) = place.metres_from(origin);
        if last.is_some_and(|last| place.at.since(last) > hole) {
            x.push(None);
            y.push(None);
            text.push(String::new());
        }
        last = Some(place.at);
        x.push(Some(round(east, 2)));
        y.push(Some(round(north, 2)));
        let speed = place.speed_mps.map_or(String::new(), |speed| format!(", {:.0} km/h", 3.6 * speed));
        let seconds = place.at.since(base.start).as_secs_f64();
        text.push(format!("{seconds:.1} s: {:.6}, {:.6}{speed}", place.latitude_deg, place.longitude_deg));
    }
    json!({
        "type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "text": text,
        "hovertemplate": "%{text}<extra></extra>", "line": { "color": colour, "width": 2 },
    })
}
