//! Painted lines pixel by pixel: TuSimple's binary masks against the mask of lines.

use super::{Share, Tally};

/// Width of the pictures that are compared, in pixels.
pub const WIDTH: u32 = 640;
/// Height of the pictures that are compared, in pixels.
pub const HEIGHT: u32 = 360;
/// The first row that is looked at: above it there is no road.
pub const FIRST_ROW: usize = 120;
/// How far sideways a line may be off, in pixels.
pub const REACH: usize = 6;

/// Lines that were seen against lines that are drawn: a pixel is right when one of the other is within [`REACH`] pixels
/// in its row. Both are [`WIDTH`] pixels wide; rows before [`FIRST_ROW`] are left out.
pub fn compare(seen: &[bool], drawn: &[bool]) -> Tally {
    compare_rows(seen, drawn, WIDTH as usize, FIRST_ROW, REACH)
}

fn compare_rows(seen: &[bool], drawn: &[bool], width: usize, first: usize, reach: usize) -> Tally {
    let rows = |pixels| <[bool]>::chunks_exact(pixels, width).skip(first);
    rows(seen).zip(rows(drawn)).fold(Tally::default(), |tally, (seen, drawn)| {
        tally + Tally { precision: near(seen, drawn, reach), recall: near(drawn, seen, reach) }
    })
}

/// The white pixels of a row that have a white one of another within reach.
fn near(of: &[bool], other: &[bool], reach: usize) -> Share {
    of.iter().enumerate().filter(|(_, white)| **white).fold(Share::default(), |share, (x, _)| {
        let around = other.get(x.saturating_sub(reach)..(x + reach + 1).min(other.len()));
        share + Share::one(around.is_some_and(|around| around.contains(&true)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(white: &[usize]) -> Vec<bool> {
        (0..20).map(|x| white.contains(&x)).collect()
    }

    #[test]
    fn a_pixel_may_be_six_off() {
        let seen = [row(&[0]), row(&[3, 10])].concat();
        let drawn = [row(&[0]), row(&[4, 17, 19])].concat();
        // In the second row 3 is near 4, 10 is near 4; of the drawn ones 4 is near 3, 17 and 19 are 7 and 9 from 10.
        let tally = compare_rows(&seen, &drawn, 20, 1, 6);
        assert_eq!((tally.precision, tally.recall), (Share { part: 2, whole: 2 }, Share { part: 1, whole: 3 }));
        let tally = compare_rows(&seen, &drawn, 20, 0, 5);
        assert_eq!((tally.precision, tally.recall), (Share { part: 2, whole: 3 }, Share { part: 2, whole: 4 }));
        assert_eq!(compare(&[], &[]), Tally::default());
    }
}
