//! Draws a scene.

use std::time::Duration;

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13_BOLD, FONT_10X20};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use waywarden_components::prelude::*;
use waywarden_systems::camera::jpeg;

use super::canvas::Canvas;
use super::scene::Scene;
use crate::report::devices::state_name;
use crate::report::objects::class_name;
use crate::report::words::date;

/// Lane lines.
pub const LINE: Rgb888 = Rgb888::new(64, 255, 128);
/// The drivable area, and the lane between its lines.
const DRIVABLE: Rgb888 = Rgb888::new(40, 200, 90);
/// Painted lines as a model sees them.
const PAINT: Rgb888 = Rgb888::new(255, 220, 60);
/// The simulator's truth.
const TRUTH: Rgb888 = Rgb888::new(255, 255, 255);
const WARNING: Rgb888 = Rgb888::new(255, 196, 64);
const ERROR: Rgb888 = Rgb888::new(255, 96, 88);
const QUIET: Rgb888 = Rgb888::new(170, 178, 188);

/// Measurements that are older than this are not shown.
const STALE: Duration = Duration::from_secs(3);

/// A lane that is older than its picture by more than this is said to be.
const SHOWN_AGE: Duration = Duration::from_millis(300);

/// Half the width of the lane gauge, in metres.
const GAUGE_M: f32 = 1.5;

/// Draws what was seen and what is known. A picture that cannot be decoded is dark and says so.
pub fn draw(canvas: &mut Canvas, scene: &Scene) {
    let mut trouble = None;
    let mut frame_width = canvas.width();
    match &scene.jpeg {
        Some(bytes) => match jpeg::decode_rgb(bytes) {
            Ok(picture) => {
                frame_width = picture.width;
                canvas.load(&picture);
            }
            Err(error) => {
                canvas.dim();
                trouble = Some(format!("this picture cannot be decoded: {error}"));
            }
        },
        None => {
            canvas.dim();
            trouble = Some("no picture of this moment".to_owned());
        }
    }
    let scale = canvas.width() as f32 / frame_width.max(1) as f32;
    if scene.jpeg.is_some() && trouble.is_none() {
        seen(canvas, scene, scale);
    }
    words(canvas, scene, trouble.as_deref());
}

/// What models and estimators saw, in the picture.
fn seen(canvas: &mut Canvas, scene: &Scene, scale: f32) {
    if let Some(masks) = &scene.masks {
        canvas.tint_mask(&masks.drivable, DRIVABLE, 56);
        canvas.tint_mask(&masks.lines, PAINT, 110);
    }
    if let Some(lane) = &scene.lane {
        let line = |points: &Option<Vec<ImagePoint>>| {
            let scaled = |point: &ImagePoint| Point::new(pixel(point.x, scale), pixel(point.y, scale));
            points.as_ref().map(|points| points.iter().map(scaled).collect::<Vec<Point>>())
        };
        let (left, right) = (line(&lane.left), line(&lane.right));
        if let (Some(left), Some(right), None) = (&left, &right, &scene.masks) {
            between(canvas, left, right);
        }
        // Broad and dark first: seen on any ground.
        let broad = (canvas.width() / 160).max(3);
        for (colour, width) in [(Rgb888::BLACK, broad + 2), (LINE, broad)] {
            for points in [&left, &right].into_iter().flatten() {
                stroke(canvas, points, width, colour);
            }
        }
    }
    for found in &scene.boxes {
        boxed(canvas, found, scale);
    }
}

/// A place in the picture. Values of a session may be anything; the picture itself is far smaller than the bounds.
fn pixel(value: f32, scale: f32) -> i32 {
    (value * scale).clamp(-8192.0, 8192.0).round() as i32
}

/// Draws a broad line. Of `embedded-graphics`, broad lines overflow in large pictures.
fn stroke(canvas: &mut Canvas, points: &[Point], width: u32, colour: Rgb888) {
    for pair in points.windows(2) {
        let (from, way) = (pair[0], pair[1] - pair[0]);
        let steps = way.x.abs().max(way.y.abs()).max(1);
        for step in 0..=steps {
            let at = from + Point::new(way.x * step / steps, way.y * step / steps);
            canvas.tint(Rectangle::with_center(at, Size::new_equal(width)), colour, 256);
        }
    }
}

/// Tints what lies between two lines.
fn between(canvas: &mut Canvas, left: &[Point], right: &[Point]) {
    let span = |points: &[Point]| {
        let rows = points.iter().map(|point| point.y);
        rows.clone().min().zip(rows.max())
    };
    let (Some(a), Some(b)) = (span(left), span(right)) else { return };
    for y in a.0.max(b.0).max(0)..=a.1.min(b.1).min(canvas.height() as i32) {
        if let (Some(left), Some(right)) = (column(left, y), column(right, y))
            && left < right
        {
            canvas.tint_row(y as u32, left.max(0) as u32, right.max(0) as u32, DRIVABLE, 56);
        }
    }
}

/// Where a line crosses a row.
fn column(points: &[Point], y: i32) -> Option<i32> {
    points.windows(2).find_map(|pair| {
        let (from, to) = (pair[0], pair[1]);
        let (low, high) = (from.y.min(to.y), from.y.max(to.y));
        if !(low..=high).contains(&y) {
            return None;
        }
        let share = if from.y == to.y { 0.0 } else { (y - from.y) as f32 / (to.y - from.y) as f32 };
        Some(from.x + (share * (to.x - from.x) as f32).round() as i32)
    })
}

fn class_colour(class: ObjectClass) -> Rgb888 {
    match class {
        ObjectClass::Person => Rgb888::new(255, 90, 170),
        ObjectClass::Bicycle | ObjectClass::Motorcycle => Rgb888::new(255, 150, 60),
        class if class.is_vehicle() => Rgb888::new(80, 180, 255),
        _ => Rgb888::new(190, 150, 255),
    }
}

fn boxed(canvas: &mut Canvas, found: &Detection, scale: f32) {
    let colour = class_colour(found.class);
    let (left, top) = (pixel(found.left, scale), pixel(found.top, scale));
    let (width, height) = (pixel(found.width, scale).max(1) as u32, pixel(found.height, scale).max(1) as u32);
    let area = Rectangle::new(Point::new(left, top), Size::new(width, height));
    // Drawing on a canvas cannot fail.
    let _ = area.into_styled(PrimitiveStyle::with_stroke(colour, (canvas.width() / 420).max(2))).draw(canvas);
    let text = format!("{} {:.2}", class_name(found.class), found.score);
    let font = &FONT_7X13_BOLD;
    let size = Size::new(text_width(font, &text) + 6, font.character_size.height + 2);
    let at = Point::new(left.clamp(0, canvas.width() as i32 - 1), (top - size.height as i32).max(0));
    canvas.tint(Rectangle::new(at, size), colour, 235);
    let style = MonoTextStyle::new(font, Rgb888::BLACK);
    let _ = Text::with_baseline(&text, at + Point::new(3, 1), style, Baseline::Top).draw(canvas);
}

fn text_width(font: &MonoFont, text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX).saturating_mul(font.character_size.width)
}

/// `0:12.3`, from an hour on `1:02:03.4`.
pub fn clock(since_start: Duration) -> String {
    let tenths = since_start.as_millis() / 100;
    let (h, m, s, rest) = (tenths / 36_000, tenths / 600 % 60, tenths / 10 % 60, tenths % 10);
    if h > 0 { format!("{h}:{m:02}:{s:02}.{rest}") } else { format!("{m}:{s:02}.{rest}") }
}

/// The lines of words at the top and the bottom, and the gauge.
fn words(canvas: &mut Canvas, scene: &Scene, trouble: Option<&str>) {
    let font = if canvas.width() >= 900 { &FONT_10X20 } else { &FONT_7X13_BOLD };
    let status = &scene.status;
    let fresh = |at: Mono| scene.at.since(at) <= STALE;
    let mut top = vec![(clock(scene.since_start), TRUTH)];
    if let Some((speed, at)) = status.speed_mps {
        let text = if fresh(at) { format!("{:.0} km/h", 3.6 * speed) } else { "no speed".to_owned() };
        top.push((text, if fresh(at) { TRUTH } else { WARNING }));
    }
    let lane = scene.lane.as_ref().and_then(|lane| lane.geometry);
    let age =
        if scene.lane_age > SHOWN_AGE { format!(", {:.1} s old", scene.lane_age.as_secs_f64()) } else { String::new() };
    match (&scene.lane, lane) {
        (_, Some(lane)) => {
            let side = if lane.offset_m < 0.0 { "right" } else { "left" };
            top.push((format!("lane: {:.2} m {side}{age}", lane.offset_m.abs()), LINE));
        }
        (Some(lane), None) if lane.left.is_some() || lane.right.is_some() => {
            top.push((format!("lane: seen {:.0} %{age}", 100.0 * lane.confidence), LINE));
        }
        _ => top.push(("no lane".to_owned(), QUIET)),
    }
    if let Some((range, at)) = status.range_m
        && fresh(at)
    {
        top.push((format!("{range:.1} m ahead"), TRUTH));
    }
    if let Some(speaking) = status.speaking {
        top.push(if speaking { ("VOICE".to_owned(), LINE) } else { ("silent".to_owned(), QUIET) });
    }
    let line_height = font.character_size.height + 6;
    let width = canvas.width();
    canvas.tint(Rectangle::new(Point::zero(), Size::new(width, line_height)), Rgb888::BLACK, 170);
    let mut x = 8;
    for (text, colour) in &top {
        x = put(canvas, font, text, Point::new(x, 3), *colour) + 2 * font.character_size.width as i32;
    }
    if let Some(utc) = scene.utc {
        let text = date(scene.at, utc);
        let left = width as i32 - text_width(font, &text) as i32 - 8;
        if left > x {
            put(canvas, font, &text, Point::new(left, 3), QUIET);
        }
    }
    let mut bottom: Vec<(String, Rgb888)> = Vec::new();
    bottom.extend(status.alerts.values().map(|(kind, level)| (format!("ALERT {kind} ({level:?})"), ERROR)));
    for (name, health) in status.troubles.values() {
        let colour = match health.state {
            FunctionState::Fault => ERROR,
            FunctionState::Degraded => WARNING,
            _ => QUIET,
        };
        bottom.push((format!("{name} {}: {}", state_name(health.state), health.reason), colour));
    }
    bottom.extend(trouble.map(|text| (text.to_owned(), WARNING)));
    if let Some(lane) = lane {
        let lines = u32::try_from(bottom.len()).unwrap_or(0);
        gauge(canvas, lane.offset_m, scene.true_lane.map(|lane| lane.offset_m), lines * line_height);
    }
    let most = usize::try_from(width / font.character_size.width).unwrap_or(0).saturating_sub(2);
    for (n, (text, colour)) in bottom.iter().rev().enumerate() {
        let up = i32::try_from((n as u32 + 1) * line_height).unwrap_or(i32::MAX);
        let y = canvas.height() as i32 - up;
        if y < line_height as i32 {
            break;
        }
        canvas.tint(Rectangle::new(Point::new(0, y), Size::new(width, line_height)), Rgb888::BLACK, 170);
        let text: String = if text.chars().count() > most {
            text.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
        } else {
            text.clone()
        };
        put(canvas, font, &text, Point::new(8, y + 3), *colour);
    }
}

/// Writes a line of text; returns where it ends.
fn put(canvas: &mut Canvas, font: &MonoFont, text: &str, at: Point, colour: Rgb888) -> i32 {
    let style = MonoTextStyle::new(font, colour);
    match Text::with_baseline(text, at, style, Baseline::Top).draw(canvas) {
        Ok(end) => end.x,
        Err(never) => match never {},
    }
}

/// Where the vehicle is in its lane: a scale with the lane's middle, a dot for what is measured, a ring for the truth.
fn gauge(canvas: &mut Canvas, offset_m: f32, truth_m: Option<f32>, above: u32) {
    let half = (canvas.width() / 8).max(40) as i32;
    let middle = Point::new(canvas.width() as i32 / 2, canvas.height() as i32 - above as i32 - 18);
    let area = Rectangle::with_center(middle, Size::new(2 * half as u32 + 28, 26));
    canvas.tint(area, Rgb888::BLACK, 130);
    // Left on the scale is left in the picture: the offset is positive to the left.
    let place = |offset: f32| middle - Point::new(((offset / GAUGE_M).clamp(-1.0, 1.0) * half as f32) as i32, 0);
    let thin = PrimitiveStyle::with_stroke(QUIET, 2);
    let _ = Line::new(middle - Point::new(half, 0), middle + Point::new(half, 0)).into_styled(thin).draw(canvas);
    for tick in [-GAUGE_M, -GAUGE_M / 2.0, 0.0, GAUGE_M / 2.0, GAUGE_M] {
        let at = place(tick);
        let tall = if tick == 0.0 { 9 } else { 5 };
        let _ = Line::new(at - Point::new(0, tall), at + Point::new(0, tall)).into_styled(thin).draw(canvas);
    }
    if let Some(truth) = truth_m {
        let _ = Circle::with_center(place(truth), 17).into_styled(PrimitiveStyle::with_stroke(TRUTH, 2)).draw(canvas);
    }
    let _ = Circle::with_center(place(offset_m), 12).into_styled(PrimitiveStyle::with_fill(LINE)).draw(canvas);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        let line = |x: f32| Some(vec![ImagePoint { x, y: 350.0 }, ImagePoint { x: 320.0, y: 200.0 }]);
        let geometry = Some(LaneGeometry { offset_m: 0.3, width_m: 3.5, ..LaneGeometry::default() });
        let lane = LaneEstimate {
            left: line(150.0),
            right: line(490.0),
            confidence: 0.9,
            geometry,
            source: LaneSource::Model,
            ..LaneEstimate::default()
        };
        let picture = jpeg::RgbPicture { width: 640, height: 360, data: vec![128; 3 * 640 * 360] };
        let jpeg = Some(jpeg::encode_rgb(&picture, 90).unwrap());
        let boxes = vec![Detection {
            class: ObjectClass::Car,
            score: 0.87,
            left: 300.0,
            top: 150.0,
            width: 60.0,
            height: 40.0,
        }];
        Scene { jpeg, lane: Some(lane), boxes, ..Scene::default() }
    }

    fn colour_at(canvas: &Canvas, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * canvas.width() as usize + x);
        canvas.data()[at..at + 3].try_into().unwrap()
    }

    #[test]
    fn lines_boxes_and_the_lane_lie_where_they_were_found() {
        for scale in [1, 2] {
            let mut canvas = Canvas::new(640 / scale, 360 / scale);
            draw(&mut canvas, &scene());
            let at = |x: usize, y: usize| colour_at(&canvas, x / scale as usize, y / scale as usize);
            // Half way up the left line, between the lines, on the edge of the box, and where nothing is.
            assert_eq!(at(235, 275), [LINE.r(), LINE.g(), LINE.b()], "scale {scale}");
            let inside = at(320, 270);
            assert!(inside[1] > inside[0] && inside[1] > 130, "{inside:?}");
            let edge = at(330, 190);
            assert_eq!(edge, [80, 180, 255], "scale {scale}");
            assert!(at(60, 180).iter().all(|value| value.abs_diff(128) < 3));
        }
    }

    #[test]
    fn anything_in_a_session_can_be_drawn() {
        let mut canvas = Canvas::new(320, 180);
        let mut odd = scene();
        odd.boxes = vec![
            Detection {
                class: ObjectClass::Other(9),
                score: f32::NAN,
                left: f32::NAN,
                top: -1e30,
                width: 1e30,
                height: f32::INFINITY,
            },
            Detection { class: ObjectClass::Bus, score: 1.0, left: 1e9, top: 1e9, width: -5.0, height: 0.0 },
        ];
        if let Some(lane) = &mut odd.lane {
            lane.left = Some(vec![ImagePoint { x: f32::NAN, y: 1e20 }, ImagePoint { x: -1e20, y: f32::NEG_INFINITY }]);
            lane.right = Some(Vec::new());
            lane.geometry = Some(LaneGeometry { offset_m: f32::NAN, ..LaneGeometry::default() });
        }
        odd.status.troubles.insert(
            StableId::default(),
            ("front".to_owned(), Health { state: FunctionState::Fault, reason: "a long reason, ".repeat(40) }),
        );
        draw(&mut canvas, &odd);
        odd.jpeg = Some(bytes::Bytes::from_static(b"no jpeg"));
        draw(&mut canvas, &odd);
        odd.jpeg = None;
        draw(&mut canvas, &odd);
    }

    #[test]
    fn the_clock_counts_hours() {
        assert_eq!(clock(Duration::from_millis(12_345)), "0:12.3");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03.0");
    }
}
