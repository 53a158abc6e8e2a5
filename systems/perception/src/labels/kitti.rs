//! KITTI's object benchmark: labels and calibration (Geiger, Lenz and Urtasun, *Are we ready for Autonomous Driving?*, 2012;
//! the object development kit's readme).

use super::{LabelError, lines, number, shown};
use crate::score::boxes::Area;

/// A labelled object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `Car`, `Van`, `Truck`, `Pedestrian`, `Person_sitting`, `Cyclist`, `Tram`, `Misc` or `DontCare`.
    pub class: String,
    /// The share that is beyond the picture's edge, 0 to 1; -1 where it is not said.
    pub truncated: f64,
    /// 0 wholly seen, 1 partly hidden, 2 mostly hidden, 3 not known; -1 where it is not said.
    pub occluded: f64,
    /// Its box in the picture, in pixels.
    pub area: Area,
    /// Height, width and length in metres.
    pub size_m: [f64; 3],
    /// The middle of its foot in the camera's frame, in metres: right, down, ahead.
    pub place_m: [f64; 3],
    /// How it is turned about the vertical in the camera's frame, in radians; 0 points to the right.
    pub turned_rad: f64,
}

impl Object {
    /// How far its nearest point is before the camera, in metres along its axis.
    pub fn nearest_m(&self) -> f64 {
        let [_, width, length] = self.size_m;
        let along = (libm::sin(self.turned_rad) * length).abs() + (libm::cos(self.turned_rad) * width).abs();
        self.place_m[2] - along / 2.0
    }
}

/// How the left colour camera (`P2`) sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Focal length in pixels.
    pub focal_px: f64,
    /// Where the axis passes through the picture, in pixels from its left and top edge.
    pub middle_px: (f64, f64),
}

/// Reads the objects of a picture.
///
/// # Errors
/// When a line has another number of columns than 15, or 16 with a score, or one of them is no number.
pub fn objects(bytes: &[u8]) -> Result<Vec<Object>, LabelError> {
    lines(bytes)?.map(|(at, line)| object(at, line)).collect()
}

fn object(at: u64, line: &str) -> Result<Object, LabelError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (Some((class, rest)), 15 | 16) = (words.split_first(), words.len()) else {
        return Err(LabelError::at(at, format!("has {} columns, expected are 15, or 16 with a score", words.len())));
    };
    let numbers: Vec<f64> = rest.iter().map(|word| number(at, word)).collect::<Result<_, _>>()?;
    let [truncated, occluded, _, left, top, right, bottom, height, width, length, x, y, z, turned_rad, ..] =
        numbers[..]
    else {
        return Err(LabelError::at(at, "has too few columns"));
    };
    if right < left || bottom < top {
        return Err(LabelError::at(at, format!("has a box from ({left}, {top}) to ({right}, {bottom})")));
    }
    Ok(Object {
        class: (*class).to_owned(),
        truncated,
        occluded,
        area: Area { left, top, right, bottom },
        size_m: [height, width, length],
        place_m: [x, y, z],
        turned_rad,
    })
}

/// Reads how the left colour camera sees: the line `P2:` with the twelve numbers of a projection.
///
/// # Errors
/// When there is no such line, it has another number of numbers, or its focal length is none.
pub fn calibration(bytes: &[u8]) -> Result<Calibration, LabelError> {
    let (at, words) = lines(bytes)?
        .find_map(|(at, line)| Some((at, line.strip_prefix("P2:")?)))
        .ok_or_else(|| LabelError::whole("has no line `P2: …`"))?;
    let numbers: Vec<f64> = words.split_whitespace().map(|word| number(at, word)).collect::<Result<_, _>>()?;
    let [focal_px, _, across, _, _, _, down, _, ..] = numbers[..] else {
        return Err(LabelError::at(at, format!("has {} numbers, expected are 12", numbers.len())));
    };
    if numbers.len() != 12 {
        return Err(LabelError::at(at, format!("has {} numbers, expected are 12", numbers.len())));
    }
    if focal_px <= 0.0 {
        return Err(LabelError::at(at, format!("has the focal length `{}`", shown(&focal_px.to_string()))));
    }
    Ok(Calibration { focal_px, middle_px: (across, down) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAR: &str = "Car 0.10 1 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59";

    #[test]
    fn an_object_is_a_line() {
        let read =
            objects(format!("{CAR}\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n").as_bytes()).unwrap();
        assert_eq!((read[0].class.as_str(), read[0].truncated, read[0].occluded), ("Car", 0.1, 1.0));
        assert_eq!(read[0].area, Area { left: 587.01, top: 173.33, right: 614.12, bottom: 200.12 });
        assert_eq!((read[0].size_m, read[0].place_m), ([1.65, 1.67, 3.64], [-0.65, 1.71, 46.7]));
        assert_eq!(read[1].class, "DontCare");
        // Nearly along the axis: half its length nearer, and a little of its width: 46.70 - (3.639 + 0.032) / 2.
        assert!((read[0].nearest_m() - 44.864).abs() < 2e-3, "{}", read[0].nearest_m());
        let scored = format!("{CAR} 0.5");
        assert_eq!(objects(scored.as_bytes()).unwrap()[0].turned_rad, -1.59);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (line, what) in [
            ("Car 1 2", "3 columns"),
            ("Car 0 0 0 10 0 5 5 1 1 1 0 0 9 0", "a box from (10, 0)"),
            ("Car 0 0 0 a 0 5 5 1 1 1 0 0 9 0", "expected a number, found `a`"),
        ] {
            let error = objects(format!("{CAR}\n{line}").as_bytes()).unwrap_err();
            assert!(error.line == Some(2) && error.what.contains(what), "{error}");
        }
    }

    #[test]
    fn the_left_colour_camera_is_p2() {
        let text = b"P0: 1\nP2: 721.5 0 609.5 44.8 0 721.5 172.8 0.2 0 0 1 0.003\nR0_rect: 1\n";
        assert_eq!(calibration(text), Ok(Calibration { focal_px: 721.5, middle_px: (609.5, 172.8) }));
        assert_eq!(calibration(b"P0: 1").unwrap_err().to_string(), "has no line `P2: …`");
        assert_eq!(calibration(b"\nP2: 1 2").unwrap_err().to_string(), "line 2: has 2 numbers, expected are 12");
        assert!(calibration(b"P2: 0 0 0 0 0 0 0 0 0 0 0 0").is_err());
    }
}
