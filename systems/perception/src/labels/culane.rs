//! CULane: a text file beside each picture (`00000.lines.txt`), a line of the road a line, `x y x y …` in pixels.

use waywarden_components::prelude::ImagePoint;

use super::{LabelError, number};

/// Most points of a line.
const MOST_POINTS: usize = 4096;

/// Reads the lines of a picture.
///
/// # Errors
/// When a word is no number, or a place has no second number.
pub fn lines(bytes: &[u8]) -> Result<Vec<Vec<ImagePoint>>, LabelError> {
    let line = |(at, line): (u64, &str)| {
        let numbers: Vec<f64> = line.split_whitespace().map(|word| number(at, word)).collect::<Result<_, _>>()?;
        if !numbers.len().is_multiple_of(2) || numbers.len() > 2 * MOST_POINTS {
            return Err(LabelError::at(at, format!("has {} numbers, expected are pairs `x y`", numbers.len())));
        }
        let pair = |pair: &[f64]| match pair {
            [x, y] => Some(ImagePoint { x: *x as f32, y: *y as f32 }),
            _ => None,
        };
        Ok(numbers.chunks_exact(2).filter_map(pair).collect())
    };
    super::lines(bytes)?.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_points() {
        let read = lines(b"1 590 2.5 580 \n\n-3 1 4 2 5 3\n").unwrap();
        assert_eq!(read[0], [ImagePoint { x: 1.0, y: 590.0 }, ImagePoint { x: 2.5, y: 580.0 }]);
        assert_eq!((read.len(), read[1].len(), lines(b"").unwrap().len()), (2, 3, 0));
        assert_eq!(lines(b"1 2\n1 2 3").unwrap_err().to_string(), "line 2: has 3 numbers, expected are pairs `x y`");
        assert_eq!(lines(b"1 x").unwrap_err().to_string(), "line 1: expected a number, found `x`");
    }
}
