//! The comparison as one self-contained HTML page.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waywarden_components::prelude::Mask;
use waywarden_systems::camera::jpeg::{RgbPicture, decode_rgb, encode_rgb};
use waywarden_systems::session::SessionInfo;

use super::{Compared, Moment, Picture};

/// Widest picture in the page, in pixels: enough to see what is meant.
const WIDEST: u32 = 960;
/// Quality of the pictures in the page.
const QUALITY: u8 = 75;

const STYLE: &str = "
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.same { color: #116329 } .differ { color: #a40e26 } .beyond { font-weight: 600 }
.a { color: #b35900 } .b { color: #0550ae } figure { margin: 1rem 0 2rem } figure > div { position: relative; max-width: 960px }
img { width: 100%; display: block } svg { position: absolute; inset: 0; width: 100%; height: 100% } code { font-size: .9em }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } th, td { border-color: #30363d }
.same { color: #56d364 } .differ { color: #ff7b72 } .a { color: #ffa657 } .b { color: #79c0ff } }";

/// The page. `names` are those of the two sessions.
pub fn page(names: [&str; 2], compared: &Compared) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\"><title>Comparison of two runs</title>\n");
    // Writing to a string cannot fail, here and below.
    let _ = write!(page, "<style>{STYLE}</style>\n<h1>Comparison of two runs of one drive</h1>\n");
    let verdict = match (compared.same(), compared.beyond()) {
        (true, _) => "<p class=\"same\"><strong>Same</strong>: nothing that was compared differs.",
        (false, false) => "<p class=\"same\"><strong>Within tolerance</strong>: what differs is below it.",
        (false, true) => "<p class=\"differ\"><strong>They differ.</strong>",
    };
    let _ = writeln!(
        page,
        "{verdict} {:.1} s, {} ticks compared, {} of them equal in everything.</p>",
        compared.seconds, compared.ticks, compared.equal_digests
    );
    if compared.only_a + compared.only_b > 0 {
        let _ = writeln!(
            page,
            "<p class=\"differ\">Ticks in between that only one has: <span class=\"a\">{}</span> in the first, <span \
             class=\"b\">{}</span> in the second.</p>",
            compared.only_a, compared.only_b
        );
    }
    what_ran(&mut page, names, &compared.info);
    kinds(&mut page, compared);
    if !compared.moments.is_empty() {
        page.push_str(
            "<h2>Moments in which they differ most</h2>\n<p>Drawn into the pictures: <span class=\"a\">the first \
                       run</span> and <span class=\"b\">the second</span>.</p>\n",
        );
    }
    compared.moments.iter().for_each(|found| moment(&mut page, found));
    page.push_str("</html>\n");
    page
}

fn what_ran(page: &mut String, names: [&str; 2], info: &[SessionInfo]) {
    page.push_str("<table><tr><th><th class=\"a\">first<th class=\"b\">second</tr>\n");
    let mut row = |what: &str, value: &dyn Fn(usize, &SessionInfo) -> String| {
        let _ = write!(page, "<tr><th>{what}");
        info.iter().enumerate().for_each(|(n, info)| {
            let _ = write!(page, "<td>{}", escape(&value(n, info)));
        });
        page.push_str("</tr>\n");
    };
    row("session", &|n, _| names.get(n).copied().unwrap_or_default().to_owned());
    row("build", &|_, info| format!("{} {} {}", info.build.version, info.build.commit, info.build.profile));
    row("models", &|_, info| {
        let models = info.models.iter().map(|(role, model)| format!("{role}: {} on {}", model.name, model.engine));
        let models: Vec<String> = models.collect();
        if models.is_empty() { "none".to_owned() } else { models.join("; ") }
    });
    page.push_str("</table>\n");
    if let [a, b] = info {
        let differing: Vec<&str> =
            a.config.lines().filter(|line| !b.config.lines().any(|other| other == *line)).collect();
        let other: Vec<&str> = b.config.lines().filter(|line| !a.config.lines().any(|one| one == *line)).collect();
        if !differing.is_empty() || !other.is_empty() {
            page.push_str("<h2>Config</h2>\n<pre>");
            differing.iter().for_each(|line| {
                let _ = writeln!(page, "<span class=\"a\">- {}</span>", escape(line));
            });
            other.iter().for_each(|line| {
                let _ = writeln!(page, "<span class=\"b\">+ {}</span>", escape(line));
            });
            page.push_str("</pre>\n");
        }
    }
}

fn kinds(page: &mut String, compared: &Compared) {
    page.push_str(
        "<h2>What was compared</h2>\n<table><tr><th>kind<th>field<th class=\"n\">compared<th class=\"n\">differ\
         <th class=\"n\">beyond tolerance<th class=\"n\">mean<th class=\"n\">largest<th>measured in</tr>\n",
    );
    for (name, kind) in &compared.kinds {
        let class = if kind.beyond() { "differ" } else { "same" };
        let only = match (kind.only_a, kind.only_b) {
            (0, 0) => String::new(),
            (a, b) => format!("only in the first: {a}, only in the second: {b}"),
        };
        let _ = writeln!(
            page,
            "<tr><td class=\"{class}\"><code>{}</code><td>{only}<td class=\"n\">{}<td class=\"n\">{}<td><td><td><td></tr>",
            escape(name),
            kind.compared,
            kind.differ
        );
        for (path, field) in &kind.fields {
            let class = if field.beyond > 0 { "n beyond" } else { "n" };
            let _ = writeln!(
                page,
                "<tr><td><td><code>{}</code><td><td class=\"n\">{}<td class=\"{class}\">{}<td class=\"n\">{:.4}<td \
                 class=\"n\">{:.4}<td>{}</tr>",
                escape(path),
                field.differ,
                field.beyond,
                field.mean,
                field.largest,
                field.measure.map_or("", super::Measure::unit)
            );
        }
    }
    page.push_str("</table>\n");
}

fn moment(page: &mut String, moment: &Moment) {
    let frame = moment.frame.as_ref().map(|frame| format!(", frame {}", escape(frame))).unwrap_or_default();
    let _ = writeln!(page, "<figure><figcaption><strong>{:.2} s</strong>, tick {}{frame}: ", moment.at_s, moment.tick);
    let what: Vec<String> = moment
        .what
        .iter()
        .map(|(kind, path, amount)| format!("<code>{}.{}</code> {amount:.3}", escape(kind), escape(path)))
        .collect();
    let _ = writeln!(page, "{}</figcaption>", what.join("; "));
    if let Some(picture) = &moment.picture {
        match drawn(picture) {
            Ok(figure) => page.push_str(&figure),
            Err(error) => {
                let _ = writeln!(page, "<p>the picture cannot be shown: {}</p>", escape(&error));
            }
        }
    }
    page.push_str("</figure>\n");
}

/// The picture with masks painted into it, and lines and boxes above it.
fn drawn(picture: &Picture) -> Result<String, String> {
    let full = decode_rgb(&picture.jpeg).map_err(|error| error.to_string())?;
    let (width, height) = (full.width, full.height);
    let mut small = shrink(&full);
    for (findings, colour) in [(&picture.a, [255, 140, 0]), (&picture.b, [30, 130, 255])] {
        let masks = findings.get("segmentation").and_then(|found| found.get("masks"));
        let mask = |name: &str| -> Option<Mask> { serde_json::from_value(masks?.get(name)?.clone()).ok() };
        ["drivable", "lines"].into_iter().filter_map(mask).for_each(|mask| tint(&mut small, &mask, colour));
    }
    let jpeg = encode_rgb(&small, QUALITY).map_err(|error| error.to_string())?;
    let mut figure = format!(
        "<div><img alt=\"\" src=\"data:image/jpeg;base64,{}\"><svg viewBox=\"0 0 {width} {height}\">",
        STANDARD.encode(jpeg)
    );
    for (findings, colour) in [(&picture.a, "#ff8c00"), (&picture.b, "#1e82ff")] {
        let stroke = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\"", f64::from(width) / 320.0);
        for side in ["left", "right"] {
            let line = findings.get("lane_estimate").and_then(|lane| lane.get(side)?.as_array());
            let points: Vec<String> = line
                .into_iter()
                .flatten()
                .filter_map(|point| Some(format!("{:.1},{:.1}", point.get("x")?.as_f64()?, point.get("y")?.as_f64()?)))
                .collect();
            if !points.is_empty() {
                let _ = write!(figure, "<polyline points=\"{}\" {stroke}/>", points.join(" "));
            }
        }
        let boxes = findings.get("detections").and_then(|found| found.get("boxes")?.as_array());
        for found in boxes.into_iter().flatten() {
            let field = |name: &str| found.get(name).and_then(Value::as_f64).unwrap_or_default();
            let _ = write!(
                figure,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" {stroke}/>",
                field("left"),
                field("top"),
                field("width"),
                field("height")
            );
        }
    }
    figure.push_str("</svg></div>\n");
    Ok(figure)
}

/// The picture at no more than [`WIDEST`], every so many pixels of it.
fn shrink(full: &RgbPicture) -> RgbPicture {
    let step = full.width.div_ceil(WIDEST).max(1);
    let (width, height) = (full.width / step, full.height / step);
    let row = full.width as usize * 3;
    let pixel = |x: u32, y: u32| {
        let at = (y * step) as usize * row + (x * step) as usize * 3;
        full.data.get(at..at + 3).unwrap_or(&[0; 3])
    };
    let data =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y)).copied().collect();
    RgbPicture { width, height, data }
}

/// Mixes a colour into the pixels that a mask, which covers the whole picture, has white.
fn tint(picture: &mut RgbPicture, mask: &Mask, colour: [u8; 3]) {
    let white = mask.decode();
    if white.is_empty() {
        return;
    }
    let (width, height) = (picture.width as usize, picture.height as usize);
    for (n, pixel) in picture.data.chunks_exact_mut(3).enumerate() {
        let (x, y) = (n % width * mask.width as usize / width, n / width * mask.height as usize / height.max(1));
        if white.get(y * mask.width as usize + x).is_some_and(|&white| white != 0) {
            pixel
                .iter_mut()
                .zip(colour)
                .for_each(|(value, colour)| *value = ((u16::from(*value) * 2 + u16::from(colour)) / 3) as u8);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
