//! What something is, by what it was taken for over time: detectors call one van a car, a truck and a car again.

use serde::{Deserialize, Serialize};
use waywarden_components::perception::{Detection, ObjectClass};

/// What a vote still counts at the next one.
const FADING: f64 = 0.9;

/// Classes that may be the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Motor vehicles.
    Vehicles,
    /// People, on foot or on a bicycle.
    People,
    /// Anything else, each class for itself.
    Other(u16),
}

impl Group {
    /// The group of a class.
    pub fn of(class: ObjectClass) -> Self {
        match class {
            ObjectClass::Car | ObjectClass::Motorcycle | ObjectClass::Bus | ObjectClass::Truck => Self::Vehicles,
            ObjectClass::Person | ObjectClass::Bicycle => Self::People,
            ObjectClass::Other(number) => Self::Other(number),
        }
    }
}

/// Scores of the classes that something was taken for, in order of class; older ones have faded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Votes(Vec<(ObjectClass, f64)>);

impl Votes {
    /// After the first box.
    pub fn new(found: &Detection) -> Self {
        Self(vec![(found.class, f64::from(found.score))])
    }

    /// Counts one more box.
    pub fn add(&mut self, found: &Detection) {
        for (_, weight) in &mut self.0 {
            *weight *= FADING;
        }
        let score = f64::from(found.score);
        match self.0.binary_search_by_key(&found.class, |&(class, _)| class) {
            Ok(place) => {
                if let Some((_, weight)) = self.0.get_mut(place) {
                    *weight += score;
                }
            }
            Err(place) => self.0.insert(place, (found.class, score)),
        }
    }

    /// The class with the most votes; of equal ones the first in order of class.
    pub fn class(&self) -> Option<ObjectClass> {
        let better = |best: (ObjectClass, f64), next: &(ObjectClass, f64)| if next.1 > best.1 { *next } else { best };
        let (first, rest) = self.0.split_first()?;
        Some(rest.iter().fold(*first, better).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(class: ObjectClass, score: f32) -> Detection {
        Detection { class, score, left: 0.0, top: 0.0, width: 10.0, height: 10.0 }
    }

    #[test]
    fn a_slip_is_outvoted_and_a_change_of_mind_is_not() {
        let mut votes = Votes::new(&found(ObjectClass::Car, 0.6));
        votes.add(&found(ObjectClass::Car, 0.6));
        votes.add(&found(ObjectClass::Truck, 0.9));
        assert_eq!(votes.class(), Some(ObjectClass::Car));
        for _ in 0..5 {
            votes.add(&found(ObjectClass::Truck, 0.6));
        }
        assert_eq!(votes.class(), Some(ObjectClass::Truck));
    }
}
