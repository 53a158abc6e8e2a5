//! A box as angles: what its edges say without knowing how far it is.

use serde::{Deserialize, Serialize};

use super::belief::Belief;
use super::settings::RangingSettings;
use super::{NEAR_SLOPE, Sight};

/// The edges of a box as slopes against straight ahead, seen from the lens in the vehicle's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BoxView {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Whether its width, height and bottom are there to be seen.
    is_wide: bool,
    cut_left: bool,
    cut_right: bool,
    is_tall: bool,
    is_standing: bool,
    /// Standard deviation of an edge, and of the camera's nodding, as slopes.
    pub edge_sigma: f64,
    nod_sigma: f64,
}

/// The lower edge of a box, as a slope, with its standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Bottom {
    slope: f64,
    sigma: f64,
    /// Whether it goes on below the frame.
    pub is_cut: bool,
}

impl Bottom {
    /// Of something so near that nodding moves it little.
    pub fn near(self) -> Option<(f64, f64)> {
        (self.slope > NEAR_SLOPE).then_some((self.slope, self.sigma))
    }
}

/// The end of a thing that is towards us, as slopes to the left, and how unsure its width is for being told from its side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Face {
    pub left: f64,
    pub right: f64,
    pub doubt: f64,
    is_whole: bool,
}

impl Face {
    /// Its width as a slope; none where a side is cut off.
    pub fn width(&self) -> Option<f64> {
        let wide = self.left - self.right;
        (self.is_whole && wide > 1e-4).then_some(wide)
    }
}

impl BoxView {
    /// None for a box or a time that makes no sense.
    pub fn new(settings: &RangingSettings, sight: &Sight<'_>) -> Option<Self> {
        let (found, plane) = (sight.detection, sight.plane);
        let numbers = [found.left, found.top, found.width, found.height].map(f64::from);
        let [x, y, wide, tall] = numbers;
        let camera = [sight.camera.bumper_m, sight.camera.left_m];
        let sound = numbers.iter().all(|n| n.abs() < 1e5)
            && wide > 0.5
            && tall > 0.5
            && camera.iter().all(|n| n.abs() < 20.0)
            && (0.0..0.5).contains(&sight.pitch_sigma_rad)
            && sight.speed_mps.is_none_or(|speed| speed.abs() < 150.0);
        if !sound {
            return None;
        }
        let middle = (x + wide / 2.0, y + tall / 2.0);
        let (left, right) = (plane.direction(x, middle.1)?, plane.direction(x + wide, middle.1)?);
        let (top, bottom) = (plane.direction(middle.0, y)?, plane.direction(middle.0, y + tall)?);
        let cut = sight.cut;
        let view = Self {
            left: left.left,
            right: right.left,
            top: top.down,
            bottom: bottom.down,
            is_wide: !cut.left && !cut.right,
            cut_left: cut.left,
            cut_right: cut.right,
            is_tall: !cut.top && !cut.bottom,
            is_standing: !cut.bottom && plane.road(bottom).is_some(),
            edge_sigma: settings.edge_sigma_px(tall) / plane.focal_px(),
            nod_sigma: settings.nod_sigma_rad,
        };
        (view.left > view.right && view.bottom > view.top && view.edge_sigma > 0.0).then_some(view)
    }

    /// How wide it looks, and its standard deviation.
    pub fn width(&self) -> Option<(f64, f64)> {
        self.is_wide.then_some((self.left - self.right, self.edge_sigma * std::f64::consts::SQRT_2))
    }

    /// How tall it looks, and its standard deviation.
    pub fn height(&self) -> Option<(f64, f64)> {
        self.is_tall.then_some((self.bottom - self.top, self.edge_sigma * std::f64::consts::SQRT_2))
    }

    /// How far below the horizon it stands on the road, and its standard deviation but for the believed pitch.
    pub fn ground(&self) -> Option<(f64, f64)> {
        let sigma = (self.edge_sigma * self.edge_sigma + self.nod_sigma * self.nod_sigma).sqrt();
        self.is_standing.then_some((self.bottom, sigma))
    }

    /// How low in the picture it ends.
    pub fn bottom(&self) -> Bottom {
        let sigma = (self.edge_sigma * self.edge_sigma + self.nod_sigma * self.nod_sigma).sqrt();
        Bottom { slope: self.bottom, sigma, is_cut: !self.is_standing }
    }

    /// The box as it is.
    pub fn as_seen(&self) -> Face {
        Face { left: self.left, right: self.right, doubt: 0.0, is_whole: self.is_wide }
    }

    /// Its near end, of something that is `length_m` long and points `along` the road: to the left, a metre forward. Of what we do not
    /// look at straight from behind the box also shows the side that is towards us: its inner edge is that of the far end. Where the
    /// frame cuts the outer edge off, the inner one alone tells where it is.
    pub fn face(&self, belief: &Belief, length_m: f64, along: f64) -> Option<Face> {
        // In a bend things are turned. A shear turns all of them back, and leaves the widths.
        let sheared = Self { left: self.left - along, right: self.right - along, ..*self };
        let face = sheared.straight_face(belief, length_m)?;
        Some(Face { left: face.left + along, right: face.right + along, ..face })
    }

    /// The same of something that points straight ahead.
    fn straight_face(&self, belief: &Belief, length_m: f64) -> Option<Face> {
        let (near, width) = (belief.distance_m(), belief.width_m());
        let far = near + length_m;
        let seen = self.as_seen();
        let hidden = |inner_m: f64| inner_m.max(0.0) * (1.0 / near - 1.0 / far);
        let wide = width / near;
        let face = if self.right > 0.0 {
            let more = hidden(if self.cut_left { self.right * far } else { self.left * near - width });
            let right = self.right + more;
            let left = if self.cut_left { right + wide } else { self.left };
            Face { left, right, doubt: 0.3 * more, ..seen }
        } else if self.left < 0.0 {
            let more = hidden(if self.cut_right { -self.left * far } else { -self.right * near - width });
            let left = self.left - more;
            let right = if self.cut_right { left - wide } else { self.right };
            Face { left, right, doubt: 0.3 * more, ..seen }
        } else {
            seen
        };
        (face.left > face.right).then_some(face)
    }
}

#[cfg(test)]
mod tests {
    use super::super::belief::State;
    use super::*;

    #[test]
    fn in_a_bend_a_truck_shows_its_side() {
        let (near, length, width, along) = (40.0, 12.0, 2.5, 0.1);
        // Its ends as slopes: it lies a metre to the left, and points further to the left.
        let end = |ahead: f64, middle: f64| ((middle + width / 2.0) / ahead, (middle - width / 2.0) / ahead);
        let rear = end(near, 1.0);
        let front = end(near + length, 1.0 + along * length);
        let seen = BoxView {
            left: rear.0.max(front.0),
            right: rear.1.min(front.1),
            top: -0.05,
            bottom: 0.03,
            is_wide: true,
            cut_left: false,
            cut_right: false,
            is_tall: true,
            is_standing: true,
            edge_sigma: 1e-3,
            nod_sigma: 1e-3,
        };
        let belief =
            Belief::new(State::from([libm::log(near), 0.0, 0.0, libm::log(width), 1.0, 0.0, 0.0]), State::zeros());
        let wide = |face: Option<Face>| face.and_then(|face| face.width()).unwrap_or_default();
        let face = seen.face(&belief, length, along).expect("it has a face");
        assert!((face.left - rear.0).abs() < 1e-3 && (face.right - rear.1).abs() < 1e-3, "{face:?}, not {rear:?}");
        assert!(face.doubt > 0.0);
        // As if it stood straight it would be taken for one that is wider, and so for nearer.
        let straight = wide(seen.face(&belief, length, 0.0));
        assert!(straight > 1.1 * wide(Some(face)), "{straight}");
    }
}
