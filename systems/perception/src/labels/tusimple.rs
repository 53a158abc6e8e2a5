//! The TuSimple lane challenge: its lines of JSON (TuSimple/tusimple-benchmark, `doc/lane_detection`), and masks in which
//! lines are drawn, as they are made of these for training.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LabelError, lines, png, shown};

/// Most rows of a picture.
const MOST_ROWS: usize = 4096;
/// Most lines of a picture.
const MOST_LANES: usize = 64;

/// A picture in which lines are white.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMask {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether there is a line, row by row.
    pub white: Vec<bool>,
}

impl LineMask {
    /// The same at another size, by nearest neighbour.
    pub fn at_size(&self, width: u32, height: u32) -> Vec<bool> {
        let place = |at: u32, of: u32, to: u32| (u64::from(at) * u64::from(of) / u64::from(to.max(1))) as usize;
        let at = |x, y| place(y, self.height, height) * self.width as usize + place(x, self.width, width);
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| self.white.get(at(x, y)) == Some(&true))
            .collect()
    }
}

/// Reads a PNG in which every pixel that is not black is a line.
///
/// # Errors
/// When it is no PNG.
pub fn mask(bytes: &[u8]) -> Result<LineMask, LabelError> {
    let grey = png(bytes)?.into_luma8();
    Ok(LineMask {
        width: grey.width(),
        height: grey.height(),
        white: grey.as_raw().iter().map(|&pixel| pixel > 0).collect(),
    })
}

/// Reads a PNG in which each line has a grey of its own, as the points that the challenge would have: the middle of the
/// line in every tenth row, from two ninths of the height on (160 of 720).
///
/// # Errors
/// When it is no PNG, or has more greys than a picture has lines.
pub fn instances(bytes: &[u8]) -> Result<Picture, LabelError> {
    let grey = png(bytes)?.into_luma8();
    let rows: Vec<u32> = (0..grey.height()).skip(grey.height() as usize * 2 / 9).step_by(10).collect();
    // The sum and the number of the places of each grey in each row.
    let mut found: BTreeMap<u8, Vec<(u64, u64)>> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        for x in 0..grey.width() {
            let value = grey.get_pixel(x, *row).0[0];
            let places = (value > 0).then(|| found.entry(value).or_insert_with(|| vec![(0, 0); rows.len()]));
            if let Some(place) = places.and_then(|places| places.get_mut(n)) {
                *place = (place.0 + u64::from(x), place.1 + 1);
            }
        }
    }
    if found.len() > MOST_LANES {
        return Err(LabelError::whole(format!("has {} greys, expected is one a line", found.len())));
    }
    let middle = |(sum, count): &(u64, u64)| (*count > 0).then(|| *sum as f64 / *count as f64);
    let lanes = found.values().map(|places| places.iter().map(middle).collect()).collect();
    Ok(Picture { file: String::new(), rows: rows.into_iter().map(f64::from).collect(), lanes })
}

/// A labelled picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its file, below the folder of the labels.
    pub file: String,
    /// The rows in which lines have points, in pixels from the top.
    pub rows: Vec<f64>,
    /// The lines: a place in each row, in pixels from the left; none where the line is not seen.
    pub lanes: Vec<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Line {
    raw_file: String,
    h_samples: Vec<f64>,
    lanes: Vec<Vec<f64>>,
}

/// Reads labelled pictures, one JSON object a line: `raw_file`, `h_samples`, and `lanes` with -2 where there is no point.
///
/// # Errors
/// When a line is no such object, a lane has more or fewer points than there are rows, or a file's name leads out of the
/// folder.
pub fn pictures(bytes: &[u8]) -> Result<Vec<Picture>, LabelError> {
    lines(bytes)?.map(|(number, line)| picture(number, line)).collect()
}

fn picture(number: u64, line: &str) -> Result<Picture, LabelError> {
    let bad = |what: String| LabelError::at(number, what);
    let read: Line = serde_json::from_str(line).map_err(|error| bad(format!("is no labelled picture: {error}")))?;
    let Line { raw_file: file, h_samples: rows, lanes } = read;
    let inside = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    if !file.split('/').all(inside) {
        return Err(bad(format!("raw_file `{}` leads out of the folder", shown(&file))));
    }
    if rows.len() > MOST_ROWS || lanes.len() > MOST_LANES {
        return Err(bad(format!("has {} lanes of {} rows: more than a picture has", lanes.len(), rows.len())));
    }
    if !rows.iter().is_sorted_by(|a, b| a < b) || rows.iter().any(|row| !row.is_finite()) {
        return Err(bad("h_samples are not in order from the top".to_owned()));
    }
    if let Some(lane) = lanes.iter().find(|lane| lane.len() != rows.len()) {
        return Err(bad(format!("a lane has {} points, but there are {} h_samples", lane.len(), rows.len())));
    }
    let point = |x: &f64| (x.is_finite() && *x >= 0.0).then_some(*x);
    let lanes = lanes.iter().map(|lane| lane.iter().map(point).collect()).collect();
    Ok(Picture { file, rows, lanes })
}

#[cfg(test)]
mod tests {
    use super::super::tests::grey_png;
    use super::*;

    #[test]
    fn lines_of_json_are_pictures() {
        let text = br#"{"lanes": [[-2, 632, 625.5], [1, 2, -2]], "h_samples": [240, 250, 260], "raw_file": "clips/0313-1/6040/20.jpg", "more": 1}

{"raw_file": "b.jpg", "h_samples": [], "lanes": []}"#;
        let read = pictures(text).unwrap();
        assert_eq!(read[0].file, "clips/0313-1/6040/20.jpg");
        assert_eq!(read[0].rows, [240.0, 250.0, 260.0]);
        assert_eq!(read[0].lanes, [[None, Some(632.0), Some(625.5)], [Some(1.0), Some(2.0), None]]);
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = r#"{"raw_file": "b.jpg", "h_samples": [1], "lanes": []}"#;
        for (bad, what) in [
            ("{", "no labelled picture"),
            (r#"{"raw_file": "b.jpg", "h_samples": [1], "lanes": [[1, 2]]}"#, "2 points, but there are 1 h_samples"),
            (r#"{"raw_file": "../b.jpg", "h_samples": [1], "lanes": []}"#, "leads out"),
            (r#"{"raw_file": "/etc/passwd", "h_samples": [1], "lanes": []}"#, "leads out"),
            (r#"{"raw_file": "b.jpg", "h_samples": [2, 1], "lanes": []}"#, "not in order"),
        ] {
            let error = pictures(format!("{good}\n{bad}").as_bytes()).unwrap_err();
            assert!(error.line == Some(2) && error.what.contains(what), "{error}");
        }
    }

    #[test]
    fn greys_are_lines() {
        // Rows 2 and 12 of 13 are looked at.
        let mut pixels = vec![0; 8 * 13];
        pixels[2 * 8 + 1..2 * 8 + 4].fill(40);
        pixels[12 * 8 + 6..12 * 8 + 8].fill(40);
        pixels[12 * 8] = 7;
        let read = instances(&grey_png(8, 13, pixels)).unwrap();
        assert_eq!(read.rows, [2.0, 12.0]);
        assert_eq!(read.lanes, [[None, Some(0.0)], [Some(2.0), Some(6.5)]]);
        assert!(instances(&grey_png(100, 1, (0..100).collect())).unwrap_err().what.contains("99 greys"));
    }

    #[test]
    fn masks_are_white_where_there_is_a_line() {
        let read = mask(&grey_png(4, 2, vec![0, 255, 0, 0, 1, 0, 0, 0])).unwrap();
        assert_eq!(read.white, [false, true, false, false, true, false, false, false]);
        assert_eq!(read.at_size(2, 2), [false, false, true, false]);
    }
}
