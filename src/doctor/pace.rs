//! Whether models keep the rates that the config asks for, and which ones would.

use std::collections::BTreeMap;

use waywarden_components::prelude::JobRole;

/// The part of the time of its threads that models may take: the rest is for decoding, recording, and hot days.
pub const SHARE: f64 = 0.8;

/// A model, and how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name.
    pub model: String,
    /// Milliseconds of a run, with decoding the picture. None: it could not be measured.
    pub ms: Option<f64>,
}

/// What is asked of the models of a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Pictures a second, of all cameras together.
    pub hz: f64,
    /// The model of the config, which has been measured.
    pub now: Measured,
    /// Others that could do it, the best first, the quickest last.
    pub others: Vec<Measured>,
}

/// What there is to compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Models that may run at the same time.
    pub jobs: u32,
    /// Threads of a model.
    pub model: u32,
    /// Cores of the computer.
    pub cores: u32,
}

impl Threads {
    /// How many models run at the same time without slowing each other down.
    fn side_by_side(self) -> f64 {
        f64::from(self.jobs.max(1)).min(f64::from(self.cores.max(1)) / f64::from(self.model.max(1))).max(1.0)
    }
}

/// What would do.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    /// The rates are kept.
    Kept,
    /// Other models of these roles keep the rates.
    Change(BTreeMap<JobRole, Measured>),
    /// Others may keep them: they are quicker, but not all of them are here to be measured.
    Try(BTreeMap<JobRole, Measured>),
    /// The quickest are not quick enough.
    Slow {
        /// Those that are quicker than what there is; empty if none is.
        change: BTreeMap<JobRole, Measured>,
        /// By how much the rates have to go down all the same, as a factor below 1.
        rates: f64,
    },
}

/// Of the time that there is, the part that the models take: above 1 the rates are not kept. None without a measurement.
///
/// One job of a role runs at a time, so each role alone has to fit too.
pub fn load<'a>(chosen: impl IntoIterator<Item = (f64, &'a Measured)>, threads: Threads) -> Option<f64> {
    let (mut all, mut most) = (0.0, 0.0_f64);
    for (hz, model) in chosen {
        let busy = hz * model.ms? / 1000.0;
        all += busy;
        most = most.max(busy);
    }
    Some(most.max(all / threads.side_by_side()) / SHARE)
}

/// What to do so that the rates are kept: as few changes as possible, and of these the best models.
pub fn advise(demands: &BTreeMap<JobRole, Demand>, threads: Threads) -> Advice {
    let mut sets = vec![Vec::new()];
    for demand in demands.values() {
        let options = || std::iter::once(&demand.now).chain(&demand.others).enumerate();
        let longer = |set: &Vec<usize>| options().map(|(at, _)| [&set[..], &[at]].concat()).collect::<Vec<_>>();
        sets = sets.iter().flat_map(longer).collect();
    }
    // What is now comes first; of as many changes those that are least far down the lists.
    sets.sort_by_key(|set| (set.iter().filter(|&&at| at > 0).count(), set.iter().sum::<usize>(), set.clone()));
    let models = |set: &[usize]| -> Vec<(JobRole, f64, &Measured)> {
        let chosen = demands.iter().zip(set).map(|((role, demand), &at)| {
            let other = at.checked_sub(1).and_then(|at| demand.others.get(at));
            (*role, demand.hz, other.unwrap_or(&demand.now))
        });
        chosen.collect()
    };
    let load_of = |set: &[usize]| load(models(set).into_iter().map(|(_, hz, model)| (hz, model)), threads);
    let changes = |set: &[usize]| -> BTreeMap<JobRole, Measured> {
        let changed = models(set).into_iter().zip(set).filter(|(_, at)| **at > 0);
        changed.map(|((role, _, model), _)| (role, model.clone())).collect()
    };
    if let Some(set) = sets.iter().find(|set| load_of(set).is_some_and(|load| load <= 1.0)) {
        let changes = changes(set);
        return if changes.is_empty() { Advice::Kept } else { Advice::Change(changes) };
    }
    let fast: Vec<usize> = demands.values().map(|demand| demand.others.len()).collect();
    if load_of(&fast).is_none() {
        return Advice::Try(changes(&fast));
    }
    let loads = sets.iter().filter_map(|set| Some((load_of(set)?, set)));
    match loads.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((load, set)) if load > 1.0 => Advice::Slow { change: changes(set), rates: 1.0 / load },
        _ => Advice::Kept,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: Threads = Threads { jobs: 1, model: 1, cores: 4 };
    const TWO: Threads = Threads { jobs: 2, model: 1, cores: 4 };

    fn model(name: &str, ms: impl Into<Option<f64>>) -> Measured {
        Measured { model: name.to_owned(), ms: ms.into() }
    }

    /// 10 Hz of each: lanes of these milliseconds, now and with the quick model; boxes likewise, with two others.
    fn demands(lanes: (f64, Option<f64>), boxes: (f64, Option<f64>, Option<f64>)) -> BTreeMap<JobRole, Demand> {
        let segmentation = Demand { hz: 10.0, now: model("twin", lanes.0), others: vec![model("plus", lanes.1)] };
        let others = vec![model("nano", boxes.1), model("fast", boxes.2)];
        let detection = Demand { hz: 10.0, now: model("yolox", boxes.0), others };
        [(JobRole::Segmentation, segmentation), (JobRole::Detection, detection)].into()
    }

    fn names(changes: &BTreeMap<JobRole, Measured>) -> Vec<(JobRole, &str)> {
        changes.iter().map(|(role, model)| (*role, model.model.as_str())).collect()
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(advise(&demands((60.0, None), (20.0, None, None)), ONE), Advice::Kept);
        assert_eq!(advise(&BTreeMap::new(), ONE), Advice::Kept);
        // A second thread helps both together, but none alone.
        assert_eq!(advise(&demands((79.0, None), (79.0, None, None)), TWO), Advice::Kept);
        assert_ne!(advise(&demands((81.0, None), (5.0, None, None)), TWO), Advice::Kept);
        // Two threads on one core are one.
        let crowded = Threads { cores: 1, ..TWO };
        assert_ne!(advise(&demands((79.0, None), (79.0, None, None)), crowded), Advice::Kept);
        let wide = Threads { model: 4, ..TWO };
        assert_ne!(advise(&demands((79.0, None), (79.0, None, None)), wide), Advice::Kept);
    }

    #[test]
    fn as_little_as_possible_is_changed() {
        let change = |demands| match advise(&demands, ONE) {
            Advice::Change(change) => names(&change).into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(change(demands((120.0, Some(36.0)), (16.0, Some(22.0), Some(6.0)))), ["plus"]);
        assert_eq!(change(demands((50.0, Some(45.0)), (60.0, Some(25.0), Some(10.0)))), ["nano"]);
        // What is not here is not needed.
        assert_eq!(change(demands((50.0, None), (60.0, Some(25.0), None))), ["nano"]);
        assert_eq!(change(demands((50.0, Some(45.0)), (60.0, None, Some(10.0)))), ["fast"]);
        let both = change(demands((200.0, Some(60.0)), (40.0, Some(30.0), Some(10.0))));
        assert_eq!(both, ["plus", "fast"]);
    }

    #[test]
    fn what_is_not_here_can_be_tried() {
        let Advice::Try(change) = advise(&demands((120.0, None), (35.0, None, None)), ONE) else { panic!() };
        assert_eq!(names(&change), [(JobRole::Segmentation, "plus"), (JobRole::Detection, "fast")]);
        let Advice::Try(change) = advise(&demands((120.0, Some(90.0)), (35.0, Some(30.0), None)), ONE) else {
            panic!()
        };
        assert_eq!(change[&JobRole::Segmentation].ms, Some(90.0));
        assert_eq!(change[&JobRole::Detection].ms, None);
    }

    #[test]
    fn where_nothing_is_quick_enough_rates_go_down() {
        let slow = advise(&demands((400.0, Some(100.0)), (100.0, Some(80.0), Some(60.0))), ONE);
        let Advice::Slow { change, rates } = slow else { panic!("{slow:?}") };
        assert_eq!(names(&change), [(JobRole::Segmentation, "plus"), (JobRole::Detection, "fast")]);
        // 160 ms ten times a second, in 0.8 of the time.
        assert!((rates - 0.5).abs() < 1e-9, "{rates}");
        // No other model, or none that is quicker.
        let alone = Demand { hz: 10.0, now: model("own", 160.0), others: Vec::new() };
        let Advice::Slow { change, rates } = advise(&[(JobRole::Detection, alone)].into(), ONE) else { panic!() };
        assert!(change.is_empty() && (rates - 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn what_is_advised_keeps_its_promise(
            lanes in (1.0f64..500.0, prop::option::of(1.0f64..500.0)),
            boxes in (1.0f64..500.0, prop::option::of(1.0f64..500.0), prop::option::of(1.0f64..500.0)),
            jobs in 1u32..4,
        ) {
            let threads = Threads { jobs, model: 1, cores: 4 };
            let demands = demands(lanes, boxes);
            let load_with = |change: &BTreeMap<JobRole, Measured>| {
                load(demands.iter().map(|(role, demand)| (demand.hz, change.get(role).unwrap_or(&demand.now))), threads)
            };
            let now = load_with(&BTreeMap::new()).unwrap();
            match advise(&demands, threads) {
                Advice::Kept => prop_assert!(now <= 1.0),
                Advice::Change(change) => prop_assert!(now > 1.0 && load_with(&change).unwrap() <= 1.0),
                Advice::Try(change) => prop_assert!(now > 1.0 && load_with(&change).is_none()),
                Advice::Slow { change, rates } => {
                    prop_assert!(now > 1.0 && rates < 1.0);
                    prop_assert!((load_with(&change).unwrap() * rates - 1.0).abs() < 1e-9);
                    prop_assert!(load_with(&change).unwrap() <= now);
                }
            }
        }
    }
}
