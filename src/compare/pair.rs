//! Two sessions side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use bevy_ecs::prelude::*;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use waywarden_components::prelude::*;
use waywarden_systems::registry::{Registry, Treatment};
use waywarden_systems::session::SessionInfo;

use super::side::{Done, Key, Side, Tick, same_inputs, same_streams};
use super::values::{Difference, differences};
use super::{BOOKKEEPING, FieldCount, KindCount};
use crate::app::{self, Parts};
use crate::config::Config;
use crate::failure::Failure;

/// Moments that are kept.
const MOMENTS: usize = 10;
/// Moments nearer to each other than this are one, in seconds.
const MOMENT_S: f64 = 0.5;
/// How long a finding of one run waits for that of the other, in ticks.
const PATIENCE: u64 = 6000;

/// What counts as a difference.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Largest difference that is let pass, by kind (`lane_estimate`) or field (`lane_estimate.geometry.offset_m`); the
    /// longest name that fits counts. 0 where none does.
    pub tolerances: BTreeMap<String, f64>,
    /// Kinds that are not looked at.
    pub ignored: BTreeSet<String>,
    /// Looks at the app's bookkeeping as well, see [`BOOKKEEPING`].
    pub bookkeeping: bool,
}

impl Limits {
    fn tolerance(&self, kind: &str, path: &str) -> f64 {
        let name = if path.is_empty() { kind.to_owned() } else { format!("{kind}.{path}") };
        let fits =
            |key: &&String| name.strip_prefix(key.as_str()).is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']));
        let longest = self.tolerances.keys().filter(fits).max_by_key(|key| key.len());
        longest.and_then(|key| self.tolerances.get(key)).copied().unwrap_or_default()
    }

    fn looks_at(&self, kind: &str) -> bool {
        !self.ignored.contains(kind) && (self.bookkeeping || !BOOKKEEPING.contains(&kind))
    }
}

/// A moment in which the two differ.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// Its tick.
    pub tick: u64,
    /// Seconds after the first tick that both have.
    pub at_s: f64,
    /// The frame, if it is about one: its stable id.
    pub frame: Option<String>,
    /// How much everything in it differs, measures weighed against each other: for the order only.
    pub score: f64,
    /// What differs: kind, field, amount, largest first.
    pub what: Vec<(String, String, f64)>,
    /// The picture of that moment.
    #[serde(skip)]
    pub picture: Option<Picture>,
}

/// A frame, and what the two found in it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The camera's JPEG.
    pub jpeg: Bytes,
    /// Findings of the first run by kind, as JSON.
    pub a: BTreeMap<String, Value>,
    /// Those of the second.
    pub b: BTreeMap<String, Value>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// What the sessions say of themselves.
    pub info: Vec<SessionInfo>,
    /// Ticks in both.
    pub ticks: u64,
    /// Of them, those whose digests are equal.
    pub equal_digests: u64,
    /// Ticks that only the first session has, in between.
    pub only_a: u64,
    /// Ticks that only the second one has, in between.
    pub only_b: u64,
    /// Seconds compared.
    pub seconds: f64,
    /// By kind; kinds without any value are missing.
    pub kinds: BTreeMap<String, KindCount>,
    /// The moments in which they differ most, worst first.
    pub moments: Vec<Moment>,
}

impl Compared {
    /// Whether nothing at all differs.
    pub fn same(&self) -> bool {
        self.only_a + self.only_b == 0 && self.kinds.values().all(|kind| kind.differ + kind.only_a + kind.only_b == 0)
    }

    /// Whether anything is beyond the tolerance.
    pub fn beyond(&self) -> bool {
        self.only_a + self.only_b > 0 || self.kinds.values().any(KindCount::beyond)
    }
}

/// Compares two sessions of one drive. `progress` is told the bytes of samples read with each tick, and says whether to go
/// on; what was read until then is what is compared.
///
/// # Errors
/// When one cannot be read, holds no findings, or they are not of one drive.
pub fn compare(
    a: &Path,
    b: &Path,
    limits: &Limits,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Compared, Failure> {
    let (mut a, mut b) = (Side::open(a)?, Side::open(b)?);
    same_streams(&a, &b)?;
    let mut pair = Pair::new(limits);
    let mut begun = false;
    while let (Some(x), Some(y)) = (&a.next, &b.next) {
        match x.tick().cmp(&y.tick()) {
            std::cmp::Ordering::Less => {
                pair.compared.only_a += u64::from(begun);
                let tick = a.take()?;
                a.apply(tick.changes(), true);
            }
            std::cmp::Ordering::Greater => {
                pair.compared.only_b += u64::from(begun);
                let tick = b.take()?;
                b.apply(tick.changes(), true);
            }
            std::cmp::Ordering::Equal => {
                begun = true;
                let (x, y) = (a.take()?, b.take()?);
                same_inputs(&a, &b, &x.incoming, &y.incoming)?;
                pair.tick(&mut a, &mut b, &x, &y);
                if progress(x.incoming.inputs.iter().map(|input| input.payload.weight() as u64).sum()).is_break() {
                    break;
                }
            }
        }
    }
    if !begun {
        return Err(Failure::bad_input(format!("{} and {} have no tick in common", a.name(), b.name()))
            .hint("compare two replays of the same piece of one drive"));
    }
    pair.end(&mut a, &mut b);
    for side in [&a, &b] {
        if side.outputs == 0 {
            let hint = format!("waywarden replay {} --out replayed.mcap, then compare that", side.name());
            return Err(Failure::bad_input(format!("{}: holds no findings to compare", side.name())).hint(hint));
        }
    }
    pair.compared.info = vec![a.reader.info().clone(), b.reader.info().clone()];
    Ok(pair.compared)
}

/// A frame that came in.
struct Seen {
    tick: u64,
    now: Mono,
    jpeg: Bytes,
}

/// The comparison as it goes on.
struct Pair<'a> {
    limits: &'a Limits,
    /// Knows the kinds.
    kinds: World,
    compared: Compared,
    first: Option<Mono>,
    now: Mono,
    tick: u64,
    /// Pictures of frames that are not done with.
    pictures: BTreeMap<StableId, Seen>,
    /// The newest picture.
    latest: Option<Bytes>,
}

impl<'a> Pair<'a> {
    fn new(limits: &'a Limits) -> Self {
        let mut app = app::build(&Config::default(), &[], Parts::idle());
        Self {
            limits,
            kinds: std::mem::take(app.world_mut()),
            compared: Compared::default(),
            first: None,
            now: Mono::default(),
            tick: 0,
            pictures: BTreeMap::new(),
            latest: None,
        }
    }

    fn is_message(&self, kind: &str) -> bool {
        let entry = self.kinds.resource::<Registry>().get(kind);
        entry.is_some_and(|entry| entry.treatment == Treatment::Message)
    }

    /// A value as JSON. What this build does not know as a kind is decoded as it comes.
    fn describe(&self, kind: &str, value: &[u8]) -> Value {
        let known = self.kinds.resource::<Registry>().describe(kind, value).ok();
        let decoded = known.or_else(|| rmp_serde::from_slice(value).ok());
        decoded.unwrap_or_else(|| Value::from(format!("{value:02x?}")))
    }

    fn tick(&mut self, a: &mut Side, b: &mut Side, x: &Tick, y: &Tick) {
        self.now = x.incoming.now;
        self.tick = x.incoming.tick;
        let first = *self.first.get_or_insert(self.now);
        self.compared.ticks += 1;
        self.compared.seconds = self.now.since(first).as_secs_f64();
        if let (Some(x), Some(y)) = (&x.outputs, &y.outputs) {
            self.compared.equal_digests += u64::from(x.digest == y.digest);
        }
        for input in &x.incoming.inputs {
            if let Payload::Frame(jpeg) = &input.payload {
                let id = StableId::new(input.stream, input.seq);
                self.pictures.insert(id, Seen { tick: self.tick, now: self.now, jpeg: jpeg.clone() });
                self.latest = Some(jpeg.clone());
            }
        }
        let mut moment = Differing::default();
        self.messages(x, y, &mut moment);
        let changed = self.changed(a, x).into_iter().chain(self.changed(b, y)).collect::<BTreeSet<_>>();
        for key in changed {
            let (x, y) = (a.live.get(&key), b.live.get(&key));
            self.values(&key.0, x.map(Vec::as_slice), y.map(Vec::as_slice), &mut moment);
        }
        self.keep(moment, None, (BTreeMap::new(), BTreeMap::new()));
        self.samples(a, b, false);
    }

    /// Applies what changed in a tick: samples that are gone are put aside. Gives the state that changed.
    fn changed(&self, side: &mut Side, tick: &Tick) -> Vec<Key> {
        let mut states = Vec::new();
        for change in tick.changes() {
            if !self.limits.looks_at(&change.kind) || self.is_message(&change.kind) {
                continue;
            }
            let key = (change.kind.to_string(), change.id);
            if change.id.seq == 0 {
                states.push(key);
            } else if change.value.is_none()
                && !side.foreign.contains(&key)
                && let Some(value) = side.live.get(&key)
            {
                side.done.insert(key, Done { value: value.clone(), tick: tick.tick() });
            }
        }
        side.apply(tick.changes().iter().filter(|change| !self.is_message(&change.kind)), false);
        states
    }

    fn messages(&mut self, x: &Tick, y: &Tick, moment: &mut Differing) {
        let of = |pair: &Self, tick: &Tick| -> BTreeMap<Key, Vec<u8>> {
            let messages = tick
                .changes()
                .iter()
                .filter(|change| pair.limits.looks_at(&change.kind) && pair.is_message(&change.kind));
            messages
                .map(|change| ((change.kind.to_string(), change.id), change.value.clone().unwrap_or_default()))
                .collect()
        };
        let (a, b) = (of(self, x), of(self, y));
        let keys: BTreeSet<&Key> = a.keys().chain(b.keys()).collect();
        for key in keys {
            self.values(&key.0, a.get(key).map(Vec::as_slice), b.get(key).map(Vec::as_slice), moment);
        }
    }

    /// Compares findings about samples that both runs are done with, and with `all` also those that one never had.
    fn samples(&mut self, a: &mut Side, b: &mut Side, all: bool) {
        let mut ready: BTreeMap<StableId, Vec<Key>> = BTreeMap::new();
        for (one, other) in [(&*a, &*b), (&*b, &*a)] {
            for (key, done) in &one.done {
                let over = all || self.tick.saturating_sub(done.tick) > PATIENCE;
                if over || other.done.contains_key(key) {
                    ready.entry(key.1).or_default().push(key.clone());
                }
            }
        }
        for (id, mut keys) in ready {
            keys.sort();
            keys.dedup();
            let mut moment = Differing::default();
            let mut seen = (BTreeMap::new(), BTreeMap::new());
            for key in &keys {
                let (x, y) = (a.done.remove(key), b.done.remove(key));
                let differs = self.values(
                    &key.0,
                    x.as_ref().map(|done| done.value.as_slice()),
                    y.as_ref().map(|done| done.value.as_slice()),
                    &mut moment,
                );
                // Descriptions are for pictures alone.
                if differs
                    || self.pictures.contains_key(&id) && ["lane_estimate", "detections"].contains(&key.0.as_str())
                {
                    seen.0.extend(x.map(|done| (key.0.clone(), self.describe(&key.0, &done.value))));
                    seen.1.extend(y.map(|done| (key.0.clone(), self.describe(&key.0, &done.value))));
                }
            }
            self.keep(moment, Some(id), seen);
        }
        let tick = self.tick;
        self.pictures.retain(|id, seen| {
            let waits = |side: &Side| {
                side.live.contains_key(&("stamp".to_owned(), *id)) || side.done.keys().any(|key| key.1 == *id)
            };
            seen.tick == tick || waits(a) || waits(b)
        });
    }

    /// Counts two values of one kind, of which either may be missing. Says whether they differ.
    fn values(&mut self, kind: &str, x: Option<&[u8]>, y: Option<&[u8]>, moment: &mut Differing) -> bool {
        let (x, y) = match (x, y) {
            (None, None) => return false,
            (Some(x), Some(y)) => (x, y),
            (one, _) => {
                let count = self.compared.kinds.entry(kind.to_owned()).or_default();
                count.compared += 1;
                if one.is_some() {
                    count.only_a += 1
                } else {
                    count.only_b += 1
                }
                let path = if one.is_some() { "only in the first" } else { "only in the second" };
                moment.add(kind, &Difference { path: path.into(), amount: 1.0, measure: super::Measure::Other }, 0.0);
                return true;
            }
        };
        let found = if x == y { Vec::new() } else { differences(&self.describe(kind, x), &self.describe(kind, y)) };
        let count = self.compared.kinds.entry(kind.to_owned()).or_default();
        count.compared += 1;
        count.differ += u64::from(!found.is_empty());
        for difference in &found {
            let tolerance = self.limits.tolerance(kind, &difference.path);
            count.fields.entry(difference.path.clone()).or_default().add(difference, tolerance);
            moment.add(kind, difference, tolerance);
        }
        !found.is_empty()
    }

    fn keep(
        &mut self,
        moment: Differing,
        id: Option<StableId>,
        (a, b): (BTreeMap<String, Value>, BTreeMap<String, Value>),
    ) {
        if moment.score <= 0.0 {
            return;
        }
        let own = id.and_then(|id| Some((id, self.pictures.get(&id)?)));
        let (tick, now) = own.map_or((self.tick, self.now), |(_, seen)| (seen.tick, seen.now));
        let jpeg = own.map(|(_, seen)| &seen.jpeg).or(self.latest.as_ref());
        let picture = jpeg.map(|jpeg| Picture { jpeg: jpeg.clone(), a, b });
        let frame = own.map(|(id, _)| id.to_string());
        let mut what = moment.what;
        what.sort_by(|x, y| y.3.total_cmp(&x.3));
        let moment = Moment {
            tick,
            at_s: now.since(self.first.unwrap_or(now)).as_secs_f64(),
            frame,
            score: moment.score,
            what: what.into_iter().take(6).map(|(kind, path, amount, _)| (kind, path, amount)).collect(),
            picture,
        };
        let moments = &mut self.compared.moments;
        // Neighbours show the same thing: the worst of them stands for all.
        let near = moments.iter().position(|other| (other.at_s - moment.at_s).abs() < MOMENT_S);
        match near {
            Some(at) if moments[at].score < moment.score => moments[at] = moment,
            Some(_) => {}
            None => moments.push(moment),
        }
        moments.sort_by(|x, y| y.score.total_cmp(&x.score).then(x.tick.cmp(&y.tick)));
        moments.truncate(MOMENTS);
    }

    /// Compares what is left: samples that were in the world at the end.
    fn end(&mut self, a: &mut Side, b: &mut Side) {
        for side in [&mut *a, &mut *b] {
            let tick = self.tick;
            for (key, value) in std::mem::take(&mut side.live) {
                let looked_at = self.limits.looks_at(&key.0) && !self.is_message(&key.0);
                if key.1.seq > 0 && looked_at && !side.foreign.contains(&key) {
                    side.done.insert(key, Done { value, tick });
                }
            }
        }
        // One session may go on where the other has ended: what only that one has is not a difference.
        if a.next.is_some() || b.next.is_some() {
            let shared: BTreeSet<Key> = a.done.keys().filter(|key| b.done.contains_key(*key)).cloned().collect();
            a.done.retain(|key, _| shared.contains(key));
            b.done.retain(|key, _| shared.contains(key));
        }
        self.samples(a, b, true);
        for kind in self.compared.kinds.values_mut() {
            for field in kind.fields.values_mut() {
                field.mean = field.sum / field.differ.max(1) as f64;
            }
        }
    }
}

impl FieldCount {
    fn add(&mut self, difference: &Difference, tolerance: f64) {
        self.differ += 1;
        self.beyond += u64::from(difference.amount > tolerance);
        self.largest = self.largest.max(difference.amount);
        self.sum += difference.amount;
        self.measure = Some(difference.measure);
    }
}

/// What differs in one moment: kind, field, amount, share of the score.
#[derive(Default)]
struct Differing {
    score: f64,
    what: Vec<(String, String, f64, f64)>,
}

impl Differing {
    fn add(&mut self, kind: &str, difference: &Difference, tolerance: f64) {
        if difference.amount <= tolerance {
            return;
        }
        // No single field drowns the others.
        let share = (difference.amount / difference.measure.scale()).min(2.0);
        self.score += share;
        self.what.push((kind.to_owned(), difference.path.clone(), difference.amount, share));
    }
}
