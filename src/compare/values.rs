//! How two values of one kind differ, field by field, and by how much.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use waywarden_components::prelude::Mask;

/// One field in which two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The way to the field: `geometry.offset_m`; elements of lists are `[]`.
    pub path: String,
    /// By how much, in the unit of [`Difference::measure`]; above 0.
    pub amount: f64,
    /// How the amount is measured.
    pub measure: Measure,
}

/// How a difference is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The difference of two numbers, in the field's own unit.
    Number,
    /// Two masks: the share of white pixels that only one of them has, 0 to 1 (one minus intersection over union).
    Mask,
    /// Two lists of boxes: those without a partner of the same class in the other list that covers them by half.
    Boxes,
    /// Two lines in a picture: mean distance sideways over the rows that both have, in pixels.
    Line,
    /// Two lists: how many elements one has more.
    Length,
    /// Anything else: 1 when the two are not the same, one of them being absent included.
    Other,
}

impl Measure {
    /// The amount that is as bad as a mask of which nothing fits: for the order of moments, not for judgements.
    pub fn scale(self) -> f64 {
        match self {
            Self::Mask => 1.0,
            Self::Boxes => 2.0,
            Self::Line => 40.0,
            Self::Length | Self::Number => 20.0,
            Self::Other => 10.0,
        }
    }

    /// The unit in words.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Number => "",
            Self::Mask => "1 - IoU",
            Self::Boxes => "boxes",
            Self::Line => "px",
            Self::Length => "elements",
            Self::Other => "times",
        }
    }
}

/// All fields in which `a` and `b` differ. Numbers that are no numbers (NaN is null in JSON) are equal to each other.
pub fn differences(a: &Value, b: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(a, b, &mut String::new(), &mut found);
    found
}

fn compare(a: &Value, b: &Value, path: &mut String, found: &mut Vec<Difference>) {
    if a == b {
        return;
    }
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let amount = match (x.as_f64(), y.as_f64()) {
                (Some(x), Some(y)) => (x - y).abs(),
                _ => 1.0,
            };
            push(found, path, amount, Measure::Number);
        }
        (Value::Object(x), Value::Object(y)) => match (mask(x), mask(y)) {
            (Some(x), Some(y)) => push(found, path, 1.0 - overlap(&x, &y), Measure::Mask),
            _ => compare_fields(x, y, path, found),
        },
        (Value::Array(x), Value::Array(y)) => compare_lists(x, y, path, found),
        _ => push(found, path, 1.0, Measure::Other),
    }
}

fn compare_fields(a: &Map<String, Value>, b: &Map<String, Value>, path: &mut String, found: &mut Vec<Difference>) {
    let length = path.len();
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    for name in names {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or_default();
        compare(&value(a), &value(b), path, found);
        path.truncate(length);
    }
}

fn compare_lists(a: &[Value], b: &[Value], path: &mut String, found: &mut Vec<Difference>) {
    if let (Some(x), Some(y)) = (boxes(a), boxes(b)) {
        return push(found, path, unmatched(&x, &y) as f64, Measure::Boxes);
    }
    if let (Some(x), Some(y)) = (line(a), line(b)) {
        return push(found, path, sideways(&x, &y), Measure::Line);
    }
    if a.len() != b.len() {
        return push(found, path, a.len().abs_diff(b.len()) as f64, Measure::Length);
    }
    // Of each field of the elements the largest difference: a list is one value.
    let length = path.len();
    path.push_str("[]");
    let mut all = Vec::new();
    a.iter().zip(b).for_each(|(a, b)| compare(a, b, path, &mut all));
    path.truncate(length);
    let mut largest: BTreeMap<String, Difference> = BTreeMap::new();
    for difference in all {
        let entry = largest.entry(difference.path.clone()).or_insert_with(|| difference.clone());
        if difference.amount > entry.amount {
            *entry = difference;
        }
    }
    found.extend(largest.into_values());
}

fn push(found: &mut Vec<Difference>, path: &str, amount: f64, measure: Measure) {
    // Two masks may be written differently and be the same picture.
    if amount > 0.0 {
        found.push(Difference { path: path.to_owned(), amount, measure });
    }
}

fn mask(of: &Map<String, Value>) -> Option<Mask> {
    if of.len() != 3 || !of.contains_key("runs") {
        return None;
    }
    let mask: Mask = serde_json::from_value(Value::Object(of.clone())).ok()?;
    mask.is_sound().then_some(mask)
}

/// Intersection over union of the white pixels; masks of two sizes are looked at in that of the smaller one.
fn overlap(a: &Mask, b: &Mask) -> f64 {
    let (width, height) = (a.width.min(b.width), a.height.min(b.height));
    let (x, y) = (a.decode(), b.decode());
    let at = |pixels: &[u8], mask: &Mask, column: u32, row: u32| {
        let scaled = |n: u32, of: u32, to: u32| (u64::from(n) * u64::from(of) / u64::from(to.max(1))) as usize;
        let (column, row) = (scaled(column, mask.width, width), scaled(row, mask.height, height));
        pixels.get(row * mask.width as usize + column).is_some_and(|&pixel| pixel != 0)
    };
    let (mut both, mut either) = (0u64, 0u64);
    for row in 0..height {
        for column in 0..width {
            let (a, b) = (at(&x, a, column, row), at(&y, b, column, row));
            both += u64::from(a && b);
            either += u64::from(a || b);
        }
    }
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// A box: what it is, left, top, right, bottom.
type Box4 = (Value, [f64; 4]);

fn boxes(list: &[Value]) -> Option<Vec<Box4>> {
    list.iter()
        .map(|item| {
            let field = |name: &str| item.get(name)?.as_f64();
            let (left, top) = (field("left")?, field("top")?);
            let (width, height) = (field("width")?, field("height")?);
            Some((item.get("class")?.clone(), [left, top, left + width, top + height]))
        })
        .collect()
}

/// Boxes of both lists that have no partner in the other one; the first that fits is taken.
fn unmatched(a: &[Box4], b: &[Box4]) -> usize {
    let mut free: Vec<&Box4> = b.iter().collect();
    let mut lonely = 0;
    for (class, area) in a {
        match free.iter().position(|(other, place)| other == class && shared(area, place) >= 0.5) {
            Some(at) => {
                free.swap_remove(at);
            }
            None => lonely += 1,
        }
    }
    lonely + free.len()
}

fn shared(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |r: &[f64; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both).max(f64::MIN_POSITIVE)
}

/// Points by row, bottom first.
fn line(list: &[Value]) -> Option<Vec<(f64, f64)>> {
    if list.is_empty() {
        return None;
    }
    list.iter()
        .map(|point| {
            let point = point.as_object().filter(|point| point.len() == 2)?;
            Some((point.get("y")?.as_f64()?, point.get("x")?.as_f64()?))
        })
        .collect()
}

/// Mean distance sideways at the rows of `a` that lie between ends of `b`; without any, that of the nearest ends.
fn sideways(a: &[(f64, f64)], b: &[(f64, f64)]) -> f64 {
    let at = |row: f64| {
        b.windows(2).find_map(|pair| {
            let ((y0, x0), (y1, x1)) = (pair[0], pair[1]);
            let between = (y0.min(y1)..=y0.max(y1)).contains(&row);
            between.then(|| if y0 == y1 { x0 } else { x0 + (x1 - x0) * (row - y0) / (y1 - y0) })
        })
    };
    let distances: Vec<f64> = a.iter().filter_map(|&(row, x)| Some((at(row)? - x).abs())).collect();
    match (distances.is_empty(), a.first(), b.first()) {
        (false, ..) => distances.iter().sum::<f64>() / distances.len() as f64,
        (true, Some(x), Some(y)) => (x.1 - y.1).abs().max(1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(a: Value, b: Value) -> Difference {
        let mut found = differences(&a, &b);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn numbers_differ_by_their_distance() {
        let found = one(json!({"a": {"b": 1.5, "c": 2}}), json!({"a": {"b": 1.25, "c": 2}}));
        assert_eq!(found, Difference { path: "a.b".into(), amount: 0.25, measure: Measure::Number });
    }

    #[test]
    fn what_is_there_only_once_differs() {
        assert_eq!(one(json!({"left": null}), json!({"left": [1]})).measure, Measure::Other);
        assert_eq!(one(json!({"a": 1}), json!({"a": 1, "b": "x"})).path, "b");
        assert_eq!(one(json!([1, 2]), json!([1])).measure, Measure::Length);
    }

    #[test]
    fn of_a_list_the_largest_difference_counts() {
        let found = one(json!({"p": [0.1, 0.5, 0.9]}), json!({"p": [0.2, 0.5, 0.4]}));
        assert_eq!((found.path.as_str(), (found.amount * 100.0).round()), ("p[]", 50.0));
    }

    #[test]
    fn masks_differ_by_what_they_do_not_share() {
        let mask = |to: u32| serde_json::to_value(Mask::encode(10, 10, |x, _| x < to)).unwrap();
        let found = one(json!({"drivable": mask(4)}), json!({"drivable": mask(5)}));
        assert_eq!((found.path.as_str(), found.measure), ("drivable", Measure::Mask));
        assert!((found.amount - 0.2).abs() < 1e-9, "{found:?}");
        let half = serde_json::to_value(Mask::encode(5, 5, |x, _| x < 2)).unwrap();
        assert_eq!(differences(&mask(4), &half), [], "the same picture at half the size");
    }

    #[test]
    fn boxes_find_their_partners_whatever_their_order() {
        let car = |left: f64, score: f64| json!({"class": "car", "score": score, "left": left, "top": 0.0, "width": 10.0, "height": 10.0});
        assert_eq!(differences(&json!([car(0.0, 0.9), car(50.0, 0.8)]), &json!([car(51.0, 0.9), car(1.0, 0.5)])), []);
        assert_eq!(one(json!([car(0.0, 0.9)]), json!([car(8.0, 0.9)])).amount, 2.0);
        assert_eq!(one(json!([car(0.0, 0.9)]), json!([])).measure, Measure::Boxes);
    }

    #[test]
    fn lines_differ_by_pixels_sideways() {
        let line = |shift: f64, rows: usize| -> Value {
            (0..rows).map(|n| json!({"x": 100.0 + shift + n as f64, "y": 700.0 - n as f64})).collect()
        };
        let found = one(line(0.0, 50), line(3.0, 60));
        assert_eq!(found.measure, Measure::Line);
        assert!((found.amount - 3.0).abs() < 1e-9, "{found:?}");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let name = prop_oneof![
                "[a-c]",
                Just("x".into()),
                Just("y".into()),
                Just("runs".into()),
                Just("width".into()),
                Just("height".into())
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_and_amounts_are_above_zero(a in any_value(), b in any_value()) {
            prop_assert_eq!(differences(&a, &a), []);
            for difference in differences(&a, &b) {
                prop_assert!(difference.amount > 0.0 && difference.amount.is_finite());
            }
        }
    }
}
