//! Which of KITTI's objects count: by difficulty and by distance (Geiger, Lenz and Urtasun, 2012; the object benchmark's
//! `evaluate_object.cpp`).
//!
//! A box is right from an overlap of one half, as in AP50; KITTI itself asks 0.7 of cars.

use waywarden_components::prelude::ObjectClass;

use super::boxes::{Label, Use};
use crate::labels::kitti::Object;

/// How hard an object is to find: each level holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difficulty {
    /// 40 pixels high or more, wholly seen, truncated by 15 % at most.
    Easy,
    /// 25 pixels, partly hidden, 30 %.
    Moderate,
    /// 25 pixels, mostly hidden, 50 %.
    Hard,
}

impl Difficulty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Moderate, Self::Hard];

    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Moderate => "moderate",
            Self::Hard => "hard",
        }
    }

    /// Height in pixels from which on an object counts.
    pub const fn least_height(self) -> f64 {
        match self {
            Self::Easy => 40.0,
            Self::Moderate | Self::Hard => 25.0,
        }
    }

    /// Whether an object is no harder than this.
    pub fn holds(self, object: &Object) -> bool {
        let (occluded, truncated) = match self {
            Self::Easy => (0.0, 0.15),
            Self::Moderate => (1.0, 0.30),
            Self::Hard => (2.0, 0.50),
        };
        object.area.height() >= self.least_height() && object.occluded <= occluded && object.truncated <= truncated
    }
}

/// What is looked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Motor vehicles.
    Vehicles,
    /// People on foot.
    People,
}

impl Group {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Vehicles, Self::People];

    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vehicles => "vehicles",
            Self::People => "people",
        }
    }

    /// Whether a box of this class is meant.
    pub fn holds(self, class: ObjectClass) -> bool {
        match self {
            Self::Vehicles => class.is_vehicle(),
            Self::People => class == ObjectClass::Person,
        }
    }

    /// What an object's class is to this group: it should be found, it may be, or it is another thing.
    fn usage(self, class: &str) -> Option<Use> {
        match (self, class) {
            (_, "DontCare") => Some(Use::Region),
            (Self::Vehicles, "Car" | "Van" | "Truck") | (Self::People, "Pedestrian") => Some(Use::Counted),
            (Self::Vehicles, "Tram" | "Misc") | (Self::People, "Person_sitting" | "Cyclist") => Some(Use::Aside),
            _ => None,
        }
    }
}

/// The labels of a picture for a group: an object of it counts where `counts` says so, and is else aside.
pub fn labels(objects: &[Object], group: Group, counts: impl Fn(&Object) -> bool) -> Vec<Label> {
    let label = |object: &Object| {
        let usage = match group.usage(&object.class)? {
            Use::Counted if !counts(object) => Use::Aside,
            other => other,
        };
        Some(Label { area: object.area, usage })
    };
    objects.iter().filter_map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::super::boxes::Area;
    use super::*;

    fn object(class: &str, height: f64, occluded: f64, truncated: f64) -> Object {
        Object {
            class: class.to_owned(),
            truncated,
            occluded,
            area: Area { left: 0.0, top: 0.0, right: 50.0, bottom: height },
            size_m: [1.5, 1.6, 4.0],
            place_m: [0.0, 1.6, 20.0],
            turned_rad: 0.0,
        }
    }

    #[test]
    fn difficulties_are_the_published_ones() {
        let levels = |height, occluded, truncated| {
            Difficulty::ALL.map(|level| level.holds(&object("Car", height, occluded, truncated)))
        };
        assert_eq!(levels(40.0, 0.0, 0.15), [true, true, true]);
        assert_eq!(levels(39.9, 0.0, 0.0), [false, true, true]);
        assert_eq!(levels(60.0, 1.0, 0.31), [false, false, true]);
        assert_eq!(levels(60.0, 2.0, 0.1), [false, false, true]);
        assert_eq!(levels(60.0, 3.0, 0.1), [false; 3]);
        assert_eq!(levels(24.9, 0.0, 0.0), [false; 3]);
    }

    #[test]
    fn each_group_has_its_own_labels() {
        let objects =
            ["Car", "Van", "Tram", "Pedestrian", "Cyclist", "DontCare"].map(|class| object(class, 50.0, 0.0, 0.0));
        let uses = |group| labels(&objects, group, |_| true).iter().map(|label| label.usage).collect::<Vec<_>>();
        assert_eq!(uses(Group::Vehicles), [Use::Counted, Use::Counted, Use::Aside, Use::Region]);
        assert_eq!(uses(Group::People), [Use::Counted, Use::Aside, Use::Region]);
        assert_eq!(labels(&objects, Group::People, |_| false)[0].usage, Use::Aside);
        assert!(Group::Vehicles.holds(ObjectClass::Bus) && !Group::People.holds(ObjectClass::Bicycle));
    }
}
