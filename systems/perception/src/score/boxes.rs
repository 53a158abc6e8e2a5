//! Boxes against boxes, as COCO does it (Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, and its
//! `cocoeval.py`): best score first, each box takes the label that it overlaps most with; average precision over 101 steps
//! of recall.

use waywarden_components::prelude::Detection;

use super::{Share, Tally};

/// The overlap from which on a box is right: that of AP50.
pub const LEAST_IOU: f64 = 0.5;

/// An upright rectangle, in pixels of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
}

impl Area {
    /// That of a box that was found.
    pub fn of(found: &Detection) -> Self {
        let (left, top) = (f64::from(found.left), f64::from(found.top));
        Self { left, top, right: left + f64::from(found.width), bottom: top + f64::from(found.height) }
    }

    /// Square pixels; 0 for what is no rectangle.
    pub fn size(&self) -> f64 {
        (self.right - self.left).max(0.0) * (self.bottom - self.top).max(0.0)
    }

    /// Height in pixels.
    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// Square pixels of both.
    pub fn both(&self, other: &Self) -> f64 {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
        .size()
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        let both = self.both(other);
        let either = self.size() + other.size() - both;
        if both > 0.0 { both / either } else { 0.0 }
    }
}

/// COCO's three sizes, by square pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Below 32 x 32.
    Small,
    /// Below 96 x 96.
    Medium,
    /// From there on.
    Large,
}

impl Size {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// That of so many square pixels.
    pub fn of(square_pixels: f64) -> Self {
        match square_pixels {
            s if s < 32.0 * 32.0 => Self::Small,
            s if s < 96.0 * 96.0 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// Its name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small (< 32² px)",
            Self::Medium => "medium (32² to 96² px)",
            Self::Large => "large (> 96² px)",
        }
    }
}

/// What a label is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It should be found.
    Counted,
    /// It may be found, once; neither matters.
    Aside,
    /// In this region nothing matters: a box of which half lies in it is left out.
    Region,
}

/// A labelled rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// Where.
    pub area: Area,
    /// What for.
    pub usage: Use,
}

/// What became of the boxes and labels of a picture or drive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matched {
    /// Each box that counts: its score, and whether it is right.
    pub boxes: Vec<(f32, bool)>,
    /// Of the labels that count: those that were found.
    pub recall: Share,
}

impl Matched {
    /// Precision and recall of all boxes.
    pub fn tally(&self) -> Tally {
        let right = self.boxes.iter().filter(|(_, right)| *right).count() as u64;
        Tally { precision: Share { part: right, whole: self.boxes.len() as u64 }, recall: self.recall }
    }

    /// Adds another picture.
    pub fn extend(&mut self, other: Self) {
        self.boxes.extend(other.boxes);
        self.recall = self.recall + other.recall;
    }
}

/// Matches the boxes of a picture with its labels. Boxes that take no label, and of which `left_out` says so, do not count:
/// those of another size than is asked for.
pub fn match_boxes(found: &[(f32, Area)], labels: &[Label], left_out: impl Fn(&Area) -> bool) -> Matched {
    let mut order: Vec<&(f32, Area)> = found.iter().collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut taken = vec![false; labels.len()];
    let mut matched = Matched::default();
    for (score, area) in order {
        // Labels that count go before those that do not.
        let best = [Use::Counted, Use::Aside].into_iter().find_map(|usage| {
            let free =
                labels.iter().zip(&taken).enumerate().filter(|(_, (label, taken))| !**taken && label.usage == usage);
            free.map(|(n, (label, _))| (n, area.iou(&label.area)))
                .filter(|(_, iou)| *iou >= LEAST_IOU)
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
                .map(|(n, _)| (n, usage))
        });
        if let Some((n, usage)) = best {
            if let Some(taken) = taken.get_mut(n) {
                *taken = true;
            }
            if usage == Use::Counted {
                matched.boxes.push((*score, true));
            }
            continue;
        }
        let inside = |label: &Label| label.usage == Use::Region && area.both(&label.area) >= area.size() * LEAST_IOU;
        if !left_out(area) && !labels.iter().any(inside) {
            matched.boxes.push((*score, false));
        }
    }
    let counted = labels.iter().zip(&taken).filter(|(label, _)| label.usage == Use::Counted);
    matched.recall = counted.fold(Share::default(), |sum, (_, taken)| sum + Share::one(*taken));
    matched
}

/// The boxes of several units, best score first, for average precision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    boxes: Vec<(f32, bool, usize)>,
    labels: Vec<u64>,
}

impl Curve {
    /// Of these units.
    pub fn new(units: &[Matched]) -> Self {
        let each = units.iter().enumerate();
        let mut boxes: Vec<_> = each
            .flat_map(|(unit, matched)| matched.boxes.iter().map(move |(score, right)| (*score, *right, unit)))
            .collect();
        boxes.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { boxes, labels: units.iter().map(|matched| matched.recall.whole).collect() }
    }

    /// Average precision with each unit as often as its weight says; none where there are no labels.
    pub fn average_precision(&self, weights: &[u32]) -> Option<f64> {
        let weight = |unit: usize| u64::from(weights.get(unit).copied().unwrap_or(0));
        let labels: u64 = self.labels.iter().enumerate().map(|(unit, labels)| labels * weight(unit)).sum();
        let (mut right, mut all) = (0u64, 0u64);
        let mut points = Vec::with_capacity(self.boxes.len());
        for (_, is_right, unit) in &self.boxes {
            all += weight(*unit);
            right += weight(*unit) * u64::from(*is_right);
            points.push((right, right as f64 / all.max(1) as f64));
        }
        // Precision at a recall is the best one at that recall or a higher one.
        let mut best: f64 = 0.0;
        for (_, precision) in points.iter_mut().rev() {
            best = best.max(*precision);
            *precision = best;
        }
        let mut sum = 0.0;
        for step in 0..=100u64 {
            let at = points.partition_point(|(right, _)| right * 100 < step * labels);
            sum += points.get(at).map_or(0.0, |(_, precision)| *precision);
        }
        (labels > 0).then_some(sum / 101.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn area(left: f64, top: f64, right: f64, bottom: f64) -> Area {
        Area { left, top, right, bottom }
    }

    fn counted(area: Area) -> Label {
        Label { area, usage: Use::Counted }
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let (a, b) = (area(0.0, 0.0, 10.0, 10.0), area(5.0, 0.0, 15.0, 10.0));
        assert!((a.iou(&b) - 50.0 / 150.0).abs() < 1e-12);
        assert_eq!((a.iou(&a), a.iou(&area(10.0, 0.0, 20.0, 10.0)), area(5.0, 5.0, 1.0, 9.0).size()), (1.0, 0.0, 0.0));
        let broken = area(f64::NAN, 0.0, 1.0, 1.0);
        assert_eq!(
            (a.iou(&broken), Size::of(1023.0), Size::of(1024.0), Size::of(9216.0)),
            (broken.iou(&a), Size::Small, Size::Medium, Size::Large)
        );
    }

    #[test]
    fn the_best_box_takes_the_label_and_the_next_one_is_wrong() {
        let labels = [counted(area(0.0, 0.0, 10.0, 10.0)), counted(area(100.0, 0.0, 110.0, 10.0))];
        let found =
            [(0.5, area(0.0, 0.0, 10.0, 9.0)), (0.9, area(0.0, 0.0, 10.0, 8.0)), (0.7, area(50.0, 0.0, 60.0, 10.0))];
        let matched = match_boxes(&found, &labels, |_| false);
        assert_eq!(matched.boxes, [(0.9, true), (0.7, false), (0.5, false)]);
        assert_eq!(matched.recall, Share { part: 1, whole: 2 });
        assert_eq!(matched.tally().precision, Share { part: 1, whole: 3 });
    }

    #[test]
    fn what_is_aside_or_in_a_region_matters_neither_way() {
        let labels = [
            Label { area: area(0.0, 0.0, 10.0, 10.0), usage: Use::Aside },
            Label { area: area(100.0, 0.0, 200.0, 100.0), usage: Use::Region },
        ];
        let aside = (0.9, area(0.0, 0.0, 10.0, 10.0));
        let inside = (0.8, area(95.0, 0.0, 115.0, 10.0));
        let again = (0.7, area(0.0, 0.0, 10.0, 10.0));
        let small = (0.6, area(300.0, 0.0, 301.0, 1.0));
        let matched = match_boxes(&[aside, inside, again, small], &labels, |area| area.size() < 5.0);
        assert_eq!(matched, Matched { boxes: vec![(0.7, false)], recall: Share::default() });
        // A label that counts is taken before one that overlaps more and does not.
        let both = [labels[0], counted(area(0.0, 0.0, 10.0, 9.0))];
        assert_eq!(match_boxes(&[aside], &both, |_| false).recall, Share { part: 1, whole: 1 });
    }

    #[test]
    fn average_precision_is_the_area_below_the_best_precision() {
        // Right, wrong, right; two labels: precision 1 up to recall 0.5, then 2/3.
        let unit = Matched { boxes: vec![(0.9, true), (0.8, false), (0.7, true)], recall: Share { part: 2, whole: 2 } };
        let ap = |units: &[Matched], weights: &[u32]| Curve::new(units).average_precision(weights);
        // 51 steps (0 to 0.50) at 1, 50 at 2/3.
        let expected = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
        assert!((ap(std::slice::from_ref(&unit), &[1]).unwrap() - expected).abs() < 1e-12);
        assert!((ap(std::slice::from_ref(&unit), &[7]).unwrap() - expected).abs() < 1e-12);
        // A picture in which nothing was found halves the recall: 26 steps at 1, 25 at 2/3.
        let missed = Matched { boxes: vec![], recall: Share { part: 0, whole: 2 } };
        let both = ap(&[unit.clone(), missed.clone()], &[1, 1]).unwrap();
        assert!((both - (26.0 + 25.0 * 2.0 / 3.0) / 101.0).abs() < 1e-12, "{both}");
        assert!((ap(&[unit, missed.clone()], &[1, 0]).unwrap() - expected).abs() < 1e-12);
        assert_eq!((ap(&[missed], &[1]), ap(&[], &[])), (Some(0.0), None));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            found in prop::collection::vec((any::<f32>(), prop::array::uniform4(any::<f64>())), 0..6),
            labels in prop::collection::vec((prop::array::uniform4(any::<f64>()), 0..3u8), 0..6),
        ) {
            let rectangle = |[left, top, right, bottom]: [f64; 4]| Area { left, top, right, bottom };
            let found: Vec<_> = found.into_iter().map(|(score, sides)| (score, rectangle(sides))).collect();
            let labels: Vec<_> = labels
                .into_iter()
                .map(|(sides, n)| Label { area: rectangle(sides), usage: [Use::Counted, Use::Aside, Use::Region][usize::from(n)] })
                .collect();
            let matched = match_boxes(&found, &labels, |_| false);
            prop_assert!(matched.boxes.len() <= found.len());
            let ap = Curve::new(&[matched]).average_precision(&[1]);
            prop_assert!(ap.is_none_or(|ap| (0.0..=1.0).contains(&ap)));
        }
    }
}
