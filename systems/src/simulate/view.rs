//! How the simulated camera sees: the pinhole of `CameraGeometry`, exactly.

use libm::{cos, sin, tan};
use waywarden_components::geometry::CameraGeometry;

/// Nearer than this to the lens, in metres along its axis, nothing is seen.
pub(super) const NEAR_M: f64 = 0.3;

/// A camera over pictures of one size, its body level or pitched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    pub width: usize,
    pub height: usize,
    /// Focal length in pixels.
    pub focal: f64,
    /// Lens in the vehicle's frame: forward of the front bumper, left, up.
    pub lens: [f64; 3],
    yaw: (f64, f64),
    pitch: (f64, f64),
}

/// A point as the camera sees it: along its axis, to its left, up, in metres.
pub(super) type Seen = [f64; 3];

impl View {
    /// The camera on a body that points `pitch` radians down.
    pub fn new(width: usize, height: usize, geometry: &CameraGeometry, pitch: f64) -> Self {
        let half = (geometry.horizontal_fov_deg / 2.0).to_radians();
        let (yaw, down) = (geometry.yaw_left_deg.to_radians(), geometry.pitch_down_deg.to_radians() + pitch);
        Self {
            width,
            height,
            focal: width as f64 / 2.0 / tan(half),
            lens: [-geometry.bumper_m, geometry.left_m, geometry.height_m],
            yaw: (sin(yaw), cos(yaw)),
            pitch: (sin(down), cos(down)),
        }
    }

    /// A point of the vehicle's frame in that of the camera without its pitch: forward, left, up of the lens.
    pub fn level(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let (x, y, z) = (x - self.lens[0], y - self.lens[1], z - self.lens[2]);
        let (sine, cosine) = self.yaw;
        [x * cosine + y * sine, y * cosine - x * sine, z]
    }

    /// A point of the vehicle's frame as the camera sees it.
    pub fn see(&self, point: [f64; 3]) -> Seen {
        let [forward, left, up] = self.level(point);
        let (sine, cosine) = self.pitch;
        [forward * cosine - up * sine, left, forward * sine + up * cosine]
    }

    /// Pixels from the left and the top edge of a point before the lens; the middle of the first pixel is at 0.5.
    pub fn pixel(&self, [depth, left, up]: Seen) -> (f64, f64) {
        let scale = self.focal / depth;
        (self.width as f64 / 2.0 - scale * left, self.height as f64 / 2.0 - scale * up)
    }

    /// Where a point of the vehicle's frame is in the picture, if it is before the lens.
    pub fn project(&self, point: [f64; 3]) -> Option<(f64, f64)> {
        let seen = self.see(point);
        (seen[0] >= NEAR_M).then(|| self.pixel(seen))
    }

    /// The ray through the middle of a row: how far it goes forward and down while it goes 1 along the axis.
    pub fn row_ray(&self, row: f64) -> (f64, f64) {
        let down = (row - self.height as f64 / 2.0) / self.focal;
        let (sine, cosine) = self.pitch;
        (cosine - down * sine, sine + down * cosine)
    }
}
