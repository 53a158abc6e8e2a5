//! Parked mode: a vehicle that has stood for a while, where nothing happens, watches less closely.
//!
//! It is decided from what came in, so it replays. What comes of it outside, slow ticks and few pictures, is a matter of
//! [`Parking`], which replays do without.

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::ingress::Parking;
use crate::registry::Register;

/// A distance that differs by more from the one before has changed, in metres: more than range finders are off.
const CHANGED_M: f32 = 0.25;

/// From this speed on a single fix tells of motion, in m/s; `EgoMotion` waits for two.
const MOVES_MPS: f32 = 1.0;

/// Decides when the vehicle is parked.
#[derive(Resource, Clone, Copy, Debug, PartialEq)]
pub struct ParkedPlugin {
    /// How long it stands before it is; none: it never is.
    pub after: Option<Duration>,
}

impl Plugin for ParkedPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(*self).init_resource::<Parked>();
        app.state_resource::<Parked>()
            .exempt::<ParkedPlugin>("the config, which the session holds")
            .exempt::<Parking>("the outside");
        app.add_systems(Understand, judge.in_set(Insight::Parked)).add_systems(Act, tell);
    }
}

/// What may happen to a parked vehicle.
#[derive(bevy_ecs::system::SystemParam)]
pub struct Stirs<'w, 's> {
    motion: Res<'w, EgoMotion>,
    history: Res<'w, EgoHistory>,
    ranges: Query<'w, 's, (&'static StableId, &'static RangeState)>,
    voices: Query<'w, 's, &'static Voice>,
    operators: Query<'w, 's, (), With<OperatorSession>>,
    alerts: Query<'w, 's, &'static Alert>,
    commands: MessageReader<'w, 's, CommandReceived>,
}

impl Stirs<'_, '_> {
    /// What happens in this tick, if anything does.
    fn now(&mut self, distances: &[(StreamId, Option<f32>)], seen: &[(StreamId, Option<f32>)]) -> Option<Stir> {
        let commanded = self.commands.read().count() > 0;
        let fast = self.history.samples.last().is_some_and(|last| last.speed_mps >= MOVES_MPS);
        if !self.motion.standing || fast {
            Some(Stir::Motion)
        } else if commanded {
            Some(Stir::Command)
        } else if self.voices.iter().any(|voice| voice.speaking) {
            Some(Stir::Speech)
        } else if !self.operators.is_empty() {
            Some(Stir::Operator)
        } else if self.alerts.iter().any(|alert| alert.ended.is_none()) {
            Some(Stir::Alert)
        } else if !is_alike(distances, seen) {
            Some(Stir::Distance)
        } else {
            None
        }
    }
}

/// Whether range finders see what they saw.
fn is_alike(before: &[(StreamId, Option<f32>)], now: &[(StreamId, Option<f32>)]) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| {
            before.0 == now.0
                && match (before.1, now.1) {
                    (None, None) => true,
                    (Some(before), Some(now)) => (before - now).abs() <= CHANGED_M,
                    _ => false,
                }
        })
}

/// Decides whether the vehicle is parked.
pub fn judge(
    mut stirs: Stirs,
    settings: Res<ParkedPlugin>,
    clock: Res<Clock>,
    mut parked: ResMut<Parked>,
    mut notices: MessageWriter<Notice>,
) {
    let mut seen: Vec<_> = stirs.ranges.iter().map(|(id, range)| (id.stream, range.distance_m)).collect();
    seen.sort_unstable_by_key(|(stream, _)| *stream);
    let was = parked.parked;
    match stirs.now(&parked.distances, &seen) {
        Some(stir) => {
            let now = Parked { parked: false, quiet_since: None, stir: Some(stir), distances: seen };
            parked.set_if_neq(now);
        }
        None => {
            let since = parked.quiet_since.unwrap_or(clock.now);
            let is = settings.after.is_some_and(|after| clock.now.since(since) >= after);
            if parked.quiet_since.is_none() || is != was {
                (parked.quiet_since, parked.parked) = (Some(since), is);
            }
        }
    }
    if parked.parked != was {
        let text = match parked.stir.filter(|_| was) {
            Some(stir) => format!("no longer parked: {}", stir.words()),
            None if was => "no longer parked".to_owned(),
            None => "parked: one picture a second, ticks of 100 ms".to_owned(),
        };
        notices.write(Notice { level: NoticeLevel::Info, source: "parked".to_owned(), text });
    }
}

/// Tells those outside.
pub fn tell(parked: Res<Parked>, parking: Option<Res<Parking>>) {
    if let Some(parking) = parking {
        parking.set(parked.parked);
    }
}

#[cfg(test)]
mod tests {
    use bevy_ecs::message::Messages;
    use bevy_ecs::system::RunSystemOnce;

    use super::*;

    /// A vehicle that stands, with a range finder that sees a wall at 5 m, and a microphone.
    fn world() -> World {
        let mut world = World::new();
        world.insert_resource(ParkedPlugin { after: Some(Duration::from_secs(120)) });
        world.init_resource::<Parked>();
        world.init_resource::<Clock>();
        world.init_resource::<EgoHistory>();
        world.init_resource::<Messages<Notice>>();
        world.init_resource::<Messages<CommandReceived>>();
        world.insert_resource(EgoMotion { standing: true, ..EgoMotion::default() });
        world.spawn((StableId::device(StreamId(4)), RangeState { distance_m: Some(5.0), ..RangeState::default() }));
        world.spawn((StableId::device(StreamId(3)), Voice::default()));
        world
    }

    fn at(world: &mut World, seconds: f64) -> bool {
        world.resource_mut::<Clock>().now = Mono::from_secs_f64(seconds);
        world.run_system_once(judge).unwrap();
        world.resource_mut::<Messages<CommandReceived>>().clear();
        world.resource::<Parked>().parked
    }

    /// One that has been parked.
    fn parked() -> World {
        let mut world = world();
        // The first look at the wall is news.
        assert!(!at(&mut world, 0.0) && !at(&mut world, 1.0) && !at(&mut world, 120.9));
        assert!(at(&mut world, 121.0) && at(&mut world, 500.0));
        world
    }

    /// What ends it, and that it is quiet for two minutes again before it is parked again.
    fn ends(world: &mut World, stir: Stir) {
        assert!(!at(world, 501.0), "{stir:?}");
        assert_eq!(world.resource::<Parked>().stir, Some(stir));
    }

    #[test]
    fn motion_ends_it_with_the_first_fix() {
        let mut world = parked();
        let moving = EgoSample { at: Mono(1), speed_mps: 1.5, course_deg: None };
        world.resource_mut::<EgoHistory>().samples.push(moving);
        ends(&mut world, Stir::Motion);
        world.resource_mut::<EgoHistory>().samples.clear();
        assert!(!at(&mut world, 502.0) && !at(&mut world, 621.9) && at(&mut world, 622.0));
        // A receiver that tells nothing any more.
        world.resource_mut::<EgoMotion>().standing = false;
        assert!(!at(&mut world, 623.0));
    }

    #[test]
    fn a_distance_that_changes_ends_it_and_one_that_trembles_does_not() {
        let mut world = parked();
        let see = |world: &mut World, distance_m: Option<f32>| {
            world.query::<&mut RangeState>().single_mut(world).unwrap().distance_m = distance_m;
        };
        see(&mut world, Some(5.2));
        assert!(at(&mut world, 500.5));
        see(&mut world, Some(4.7));
        ends(&mut world, Stir::Distance);
        assert!(!at(&mut world, 502.0) && at(&mut world, 622.0), "the new distance is the usual one");
        see(&mut world, None);
        assert!(!at(&mut world, 623.0));
    }

    #[test]
    fn speech_operators_warnings_and_commands_end_it() {
        let mut world = parked();
        world.query::<&mut Voice>().single_mut(&mut world).unwrap().speaking = true;
        ends(&mut world, Stir::Speech);
        let mut world = parked();
        let session = OperatorSession {
            started: Mono(0),
            last_heard: Mono(0),
            may_talk: false,
            via: Signalling::Http,
            state: OperatorState::Connected,
            camera: None,
            size: PictureSize::Full,
            size_since: Mono(0),
            audio: false,
            link: OperatorLink::default(),
            wants_keyframe: false,
            keyframe_at: None,
            level_dbfs: None,
            ended: None,
        };
        world.spawn((StableId::device(StreamId(9)), session));
        ends(&mut world, Stir::Operator);
        let mut world = parked();
        let alert = Alert {
            kind: AlertKind::MovingOff,
            level: AlertLevel::Caution,
            started: Mono(0),
            text: String::new(),
            evidence: Vec::new(),
            ended: None,
        };
        world.spawn((StableId::new(StreamId(9), 1), alert));
        ends(&mut world, Stir::Alert);
        let mut world = parked();
        world.write_message(CommandReceived {
            id: "1".to_owned(),
            name: "ping".to_owned(),
            expires_ns: None,
            again: false,
            action: Ok(Action::Ping),
        });
        ends(&mut world, Stir::Command);
    }

    #[test]
    fn it_may_be_switched_off() {
        let mut world = parked();
        world.insert_resource(ParkedPlugin { after: None });
        assert!(!at(&mut world, 501.0));
        assert!(!at(&mut world, 9999.0));
    }

    #[test]
    fn those_outside_are_told() {
        let mut world = parked();
        let parking = Parking::default();
        world.run_system_once(tell).unwrap();
        world.insert_resource(parking.clone());
        world.run_system_once(tell).unwrap();
        assert!(parking.is_parked());
    }
}
