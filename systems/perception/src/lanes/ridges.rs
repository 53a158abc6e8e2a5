//! Ridges: where a row of the picture is brighter than the road on both sides.
//!
//! The dark-light-dark filter that compared best among marking detectors (symmetrical local threshold: T. Veit et al.,
//! "Evaluation of road marking feature extraction", IEEE ITSC 2008), with a gap: a pixel counts when it is brighter
//! than the mean of a stretch of road to its left and of one to its right, both beyond the width of a line. How wide
//! that is in pixels follows from the row, by the camera's geometry.

use rten_simd::ops::{BitOps, MaskOps, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp};
use waywarden_components::prelude::*;

use crate::road_plane::RoadPlane;

/// Widest line that is looked for, in metres.
const WIDEST_M: f64 = 0.30;
/// Error of the config's pitch that is allowed for, in radians. A camera that points lower than it is said to sees lines
/// wider at the same row, so the filter has two reaches: one for each end of what may be.
const PITCH_ERRORS: [f64; 2] = [0.02, 0.12];
/// Pixels that the reach of the filter has at least, because lines far away are blurred, and at most.
const REACH_PX: (usize, usize) = (3, 40);
/// Luma levels by which a ridge is at least brighter than the road.
const LEAST_CONTRAST: f32 = 7.0;
/// The same as a share of the road's own brightness.
const RELATIVE_CONTRAST: f32 = 0.05;
/// The same as a multiple of the mean unevenness of the row: concrete is rougher than asphalt.
const UNEVEN_CONTRAST: f32 = 1.8;
/// Ridges of a row that are kept; a row of a road has a handful.
const MOST_IN_ROW: usize = 24;
/// Widest picture that is looked at, in pixels.
const MOST_COLUMNS: usize = 4095;

/// Finds the ridges of a grey picture of `width` x `height` pixels, row by row; the geometry is the whole frame's, of which
/// this may be a smaller copy. Nothing for a picture without pixels, or one whose length does not fit.
// Whoever calls it may be compiled for size, and would have it compiled so too.
#[inline(never)]
pub fn find(grey: &[u8], width: usize, height: usize, geometry: &CameraGeometry) -> LaneFeatures {
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else { return LaneFeatures::default() };
    let plane = RoadPlane::new(geometry, 0.0, columns.into(), rows.into());
    let fits = width * height > 0 && grey.len() == width * height && width <= MOST_COLUMNS;
    let (Some(plane), true) = (plane, fits) else { return LaneFeatures::default() };
    let mut features = LaneFeatures { width: columns, height: rows, ridges: Vec::new() };
    let mut filter = Filter::new(width);
    for (row, pixels) in (0..rows).zip(grey.chunks_exact(width)).step_by(LaneFeatures::ROW_STEP) {
        let Some(direction) = plane.direction(f64::from(columns) / 2.0, f64::from(row) + 0.5) else { continue };
        if direction.down < -PITCH_ERRORS[1] {
            continue;
        }
        let reach = PITCH_ERRORS.map(|error| {
            let nearness = (direction.down + error).max(0.0) / plane.height_m();
            ((WIDEST_M * nearness * plane.focal_px()) as usize).clamp(REACH_PX.0, REACH_PX.1)
        });
        filter.run(pixels, reach);
        gather(&filter.excess, row, reach[1], &mut features.ridges);
    }
    features
}

/// Scratch for a row.
struct Filter {
    /// Sums of the pixels before each.
    sums: Vec<i32>,
    /// The darkest that the road may be taken for, at each pixel: the brighter side.
    road: Vec<f32>,
    /// How much brighter each is than that.
    contrast: Vec<f32>,
    /// The contrast in luma levels where it is enough; 0 where it is not.
    excess: Vec<f32>,
}

impl Filter {
    fn new(width: usize) -> Self {
        let zeros = || vec![0.0; width];
        Self { sums: vec![0; width + 1], road: zeros(), contrast: zeros(), excess: zeros() }
    }

    /// Filters a row with two reaches, and keeps the greater answer.
    fn run(&mut self, pixels: &[u8], reach: [usize; 2]) {
        let mut sum = 0;
        for (total, &pixel) in self.sums[1..].iter_mut().zip(pixels) {
            sum += i32::from(pixel);
            *total = sum;
        }
        self.excess.fill(0.0);
        self.pass(reach[0]);
        // A reach of half the widest line still sees the usual one.
        if reach[1] > 2 * reach[0] {
            self.pass(reach[1]);
        }
    }

    fn pass(&mut self, reach: usize) {
        // Room for a stretch on both sides, and for the pixel's neighbours.
        let Some(count) = self.excess.len().checked_sub(4 * reach + 2).filter(|count| *count > 0) else { return };
        let (sums, share) = (&self.sums, 1.0 / reach as f32);
        let at = |start: usize| &sums[start..start + count];
        let left = (at(0), at(reach));
        let here = (at(2 * reach - 1), at(2 * reach + 2));
        let right = (at(3 * reach + 1), at(4 * reach + 1));
        let (road, contrast) = (&mut self.road[..count], &mut self.contrast[..count]);
        Compare { ends: [left, here, right], share, road, contrast }.dispatch();
        let least = LEAST_CONTRAST.max(UNEVEN_CONTRAST * unevenness(contrast));
        Keep { least, contrast, road, kept: &mut self.excess[2 * reach..][..count] }.dispatch();
    }
}

/// How bright the brighter of two stretches of road is, and how much brighter the three pixels between them are: for each
/// pixel of a row, so all slices are equally long.
struct Compare<'a> {
    /// Left, between and right: sums of all pixels up to where the stretch begins, and up to where it ends.
    ends: [(&'a [i32], &'a [i32]); 3],
    /// One over the pixels of a stretch of road.
    share: f32,
    road: &'a mut [f32],
    contrast: &'a mut [f32],
}

impl SimdOp for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        const THIRD: f32 = 1.0 / 3.0;
        let Self { ends: [left, here, right], share, road, contrast } = self;
        let (whole, real) = (isa.i32(), isa.f32());
        let (shares, thirds) = (real.splat(share), real.splat(THIRD));
        let (count, wide) = (road.len(), real.len());
        let together = count / wide * wide;
        for i in (0..together).step_by(wide) {
            // No closure, which would not be inlined: then no instruction of these would be either.
            let l = whole.sub(whole.load(&left.1[i..]), whole.load(&left.0[i..]));
            let h = whole.sub(whole.load(&here.1[i..]), whole.load(&here.0[i..]));
            let r = whole.sub(whole.load(&right.1[i..]), whole.load(&right.0[i..]));
            let brighter = real.mul(whole.to_float(whole.max(l, r)), shares);
            let between = real.mul(whole.to_float(h), thirds);
            real.store(brighter, &mut road[i..]);
            real.store(real.sub(between, brighter), &mut contrast[i..]);
        }
        for i in together..count {
            let of = |(from, to): (&[i32], &[i32])| to[i] - from[i];
            road[i] = of(left).max(of(right)) as f32 * share;
            contrast[i] = of(here) as f32 * THIRD - road[i];
        }
    }
}

/// Keeps of each pixel what stands out enough, if it is more than what is there.
struct Keep<'a> {
    least: f32,
    contrast: &'a [f32],
    road: &'a [f32],
    kept: &'a mut [f32],
}

impl SimdOp for Keep<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { least, contrast, road, kept } = self;
        let (real, mask) = (isa.f32(), isa.m32());
        let (leasts, shares) = (real.splat(least), real.splat(RELATIVE_CONTRAST));
        let (count, wide) = (kept.len(), real.len());
        let together = count / wide * wide;
        for i in (0..together).step_by(wide) {
            let (new, old) = (real.load(&contrast[i..]), real.load(&kept[i..]));
            let stands_out = mask.and(real.gt(new, leasts), real.gt(new, real.mul(real.load(&road[i..]), shares)));
            real.store(real.select(new, old, mask.and(stands_out, real.gt(new, old))), &mut kept[i..]);
        }
        for i in together..count {
            if contrast[i] > least && contrast[i] > RELATIVE_CONTRAST * road[i] && contrast[i] > kept[i] {
                kept[i] = contrast[i];
            }
        }
    }
}

/// Mean size of what the filter answers along a row, in luma levels.
fn unevenness(contrast: &[f32]) -> f32 {
    // Eight sums side by side, always the same: the order of additions is part of the result.
    let mut sums = [0.0f32; 8];
    for chunk in contrast.chunks_exact(8) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value.abs();
        }
    }
    sums.iter().sum::<f32>() / contrast.len() as f32
}

/// Gathers the pixels that stand out to ridges.
fn gather(excess: &[f32], row: u16, reach: usize, ridges: &mut Vec<Ridge>) {
    let (mut x, mut count) = (0, 0);
    while let Some(first) = next_that_stands_out(excess, x) {
        let length = excess[first..].iter().position(|&value| value <= 0.0).unwrap_or(excess.len() - first);
        x = first + length;
        if length > 2 * reach || count == MOST_IN_ROW {
            continue;
        }
        let (mut weight, mut moment, mut best) = (0.0f32, 0.0f32, 0.0f32);
        for (n, &value) in excess[first..x].iter().enumerate() {
            weight += value;
            moment += value * n as f32;
            best = best.max(value);
        }
        // The middle of a pixel is half a pixel from its edge.
        let middle = first as f32 + 0.5 + moment / weight;
        ridges.push(Ridge {
            x16: (16.0 * middle) as u16,
            row,
            width4: (4 * length).min(255) as u8,
            contrast: best.min(255.0) as u8,
        });
        count += 1;
    }
}

/// The first pixel from `x` on that stands out. Most of a row does not, so eight are looked at together.
fn next_that_stands_out(excess: &[f32], mut x: usize) -> Option<usize> {
    while let Some(chunk) = excess.get(x..x + 8) {
        // None is negative, so no bit is set where nothing stands out.
        if chunk.iter().fold(0, |bits, value| bits | value.to_bits()) != 0 {
            break;
        }
        x += 8;
    }
    excess[x..].iter().position(|&value| value > 0.0).map(|skip| x + skip)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 640;
    const HEIGHT: usize = 360;

    /// A level camera over a road of this brightness, with bright stretches in one row, which is 13 m before the lens.
    fn row_with(road: u8, stretches: &[(usize, usize, u8)]) -> Vec<Ridge> {
        const ROW: usize = 236;
        let mut grey = vec![road; WIDTH * HEIGHT];
        for &(from, to, value) in stretches {
            grey[ROW * WIDTH + from..ROW * WIDTH + to].fill(value);
        }
        let found = find(&grey, WIDTH, HEIGHT, &CameraGeometry::default());
        assert_eq!((found.width, found.height), (640, 360));
        assert!(found.ridges.iter().all(|ridge| usize::from(ridge.row) == ROW), "{found:?}");
        found.ridges
    }

    #[test]
    fn a_line_is_found_where_it_is() {
        // 6 pixels are 0.15 m there. The filter sees three pixels at once, which widens the line by one on each side;
        // their mean is a third of a sum, a trifle too low.
        let found = row_with(90, &[(300, 306, 200)]);
        assert_eq!(found, [Ridge { x16: 303 * 16, row: 236, width4: 4 * 8, contrast: 109 }]);
    }

    #[test]
    fn edges_and_broad_and_dark_things_are_no_lines() {
        assert_eq!(row_with(90, &[]), []);
        assert_eq!(row_with(90, &[(300, 640, 200)]), [], "an edge");
        assert_eq!(row_with(90, &[(200, 340, 200)]), [], "broader than any line");
        assert_eq!(row_with(90, &[(300, 306, 10)]), [], "a seam");
        assert_eq!(row_with(90, &[(300, 306, 96)]), [], "hardly brighter");
        assert_eq!(row_with(220, &[(300, 306, 228)]), [], "hardly brighter for so bright a road");
        let many: Vec<_> = (0..60).map(|n| (10 * n + 20, 10 * n + 24, 200)).collect();
        assert!(row_with(90, &many).len() <= MOST_IN_ROW);
    }

    #[test]
    fn rough_road_asks_for_more_contrast() {
        let mut noise = 1u32;
        let mut next = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (70 + (noise >> 16) % 80) as u8
        };
        let grey: Vec<u8> = (0..WIDTH * HEIGHT).map(|_| next()).collect();
        let found = find(&grey, WIDTH, HEIGHT, &CameraGeometry::default()).ridges;
        let clear = found.iter().filter(|ridge| ridge.contrast < 20).count();
        assert!(clear < found.len() / 10, "{clear} of {} are fainter than the roughness", found.len());
    }

    #[test]
    fn the_sky_is_not_looked_at() {
        let mut grey = vec![90; WIDTH * HEIGHT];
        for row in grey.chunks_exact_mut(WIDTH) {
            row[300..304].fill(200);
        }
        let found = find(&grey, WIDTH, HEIGHT, &CameraGeometry::default());
        // The horizon is in the middle; a camera may point 0.12 rad lower than it is said to.
        let first = found.ridges.first().map(|ridge| ridge.row);
        assert!(first.is_some_and(|row| (105..=120).contains(&row)), "{first:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// One pixel after the other, as it is defined.
        #[test]
        fn several_pixels_at_once_are_as_one_by_one(row in prop::collection::vec(any::<u8>(), 20..300), reach in 3usize..8) {
            let mut filter = Filter::new(row.len());
            filter.run(&row, [reach, reach]);
            let sum = |from: usize, to: usize| row[from..to].iter().map(|&pixel| i32::from(pixel)).sum::<i32>();
            let (mut road, mut contrast, share) = (Vec::new(), Vec::new(), 1.0 / reach as f32);
            for i in 0..row.len().saturating_sub(4 * reach + 2) {
                let sides = sum(i, i + reach).max(sum(i + 3 * reach + 1, i + 4 * reach + 1));
                road.push(sides as f32 * share);
                contrast.push(sum(i + 2 * reach - 1, i + 2 * reach + 2) as f32 * (1.0 / 3.0) - road[i]);
            }
            let least = LEAST_CONTRAST.max(UNEVEN_CONTRAST * unevenness(&contrast));
            let mut excess = vec![0.0; row.len()];
            for (i, &contrast) in contrast.iter().enumerate() {
                if contrast > least && contrast > RELATIVE_CONTRAST * road[i] {
                    excess[i + 2 * reach] = contrast;
                }
            }
            prop_assert_eq!(filter.excess, excess);
        }
    }

    #[test]
    fn what_is_no_picture_has_no_ridges() {
        let geometry = CameraGeometry::default();
        for (bytes, width, height) in [(0, 0, 0), (5, 640, 360), (70_000, 70_000, 1), (3, 3, 1), (9, 1, 9)] {
            assert_eq!(find(&vec![9; bytes], width, height, &geometry).ridges, [], "{width}x{height}");
        }
    }
}
