//! Reading the output of road segmentation networks (TwinLiteNet, arXiv:2307.10705; TwinLiteNet+, arXiv:2403.16958).

use waywarden_components::perception::{Mask, RoadMasks};

use crate::inference::InferenceError;
use crate::inference::prepare::{InputSpec, Placement};

/// Shape of each of the two outputs: one picture, two channels (no, yes), the size of the input.
pub fn output_shape(spec: &InputSpec) -> [usize; 4] {
    [1, 2, spec.height as usize, spec.width as usize]
}

/// The masks in the two outputs: first drivable area, then lane lines. What lies in the padding is cut off, so the masks cover
/// the frame; their resolution is the network's.
///
/// Each output holds `2 x height x width` numbers, as [`output_shape`] says: logits of no and of yes. A pixel is a line's where
/// the second is the greater, and drivable where its probability (the softmax of both) is above `drivable`. These networks are
/// surer of what is no road than of what is: where they hesitate it nearly always is one.
///
/// # Errors
///
/// [`InferenceError::Shape`] when there are fewer or more numbers, [`InferenceError::NotFinite`] when one is none.
pub fn decode(
    outputs: [&[f32]; 2],
    spec: &InputSpec,
    place: &Placement,
    drivable: f32,
) -> Result<RoadMasks, InferenceError> {
    let [road, lines] = outputs;
    // By how much the logit of yes must exceed that of no. `libm`: the system's logarithm differs from system to system.
    let margin = libm::logf(drivable / (1.0 - drivable));
    Ok(RoadMasks { drivable: mask(0, road, spec, place, margin)?, lines: mask(1, lines, spec, place, 0.0)? })
}

fn mask(
    output: usize,
    values: &[f32],
    spec: &InputSpec,
    place: &Placement,
    margin: f32,
) -> Result<Mask, InferenceError> {
    let (width, height) = (spec.width as usize, spec.height as usize);
    if values.len() != 2 * width * height {
        let expected = format!("{:?}", output_shape(spec));
        return Err(InferenceError::Shape { output, found: vec![values.len()], expected });
    }
    if !values.iter().all(|v| v.is_finite()) {
        return Err(InferenceError::NotFinite { output });
    }
    let (no, yes) = values.split_at(width * height);
    Ok(Mask::encode(place.width, place.height, |x, y| {
        let at = (place.top + y) as usize * width + (place.left + x) as usize;
        yes[at] - no[at] > margin
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::prepare::{Colour, Layout, Range};

    fn spec(layout: Layout) -> InputSpec {
        InputSpec { width: 4, height: 4, layout, colour: Colour::Rgb, range: Range::Unit }
    }

    /// Two channels in which the given pixels are white.
    fn output(white: &[usize]) -> Vec<f32> {
        let mut values = vec![0.5; 32];
        for &at in white {
            values[16 + at] = 0.75;
        }
        values
    }

    #[test]
    fn the_greater_channel_wins_and_ties_are_black() {
        let spec = spec(Layout::Stretched);
        let masks = decode([&output(&[0, 5]), &output(&[15])], &spec, &Placement::of(9, 9, &spec), 0.5).unwrap();
        assert_eq!((masks.drivable.width, masks.drivable.height), (4, 4));
        assert_eq!(masks.drivable.runs, [0, 1, 4, 1, 10]);
        assert_eq!(masks.lines.runs, [15, 1]);
    }

    #[test]
    fn road_counts_from_its_own_probability_and_lines_from_a_half() {
        let spec = spec(Layout::Stretched);
        let place = Placement::of(4, 4, &spec);
        // Differences of the logits of -3 to 12: of the first four the probabilities are 0.047, 0.119, 0.269 and 0.5.
        let values: Vec<f32> = (0..32).map(|at| if at < 16 { 3.0 } else { (at - 16) as f32 }).collect();
        let white = |drivable| {
            let masks = decode([&values, &values], &spec, &place, drivable).unwrap();
            (masks.drivable.count(), masks.lines.count())
        };
        assert_eq!((white(0.5), white(0.2), white(0.1), white(0.04)), ((12, 12), (14, 12), (15, 12), (16, 12)));
    }

    #[test]
    fn padding_is_cut_off() {
        let spec = spec(Layout::Letterboxed);
        let place = Placement::of(8, 4, &spec);
        // Rows 0 and 3 are padding, and painted white by the network.
        let masks = decode([&output(&[0, 1, 2, 3, 4, 11, 12, 13, 14, 15]), &output(&[])], &spec, &place, 0.5).unwrap();
        assert_eq!((masks.drivable.width, masks.drivable.height), (4, 2));
        assert_eq!(masks.drivable.decode(), [1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(masks.lines.count(), 0);
    }

    #[test]
    fn nonsense_is_an_error() {
        let spec = spec(Layout::Stretched);
        let place = Placement::of(4, 4, &spec);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut lines = output(&[]);
            lines[31] = bad;
            let error = decode([&output(&[]), &lines], &spec, &place, 0.5).unwrap_err();
            assert_eq!(error, InferenceError::NotFinite { output: 1 });
        }
        let error = decode([&output(&[])[1..], &output(&[])], &spec, &place, 0.5).unwrap_err();
        assert!(matches!(error, InferenceError::Shape { output: 0, .. }), "{error}");
    }
}
