//! What a simulator knows, as labels: boxes of objects that can be seen, and which of a track's figures are right.

use waywarden_components::prelude::{ObjectClass, ObjectMotion, TrueObject};

use super::boxes::{Area, Label, Use};

/// Pixels in height from which on an object should be found.
pub const LEAST_HEIGHT: f64 = 12.0;
/// The share of an object that others may hide, and it should still be found.
pub const MOST_HIDDEN: f64 = 0.5;
/// The overlap from which on a track is that of an object: less than a detection needs, so that tracks whose boxes are
/// poor are not left out where their distances are judged.
pub const TRACK_IOU: f64 = 0.3;
/// Points along each side of a box at which it is looked whether something hides it.
const GRID: u32 = 16;

/// The box of an object in the picture; none where it is outside.
pub fn area(object: &TrueObject) -> Option<Area> {
    let [left, top, right, bottom] = object.image?.map(f64::from);
    Some(Area { left, top, right, bottom })
}

/// The share of an object's box that boxes of nearer ones hide.
pub fn hidden(object: &TrueObject, all: &[TrueObject]) -> f64 {
    let Some(own) = area(object) else { return 1.0 };
    let nearer: Vec<Area> = all.iter().filter(|other| other.distance_m < object.distance_m).filter_map(area).collect();
    let at = |from: f64, to: f64, step: u32| from + (to - from) * (f64::from(step) + 0.5) / f64::from(GRID);
    let points = (0..GRID * GRID).map(|n| (at(own.left, own.right, n % GRID), at(own.top, own.bottom, n / GRID)));
    let covers = |area: &Area, (x, y): (f64, f64)| area.left <= x && x < area.right && area.top <= y && y < area.bottom;
    let covered = points.filter(|point| nearer.iter().any(|area| covers(area, *point))).count();
    covered as f64 / f64::from(GRID * GRID)
}

/// The labels of a moment: each object in the picture counts where it is large enough and not hidden, and `counts` says so.
pub fn labels(objects: &[TrueObject], counts: impl Fn(&TrueObject) -> bool) -> Vec<Label> {
    let label = |object: &TrueObject| {
        let area = area(object)?;
        let seen = area.height() >= LEAST_HEIGHT && hidden(object, objects) <= MOST_HIDDEN;
        let usage = if seen && counts(object) { Use::Counted } else { Use::Aside };
        Some(Label { area, usage })
    };
    objects.iter().filter_map(label).collect()
}

/// Whether what was seen may be called this: vehicles are vehicles, people people, two wheels two wheels.
pub fn same_kind(a: ObjectClass, b: ObjectClass) -> bool {
    let two_wheels = |class| matches!(class, ObjectClass::Bicycle | ObjectClass::Motorcycle);
    a == b || (a.is_vehicle() && b.is_vehicle()) || (two_wheels(a) && two_wheels(b))
}

/// The object that a box in the same picture is of: the one that it overlaps most with, at least by [`TRACK_IOU`].
pub fn object_of<'a>(found: &Area, class: ObjectClass, objects: &'a [TrueObject]) -> Option<&'a TrueObject> {
    let overlaps = objects.iter().filter(|object| same_kind(class, object.class));
    let overlaps = overlaps.filter_map(|object| Some((found.iou(&area(object)?), object)));
    overlaps
        .filter(|(iou, _)| *iou >= TRACK_IOU)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.id.cmp(&a.1.id)))
        .map(|(_, object)| object)
}

/// Time to collision of an object in seconds, at constant closing speed; none where it does not come nearer.
pub fn time_to_collision(object: &TrueObject) -> Option<f64> {
    let (distance, closing) = (f64::from(object.distance_m), f64::from(object.closing_mps));
    (closing > 0.1 && distance >= 0.0).then(|| distance / closing)
}

/// How far a track's distance is off, in metres.
pub fn distance_error(motion: &ObjectMotion, object: &TrueObject) -> f64 {
    f64::from(motion.distance_m) - f64::from(object.distance_m)
}

/// How far a track's time to collision is off, in seconds, where the true one is below `below_s`; none where either has
/// none. A track that does not see that something comes nearer has no error here: warnings that are missed are counted.
pub fn ttc_error(motion: &ObjectMotion, object: &TrueObject, below_s: f64) -> Option<f64> {
    let truth = time_to_collision(object).filter(|truth| *truth < below_s)?;
    Some(f64::from(motion.ttc_s?) - truth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn car(id: u32, distance_m: f32, closing_mps: f32, image: [f32; 4]) -> TrueObject {
        TrueObject {
            id,
            class: ObjectClass::Car,
            distance_m,
            left_m: 0.0,
            closing_mps,
            width_m: 1.8,
            height_m: 1.5,
            in_lane: true,
            image: Some(image),
        }
    }

    #[test]
    fn hidden_and_small_objects_are_aside() {
        let objects = [
            car(1, 10.0, 0.0, [0.0, 0.0, 100.0, 100.0]),
            // Three quarters hidden by the first, which is nearer.
            car(2, 20.0, 0.0, [25.0, 0.0, 125.0, 100.0]),
            car(3, 30.0, 0.0, [200.0, 0.0, 240.0, 11.0]),
            TrueObject { image: None, ..car(4, 9.0, 0.0, [0.0; 4]) },
        ];
        assert_eq!([0, 1, 2, 3].map(|n| hidden(&objects[n], &objects)), [0.0, 0.75, 0.0, 1.0]);
        let uses: Vec<_> = labels(&objects, |_| true).iter().map(|label| label.usage).collect();
        assert_eq!(uses, [Use::Counted, Use::Aside, Use::Aside]);
        assert_eq!(labels(&objects, |object| object.id != 1)[0].usage, Use::Aside);
    }

    #[test]
    fn a_box_is_of_the_object_that_it_fits() {
        let objects = [car(1, 10.0, 2.0, [0.0, 0.0, 100.0, 100.0]), car(2, 20.0, 2.0, [50.0, 0.0, 150.0, 100.0])];
        let id = |left: f64, class| {
            object_of(&Area { left, top: 0.0, right: left + 100.0, bottom: 100.0 }, class, &objects)
                .map(|object| object.id)
        };
        assert_eq!([id(10.0, ObjectClass::Bus), id(40.0, ObjectClass::Car)], [Some(1), Some(2)]);
        // 40 of 160 is a quarter.
        assert_eq!([id(110.0, ObjectClass::Car), id(0.0, ObjectClass::Person)], [None, None]);
    }

    #[test]
    fn errors_are_against_the_truth() {
        let object = car(1, 20.0, 10.0, [0.0; 4]);
        assert_eq!(time_to_collision(&object), Some(2.0));
        assert_eq!(time_to_collision(&car(1, 20.0, -1.0, [0.0; 4])), None);
        let motion = ObjectMotion { distance_m: 18.5, ttc_s: Some(2.5), ..ObjectMotion::default() };
        assert_eq!(distance_error(&motion, &object), -1.5);
        assert_eq!([3.0, 2.0].map(|below| ttc_error(&motion, &object, below)), [Some(0.5), None]);
        assert_eq!(ttc_error(&ObjectMotion { ttc_s: None, ..motion }, &object, 3.0), None);
    }
}
