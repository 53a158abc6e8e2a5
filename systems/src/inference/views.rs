//! Boxes of two looks at one frame, at the whole of it and at a part of it more closely, made into one list.
//!
//! What is far away is small: in the whole frame, squeezed to a network's input, a car at 80 m is a few pixels wide. A second
//! look at the part around the vanishing point shows it larger (the slices of SAHI, arXiv:2202.06934, reduced to the one
//! that matters on a road).
//!
//! Two looks that agree are better evidence than one: the score of a box that both show is that of at least one being
//! right, `1 - (1 - a)(1 - b)`, as if they were independent, and a weak box counts if the other look supports it.

use waywarden_components::job::Crop;
use waywarden_components::perception::Detection;

use super::detect::{MAX_BOXES, Thresholds, best_first, intersection_over_union};

/// Least score of a box that another one may support. Chosen on frames of CamVid's `train`.
pub const SUPPORT: f32 = 0.05;

/// A box nearer to an edge of the part than this, in pixels of the frame, is taken to be cut by it.
const EDGE: f32 = 2.0;

/// A box of less than this share of the part's sides is small: the closer look shows it better. Of a larger one it shows
/// perhaps a piece.
const SMALL: f32 = 0.5;

/// Share of the smaller of two boxes of the two looks that lies in the other, above which it is a piece of it.
const PIECE: f32 = 0.7;

/// A box of one of the looks.
struct Seen {
    found: Detection,
    closer: bool,
    /// Whether its look shows such a box better than the other.
    better: bool,
}

/// The boxes of both looks, best first, in pixels of the frame. `whole` and `closer` are those with a score of [`SUPPORT`] and
/// more, both in pixels of the frame; `crop` is the part that was looked at more closely in a frame of `frame` (width,
/// height) pixels.
///
/// A box counts whose score, raised by the box of the other look that supports it, reaches `thresholds.score`. Where two looks
/// show the same thing the closer one is believed if it is small, the whole frame if it is large or reaches beyond the
/// part. What the part's edge cuts is left to the whole frame. Vehicles are one class here: far away a bus is a truck
/// to one look and a car to the other.
pub fn merge(
    whole: &[Detection],
    closer: &[Detection],
    crop: Crop,
    frame: (u32, u32),
    thresholds: &Thresholds,
) -> Vec<Detection> {
    let closer: Vec<Detection> = closer.iter().filter(|found| !is_cut(found, crop, frame)).copied().collect();
    let overlap = thresholds.overlap;
    let mut all: Vec<Seen> = Vec::with_capacity(whole.len() + closer.len());
    for (own, others, is_closer) in [(whole, &closer[..], false), (&closer[..], whole, true)] {
        for found in own {
            let found = supported(found, others, overlap);
            if found.score >= thresholds.score {
                let better = is_closer == (is_small(&found, crop) && is_inside(&found, crop));
                all.push(Seen { found, closer: is_closer, better });
            }
        }
    }
    // A stable sort: equal boxes stay in the order of the looks.
    all.sort_by(|a, b| b.better.cmp(&a.better).then_with(|| best_first(&a.found, &b.found)));
    let mut kept: Vec<Seen> = Vec::with_capacity(all.len());
    for seen in all {
        let is_same = |other: &Seen| {
            other.closer != seen.closer
                && alike(&other.found, &seen.found)
                && (intersection_over_union(&other.found, &seen.found) > overlap
                    || (other.better && !seen.better && is_piece(&other.found, &seen.found)))
        };
        if !kept.iter().any(is_same) {
            kept.push(seen);
        }
    }
    let mut boxes: Vec<Detection> = kept.into_iter().map(|seen| seen.found).collect();
    boxes.sort_by(best_first);
    boxes.truncate(MAX_BOXES);
    boxes
}

/// A box of the part in pixels of the frame.
pub fn in_frame(found: Detection, crop: Crop) -> Detection {
    Detection { left: found.left + crop.left as f32, top: found.top + crop.top as f32, ..found }
}

/// The box with its score raised by the best box of the other look that shows the same.
fn supported(found: &Detection, others: &[Detection], overlap: f32) -> Detection {
    let same = |other: &&Detection| alike(found, other) && intersection_over_union(found, other) > overlap;
    let support = others.iter().filter(same).map(|other| other.score).max_by(f32::total_cmp);
    let score = support.map_or(found.score, |support| 1.0 - (1.0 - found.score) * (1.0 - support));
    Detection { score, ..*found }
}

fn alike(a: &Detection, b: &Detection) -> bool {
    a.class == b.class || (a.class.is_vehicle() && b.class.is_vehicle())
}

/// Whether a box of the part touches an edge of it that is not one of the frame.
fn is_cut(found: &Detection, crop: Crop, frame: (u32, u32)) -> bool {
    let (right, bottom) = crop.end();
    (crop.left > 0 && found.left <= crop.left as f32 + EDGE)
        || (crop.top > 0 && found.top <= crop.top as f32 + EDGE)
        || (right < frame.0 && found.left + found.width >= right as f32 - EDGE)
        || (bottom < frame.1 && found.top + found.height >= bottom as f32 - EDGE)
}

fn is_inside(found: &Detection, crop: Crop) -> bool {
    let (right, bottom) = crop.end();
    found.left >= crop.left as f32
        && found.top >= crop.top as f32
        && found.left + found.width <= right as f32
        && found.top + found.height <= bottom as f32
}

fn is_small(found: &Detection, crop: Crop) -> bool {
    found.width < SMALL * crop.width as f32 && found.height < SMALL * crop.height as f32
}

fn is_piece(a: &Detection, b: &Detection) -> bool {
    let width = (a.left + a.width).min(b.left + b.width) - a.left.max(b.left);
    let height = (a.top + a.height).min(b.top + b.height) - a.top.max(b.top);
    let smaller = (a.width * a.height).min(b.width * b.height);
    width > 0.0 && height > 0.0 && width * height > PIECE * smaller
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waywarden_components::perception::ObjectClass;

    use super::*;

    const FRAME: (u32, u32) = (1280, 720);
    const CROP: Crop = Crop { left: 320, top: 160, width: 640, height: 480 };

    fn found(class: ObjectClass, score: f32, [left, top, width, height]: [f32; 4]) -> Detection {
        Detection { class, score, left, top, width, height }
    }

    fn car(score: f32, place: [f32; 4]) -> Detection {
        found(ObjectClass::Car, score, place)
    }

    fn merged(whole: &[Detection], closer: &[Detection]) -> Vec<Detection> {
        merge(whole, closer, CROP, FRAME, &Thresholds { score: 0.35, ..Thresholds::default() })
    }

    #[test]
    fn looks_that_agree_support_each_other() {
        let (far, closer) = (car(0.25, [600.0, 350.0, 40.0, 30.0]), car(0.2, [602.0, 351.0, 38.0, 29.0]));
        assert_eq!((merged(&[far], &[]), merged(&[], &[closer])), (vec![], vec![]));
        let both = merged(&[far], &[closer]);
        assert_eq!((both.len(), both[0].left), (1, 602.0), "the closer look has the better box");
        assert!((both[0].score - 0.4).abs() < 1e-6, "{both:?}");
        // Something else beside it does not support it.
        assert_eq!(merged(&[far], &[found(ObjectClass::Person, 0.2, [602.0, 351.0, 38.0, 29.0])]), []);
        let bus = found(ObjectClass::Bus, 0.2, [602.0, 351.0, 38.0, 29.0]);
        assert_eq!(merged(&[far], &[bus])[0].class, ObjectClass::Bus, "one vehicle for another");
    }

    #[test]
    fn small_things_are_the_closer_look_s_and_large_ones_the_whole_frame_s() {
        let far = [car(0.6, [600.0, 350.0, 40.0, 30.0]), car(0.5, [601.0, 351.0, 38.0, 29.0])];
        assert_eq!(merged(&far[..1], &far[1..])[0].left, 601.0);
        let near = [car(0.5, [400.0, 200.0, 420.0, 400.0]), car(0.9, [410.0, 210.0, 400.0, 380.0])];
        assert_eq!(merged(&near[..1], &near[1..])[0].left, 400.0);
    }

    #[test]
    fn what_the_edge_of_the_part_cuts_is_left_to_the_whole_frame() {
        let whole = car(0.6, [200.0, 300.0, 300.0, 200.0]);
        let cut = car(0.9, [320.0, 300.0, 180.0, 200.0]);
        assert_eq!(merged(&[whole], &[cut]), [whole]);
        assert_eq!(merged(&[], &[cut]), []);
        // An edge of the frame cuts nothing off that the whole frame would show.
        let right = Crop { left: 640, ..CROP };
        let at_edge = car(0.9, [1200.0, 300.0, 80.0, 80.0]);
        assert_eq!(merge(&[], &[at_edge], right, FRAME, &Thresholds::default()), [at_edge]);
    }

    #[test]
    fn a_piece_of_something_larger_is_no_thing_of_its_own() {
        let truck = found(ObjectClass::Truck, 0.7, [340.0, 170.0, 500.0, 440.0]);
        let piece = found(ObjectClass::Truck, 0.8, [345.0, 180.0, 330.0, 200.0]);
        assert_eq!(merged(&[truck], &[piece]), [truck]);
        // But a small car before a truck is one.
        let before = car(0.8, [500.0, 400.0, 80.0, 60.0]);
        assert_eq!(merged(&[truck], &[before]), [before, truck]);
    }

    #[test]
    fn two_things_of_one_look_stay_two() {
        let cars = [car(0.8, [600.0, 350.0, 40.0, 30.0]), car(0.7, [615.0, 350.0, 40.0, 30.0])];
        assert_eq!(merged(&cars, &[]), cars);
        assert_eq!(merged(&[], &cars), cars);
    }

    fn any_box() -> impl Strategy<Value = Detection> {
        let class = prop_oneof![Just(ObjectClass::Car), Just(ObjectClass::Truck), Just(ObjectClass::Person)];
        (class, 0.05f32..1.0, 0.0f32..1200.0, 0.0f32..700.0, 1.0f32..400.0, 1.0f32..400.0).prop_map(
            |(class, score, left, top, width, height)| {
                let (width, height) = (width.min(1280.0 - left), height.min(720.0 - top));
                found(class, score, [left, top, width, height])
            },
        )
    }

    proptest! {
        #[test]
        fn the_order_of_the_boxes_changes_nothing_and_none_is_invented(
            whole in prop::collection::vec(any_box(), 0..12),
            closer in prop::collection::vec(any_box(), 0..12),
        ) {
            let boxes = merged(&whole, &closer);
            let turned = |boxes: &[Detection]| boxes.iter().rev().copied().collect::<Vec<_>>();
            prop_assert_eq!(&merged(&turned(&whole), &turned(&closer)), &boxes);
            prop_assert!(boxes.is_sorted_by(|a, b| best_first(a, b).is_le()));
            for found in &boxes {
                prop_assert!((0.35..=1.0).contains(&found.score));
                let is_known = |other: &Detection| Detection { score: found.score, ..*other } == *found;
                prop_assert!(whole.iter().chain(&closer).any(is_known), "{found:?}");
            }
        }

        #[test]
        fn without_a_closer_look_the_whole_stays_as_it_is(whole in prop::collection::vec(any_box(), 0..12)) {
            let mut expected: Vec<_> = whole.iter().filter(|found| found.score >= 0.35).copied().collect();
            expected.sort_by(best_first);
            prop_assert_eq!(merged(&whole, &[]), expected);
        }

        #[test]
        fn no_box_makes_it_panic(
            numbers in prop::collection::vec(prop::array::uniform5(any::<f32>()), 0..10),
            crop in prop::array::uniform4(any::<u32>()), frame: (u32, u32),
        ) {
            let boxes: Vec<_> = numbers.iter().map(|[score, a, b, c, d]| car(*score, [*a, *b, *c, *d])).collect();
            let crop = Crop { left: crop[0], top: crop[1], width: crop[2], height: crop[3] };
            let _ = merge(&boxes, &boxes, crop, frame, &Thresholds::default());
        }
    }
}
