//! Figures of the lanes in a clip's masks: `cargo run -p waywarden-perception --example masks -- FILE [EVERY] [--looks]`.
//!
//! FILE holds a line `WIDTH HEIGHT FPS` of the frames, then three lines a look: frame number and seconds; runs of the
//! drivable mask; runs of the line mask (640x360 both, lengths joined by commas, the first one black).
#![expect(clippy::print_stdout, reason = "a program whose output is figures")]

use std::error::Error;

use waywarden_components::prelude::*;
use waywarden_perception::lanes::masked;

/// The row at which edges are compared, of 360: near the bottom, above the bonnet.
const ROW: f64 = 320.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = std::fs::read_to_string(arguments.first().ok_or("which file?")?)?;
    let every: usize = arguments.get(1).and_then(|every| every.parse().ok()).unwrap_or(1);
    let each = arguments.iter().any(|argument| argument == "--looks");
    let mut lines = text.lines();
    let head: Vec<f64> = numbers(lines.next().unwrap_or_default(), ' ');
    let [width, height, _] = head[..] else { return Err("no head".into()) };
    let size = (width as u32, height as u32);
    let rest: Vec<&str> = lines.collect();
    let (mut tracker, geometry) = (LaneTracker::default(), CameraGeometry::default());
    let mut figures = Figures::default();
    for look in rest.chunks_exact(3).step_by(every) {
        let at = numbers(look[0], ' ')[1];
        let mask = |text| Mask {
            width: 640,
            height: 360,
            runs: numbers(text, ',').into_iter().map(|run| run as u32).collect(),
        };
        let masks = RoadMasks { drivable: mask(look[1]), lines: mask(look[2]) };
        let estimate = masked::look(&mut tracker, &masks, &geometry, size, (Mono::from_secs_f64(1.0 + at), None));
        if each {
            let (l, r) = (estimate.left_line, estimate.right_line);
            let lane =
                estimate.geometry.map(|lane| (lane.offset_m, lane.width_m, lane.heading_rad, lane.curvature_per_m));
            println!(
                "{at:6.2} {lane:?} {:.2} {:.2} seen {} {} {:?} {:?} pitch {:.4} usual {:.2} learnt {}",
                tracker.left.confidence,
                tracker.right.confidence,
                l.seen,
                r.seen,
                l.kind,
                r.kind,
                tracker.pitch_rad,
                tracker.width_m,
                tracker.learnt
            );
        }
        figures.add(at, &estimate, height, width);
    }
    figures.print();
    Ok(())
}

fn numbers(text: &str, between: char) -> Vec<f64> {
    text.split(between).filter_map(|number| number.parse().ok()).collect()
}

#[derive(Default)]
struct Figures {
    looks: usize,
    first: Option<f64>,
    widths: Vec<f64>,
    jumps: Vec<f64>,
    edge: Option<f64>,
    kinds: [[usize; 3]; 2],
    unseen: [usize; 2],
}

impl Figures {
    fn add(&mut self, at: f64, estimate: &LaneEstimate, height: f64, width: f64) {
        self.looks += 1;
        let edge = estimate.left.as_ref().and_then(|left| edge(left, ROW * height / 360.0)).map(|x| x * 640.0 / width);
        if let (Some(before), Some(now)) = (self.edge, edge) {
            self.jumps.push((now - before).abs());
        }
        self.edge = edge;
        let Some(lane) = estimate.geometry else { return };
        self.first.get_or_insert(at);
        self.widths.push(lane.width_m.into());
        for (n, line) in [estimate.left_line, estimate.right_line].iter().enumerate() {
            self.kinds[n][line.kind as usize] += 1;
            self.unseen[n] += usize::from(!line.seen);
        }
    }

    fn print(&mut self) {
        self.widths.sort_unstable_by(f64::total_cmp);
        self.jumps.sort_unstable_by(f64::total_cmp);
        let share = |n: usize, of: usize| 100.0 * n as f64 / of.max(1) as f64;
        println!(
            "looks {}, claimed {} ({:.1} %), first at {:?} s",
            self.looks,
            self.widths.len(),
            share(self.widths.len(), self.looks),
            self.first
        );
        let Some(&median) = self.widths.get(self.widths.len() / 2) else { return };
        let near = self.widths.iter().filter(|width| (*width - median).abs() <= 0.15 * median).count();
        println!(
            "width: median {median:.2} m, {:.2} to {:.2}; within 15 %: {:.1} % of the claimed, {:.1} % of the looks",
            self.widths.first().unwrap_or(&0.0),
            self.widths.last().unwrap_or(&0.0),
            share(near, self.widths.len()),
            share(near, self.looks)
        );
        let at = |share: f64| self.jumps.get((share * (self.jumps.len() - 1) as f64) as usize).copied().unwrap_or(0.0);
        println!(
            "left edge at row {ROW} of 360, pixels of 640: p50 {:.1}, p95 {:.1}, largest {:.1}",
            at(0.5),
            at(0.95),
            at(1.0)
        );
        println!(
            "unknown, solid, dashed: left {:?}, right {:?}; unseen {:?}",
            self.kinds[0], self.kinds[1], self.unseen
        );
    }
}

/// Where a line, bottom first, crosses a row.
fn edge(line: &[ImagePoint], row: f64) -> Option<f64> {
    line.windows(2).find(|pair| f64::from(pair[1].y) <= row).map(|pair| {
        let (a, b) = (pair[0], pair[1]);
        let share = (row - f64::from(a.y)) / f64::from(b.y - a.y).min(-1e-3);
        f64::from(a.x) + share * f64::from(b.x - a.x)
    })
}
