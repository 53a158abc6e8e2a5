//! Ridges: where a row of the picture is brighter than the road on both sides.
//!
//! The dark-light-dark filter that compared best among marking detectors (symmetrical local threshold: T. Veit et al.,
//! "Evaluation of road marking feature extraction", IEEE ITSC 2008), with a gap: a pixel counts when it is brighter
//! than the mean of a stretch of road to its left and of one to its right, both beyond the width of a line. How wide
//! that is in pixels follows from the row, by the camera's geometry.

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

/// Scratch for a row. Plain loops over equally long slices, which the compiler turns into vector instructions.
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
        for i in 0..count {
            let (l, r) = (left.1[i] - left.0[i], right.1[i] - right.0[i]);
            road[i] = (if l > r { l } else { r }) as f32 * share;
            contrast[i] = (here.1[i] - here.0[i]) as f32 * (1.0 / 3.0) - road[i];
        }
        let least = LEAST_CONTRAST.max(UNEVEN_CONTRAST * unevenness(contrast));
        for ((excess, contrast), road) in self.excess[2 * reach..].iter_mut().zip(contrast).zip(road) {
            let enough = *contrast > least && *contrast > RELATIVE_CONTRAST * *road && *contrast > *excess;
            *excess = if enough { *contrast } else { *excess };
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
        if chunk.iter().sum::<f32>() > 0.0 {
            break;
        }
        x += 8;
    }
    excess[x..].iter().position(|&value| value > 0.0).map(|skip| x + skip)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_is_no_picture_has_no_ridges() {
        let geometry = CameraGeometry::default();
        for (bytes, width, height) in [(0, 0, 0), (5, 640, 360), (70_000, 70_000, 1), (3, 3, 1), (9, 1, 9)] {
            assert_eq!(find(&vec![9; bytes], width, height, &geometry).ridges, [], "{width}x{height}");
        }
    }
}
