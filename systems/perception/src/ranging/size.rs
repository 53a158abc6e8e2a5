//! How large things are before they have been measured.

use waywarden_components::prelude::ObjectClass;

/// The size of a kind of thing, and how much it differs from one to the next and from moment to moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    /// Width in metres, seen from behind.
    pub width_m: f64,
    /// Spread of it, as a share.
    pub width_spread: f64,
    /// Height in metres.
    pub height_m: f64,
    /// Spread of it, as a share.
    pub height_spread: f64,
    /// Length in metres: what is beside us shows its side, too.
    pub length_m: f64,
    /// How much the width differs from one picture to the next, as a share: legs and arms.
    pub sway: f64,
}

impl Size {
    /// Of a class. Vehicles without mirrors, after the European passenger car fleet and the limits of Directive 96/53/EC
    /// (2.55 m wide, 12 m rigid, 4 m high); those on two wheels with their riders.
    pub fn of(class: ObjectClass) -> Self {
        let size = |width_m, width_spread, height_m, height_spread, length_m, sway| Self {
            width_m,
            width_spread,
            height_m,
            height_spread,
            length_m,
            sway,
        };
        match class {
            ObjectClass::Car => size(1.82, 0.07, 1.55, 0.15, 4.4, 0.0),
            ObjectClass::Truck => size(2.5, 0.06, 3.5, 0.15, 10.0, 0.0),
            ObjectClass::Bus => size(2.52, 0.05, 3.1, 0.1, 12.0, 0.0),
            ObjectClass::Person => size(0.5, 0.3, 1.7, 0.08, 0.0, 0.2),
            ObjectClass::Bicycle => size(0.65, 0.45, 1.7, 0.12, 0.0, 0.1),
            ObjectClass::Motorcycle => size(0.8, 0.25, 1.5, 0.12, 0.0, 0.05),
            ObjectClass::Other(_) => size(1.0, 0.8, 1.0, 0.8, 0.0, 0.05),
        }
    }

    /// Whether the width alone tells a distance.
    pub fn is_known(class: ObjectClass) -> bool {
        !matches!(class, ObjectClass::Other(_))
    }
}
