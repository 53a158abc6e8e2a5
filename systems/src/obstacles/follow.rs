//! From boxes to obstacles that are followed: tracks with distances and speeds.

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;
use waywarden_perception::ranging::RangeAt;

use crate::emit::Emit;
use crate::following::{FollowSettings, Followed, Following, View};

/// An estimate of a lane older than this tells nobody what is in the path.
const LANE_AGE_S: f64 = 0.6;

/// What is known of a camera besides its boxes.
type Watching<'w, 's> = Query<
    'w,
    's,
    (
        &'static StableId,
        &'static Camera,
        &'static Fresh,
        &'static Gate,
        &'static EgoLane,
        &'static LaneTracker,
        &'static Obstacles,
    ),
>;

/// Follows what was found, and keeps the tracks.
pub fn follow(
    cameras: Watching,
    ranges: Query<(&StableId, &Fresh, &RangeState), With<RangeSensor>>,
    (motion, settings, clock): (Res<EgoMotion>, Res<FollowSettings>, Res<Clock>),
    mut following: ResMut<Following>,
    mut tracks: Query<(&StableId, &mut Track)>,
    mut emit: Emit<Track>,
) {
    let range = first_range(&ranges);
    let mut all: Vec<_> = cameras.iter().filter(|(_, camera, ..)| camera.role == CameraRole::Front).collect();
    all.sort_unstable_by_key(|(id, ..)| **id);
    for (id, camera, fresh, gate, lane, tracker, obstacles) in all {
        let known = following.0.get(&id.stream);
        let is_new =
            obstacles.captured.is_some_and(|at| known.and_then(Followed::captured).is_none_or(|last| last < at));
        let has_any = known.is_some_and(Followed::has_any);
        if fresh.0 && is_new {
            let followed = following.0.entry(id.stream).or_default();
            let lane = lane.captured.filter(|at| age_s(clock.now, *at) < LANE_AGE_S).and(lane.estimate.geometry);
            let view = View { camera, size: gate.size, tracker, lane, motion: &motion, range, now: clock.now };
            followed.take(obstacles, &view, &settings);
        } else if !fresh.0 && has_any {
            following.0.entry(id.stream).or_default().forget();
        } else {
            continue;
        }
        if let Some(followed) = following.0.get(&id.stream) {
            keep(id.stream, followed, &settings, &mut tracks, &mut emit);
        }
    }
}

/// The newest reading of the first range finder that can be relied on.
fn first_range(ranges: &Query<(&StableId, &Fresh, &RangeState), With<RangeSensor>>) -> Option<RangeAt> {
    let (_, _, state) = ranges.iter().filter(|(_, fresh, _)| fresh.0).min_by_key(|(id, ..)| **id)?;
    Some(RangeAt { at: state.last_valid?, distance_m: state.distance_m?.into() })
}

fn age_s(now: Mono, at: Mono) -> f64 {
    now.since(at).as_secs_f64()
}

/// Makes the tracks of a camera what its tracker says: confirmed things, each as it was in the frame in which it was last
/// seen.
fn keep(
    camera: StreamId,
    followed: &Followed,
    settings: &FollowSettings,
    tracks: &mut Query<(&StableId, &mut Track)>,
    emit: &mut Emit<Track>,
) {
    let stream = StreamId::tracks_of(camera);
    let mut confirmed = followed.confirmed();
    for (id, mut track) in tracks.iter_mut().filter(|(id, _)| id.stream == stream) {
        match confirmed.remove(&id.seq) {
            Some(tracked) if tracked.last_seen == track.last_seen => {}
            Some(tracked) => {
                if let Some(now) = followed.as_track(&tracked, &settings.ranging) {
                    *track = now;
                }
            }
            None => track.lost = true,
        }
    }
    for (number, tracked) in confirmed {
        if let Some(track) = followed.as_track(&tracked, &settings.ranging) {
            emit.spawn((StableId::new(stream, number), track));
        }
    }
}

#[cfg(test)]
mod tests;
