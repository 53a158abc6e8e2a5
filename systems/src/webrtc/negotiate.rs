//! Decides about operators: who may watch, who makes room, who gets which pictures, who is heard.

use std::time::Duration;

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use super::WebRtcPlugin;
use crate::emit::Emit;

/// Who was not heard of for so long is gone.
const UNHEARD: Duration = Duration::from_secs(10);

/// Least time between two pictures that stand alone of one encoding: they cost many times as much as others.
const KEYFRAMES: Duration = Duration::from_millis(300);

/// A voice that has not come in for so long has ended, whatever was said of it.
const SPEECHLESS: Duration = Duration::from_secs(2);

/// How long a link that did not carry the full pictures gets the small ones at least.
const SMALL_FOR: Duration = Duration::from_secs(20);

/// Shares of the best link's rate, in percent: below the first a link holds back the others and gets the small pictures,
/// above the second it gets the full ones again.
const SHARES: (u64, u64) = (50, 75);

/// Why nobody sees the inside of the vehicle.
const PRIVATE: &str = "privacy is on: nobody is watched inside of the vehicle";

/// The sessions that there are.
type Sessions<'w, 's> = Query<'w, 's, (&'static StableId, &'static mut OperatorSession)>;

/// Hears what has come of operators, and decides.
pub fn negotiate(
    mut said: MessageReader<OperatorSaid>,
    mut sessions: Sessions,
    cameras: Query<(&StableId, &Camera)>,
    (plugin, switches, clock): (Res<WebRtcPlugin>, Res<Switches>, Res<Clock>),
    mut talk: ResMut<OperatorTalk>,
    mut emit: Emit<OperatorSession>,
    mut orders: MessageWriter<OperatorOrder>,
) {
    let mut order = |session: u64, deed: OperatorDeed| {
        orders.write(OperatorOrder { session, deed });
    };
    // Those of this tick are there from the next phase on.
    let mut new: Vec<u64> = Vec::new();
    for OperatorSaid { session, at, event } in said.read() {
        if let OperatorEvent::Offered(offer) = event {
            match judge(offer, &plugin, &switches, &cameras) {
                Ok(camera) => {
                    make_room(&mut sessions, &mut new, plugin.sessions, &mut order);
                    let accepted = accepted(offer, camera, &plugin, *at);
                    let (audio, talk) = (accepted.audio, accepted.may_talk);
                    order(*session, OperatorDeed::Accept { camera, audio, talk });
                    emit.spawn((StableId::new(StreamId::OPERATORS, *session), accepted));
                    new.push(*session);
                }
                Err(why) => order(*session, OperatorDeed::Refuse(why)),
            }
            continue;
        }
        let known = sessions.iter_mut().find(|(id, known)| id.seq == *session && known.ended.is_none());
        let Some((_, mut known)) = known else { continue };
        known.last_heard = *at;
        hear(*session, &mut known, event, *at, &mut talk, &mut order);
    }
    let now = clock.now;
    let inside = |camera: StreamId| cameras.iter().any(|(id, known)| id.stream == camera && is_inside(known));
    for (id, mut session) in sessions.iter_mut().sort::<&StableId>() {
        // Whoever watched would keep the last picture on the screen.
        let private = switches.privacy && session.camera.is_some_and(inside);
        if let Some(why) = over(&session, &plugin, private, now) {
            session.ended = Some(why.clone());
            order(id.seq, OperatorDeed::Close(why));
        }
    }
    end_speech(&mut sessions, &mut talk, &plugin, now, &mut order);
    choose_sizes(&mut sessions, now, &mut order);
    order_keyframes(&mut sessions, now, &mut order);
}

/// The camera that an offer asks for; none where it wants no pictures.
///
/// # Errors
/// Why it is refused.
fn judge(
    offer: &OperatorOffer,
    plugin: &WebRtcPlugin,
    switches: &Switches,
    cameras: &Query<(&StableId, &Camera)>,
) -> Result<Option<StreamId>, String> {
    if !plugin.enabled || plugin.sessions == 0 {
        return Err("nobody may watch: webrtc.enabled is false".to_owned());
    }
    if !offer.video {
        return Ok(None);
    }
    let wanted = match &offer.camera {
        Some(name) => plugin.names.iter().find(|(_, known)| known == name).map(|(stream, _)| *stream),
        None => {
            let usual = cameras.iter().min_by_key(|(id, camera)| (camera.role != CameraRole::Front, id.stream));
            usual.map(|(id, _)| id.stream)
        }
    };
    let found = cameras.iter().find(|(id, _)| Some(id.stream) == wanted);
    let Some((id, camera)) = found else {
        return Err(match &offer.camera {
            Some(name) => format!("there is no camera `{}`", name.escape_debug()),
            None => "there is no camera".to_owned(),
        });
    };
    if is_inside(camera) && switches.privacy {
        return Err(PRIVATE.to_owned());
    }
    Ok(Some(id.stream))
}

/// Whether a camera sees people inside of the vehicle.
fn is_inside(camera: &Camera) -> bool {
    camera.role == CameraRole::Cabin
}

fn accepted(offer: &OperatorOffer, camera: Option<StreamId>, plugin: &WebRtcPlugin, at: Mono) -> OperatorSession {
    OperatorSession {
        started: at,
        last_heard: at,
        may_talk: offer.talk && plugin.loudspeaker,
        via: offer.via,
        state: OperatorState::Offered,
        camera,
        size: PictureSize::Full,
        size_since: at,
        audio: offer.audio && plugin.audio,
        link: OperatorLink::default(),
        wants_keyframe: false,
        keyframe_at: None,
        level_dbfs: None,
        ended: None,
    }
}

/// Ends the oldest sessions until there is room for one more.
fn make_room(sessions: &mut Sessions, new: &mut Vec<u64>, most: usize, order: &mut impl FnMut(u64, OperatorDeed)) {
    let why = "somebody else watches instead: there is room for so many at a time (webrtc.sessions)";
    loop {
        let there = sessions.iter().filter(|(_, session)| session.ended.is_none());
        if there.clone().count() + new.len() < most {
            return;
        }
        let oldest = there.min_by_key(|(id, session)| (session.started, **id)).map(|(id, _)| *id);
        let gone = sessions.iter_mut().find(|(id, _)| Some(**id) == oldest);
        match gone {
            Some((id, mut session)) => {
                session.ended = Some(why.to_owned());
                order(id.seq, OperatorDeed::Close(why.to_owned()));
            }
            // All of them came in this tick. Their entities are yet to be spawned, and are closed for want of a connection.
            None if !new.is_empty() => {
                let first = new.remove(0);
                order(first, OperatorDeed::Close(why.to_owned()));
            }
            None => return,
        }
    }
}

/// What an event means for its session.
fn hear(
    number: u64,
    session: &mut OperatorSession,
    event: &OperatorEvent,
    at: Mono,
    talk: &mut OperatorTalk,
    order: &mut impl FnMut(u64, OperatorDeed),
) {
    match event {
        OperatorEvent::Offered(_) => {}
        OperatorEvent::Connected => session.state = OperatorState::Connected,
        OperatorEvent::Link(link) => session.link = *link,
        OperatorEvent::KeyframeWanted => session.wants_keyframe = true,
        OperatorEvent::Speaks(level) if session.may_talk => {
            session.level_dbfs = Some(*level);
            if talk.talker.is_none() {
                (talk.talker, talk.from) = (Some(number), at);
                order(number, OperatorDeed::Hear(true));
            }
            if talk.talker == Some(number) {
                talk.heard = at;
            }
        }
        OperatorEvent::Speaks(_) => {}
        OperatorEvent::Silent => session.level_dbfs = None,
        OperatorEvent::Gone(why) => session.ended = Some(why.clone()),
    }
}

/// Why a session is over, if it is.
fn over(session: &OperatorSession, plugin: &WebRtcPlugin, private: bool, now: Mono) -> Option<String> {
    if session.ended.is_some() {
        return None;
    }
    if private {
        return Some(PRIVATE.to_owned());
    }
    match session.state {
        OperatorState::Offered if now.since(session.started) >= plugin.offer => {
            Some("no connection was made before the offer expired".to_owned())
        }
        OperatorState::Connected if now.since(session.last_heard) >= UNHEARD => {
            Some(format!("nothing was heard of it for {} s", UNHEARD.as_secs()))
        }
        _ => None,
    }
}

/// Ends the turn of a talker who has fallen silent or is gone.
fn end_speech(
    sessions: &mut Sessions,
    talk: &mut OperatorTalk,
    plugin: &WebRtcPlugin,
    now: Mono,
    order: &mut impl FnMut(u64, OperatorDeed),
) {
    let Some(talker) = talk.talker else { return };
    let session = sessions.iter().find(|(id, session)| id.seq == talker && session.ended.is_none());
    let speaks = session.is_some_and(|(_, session)| session.level_dbfs.is_some());
    if speaks && now.since(talk.heard) < SPEECHLESS {
        return;
    }
    let there = session.is_some();
    talk.talker = None;
    talk.until = now + plugin.tail;
    if there {
        order(talker, OperatorDeed::Hear(false));
    }
}

/// Gives the small pictures to those whose links hold back the others.
fn choose_sizes(sessions: &mut Sessions, now: Mono, order: &mut impl FnMut(u64, OperatorDeed)) {
    let watches = |session: &OperatorSession| {
        session.ended.is_none() && session.state == OperatorState::Connected && session.link.target_bps > 0
    };
    let rates: Vec<(Option<StreamId>, u64)> = sessions
        .iter()
        .filter(|(_, session)| watches(session))
        .map(|(_, session)| (session.camera, session.link.target_bps.into()))
        .collect();
    for (id, mut session) in sessions.iter_mut().sort::<&StableId>() {
        if !watches(&session) || session.camera.is_none() {
            continue;
        }
        let rates = rates.iter().filter(|(camera, _)| *camera == session.camera).map(|(_, rate)| *rate);
        let (best, alone) = (rates.clone().max().unwrap_or_default(), rates.count() == 1);
        let percent = u64::from(session.link.target_bps) * 100 / best.max(1);
        let long = now.since(session.size_since) >= SMALL_FOR;
        let size = match session.size {
            PictureSize::Full if percent < SHARES.0 => PictureSize::Small,
            PictureSize::Small if alone || (percent > SHARES.1 && long) => PictureSize::Full,
            size => size,
        };
        if size != session.size {
            (session.size, session.size_since) = (size, now);
            order(id.seq, OperatorDeed::Show(size));
        }
    }
}

/// Has pictures sent that stand alone, to all who wait for one of the same encoding at once, and not too often.
fn order_keyframes(sessions: &mut Sessions, now: Mono, order: &mut impl FnMut(u64, OperatorDeed)) {
    let mut waiting: Vec<_> = sessions
        .iter()
        .filter(|(_, session)| session.wants_keyframe && session.ended.is_none())
        .filter_map(|(id, session)| Some((*id, (session.camera?, session.size))))
        .collect();
    waiting.sort_unstable();
    for (id, encoding) in waiting {
        let of = |session: &OperatorSession| session.camera.map(|camera| (camera, session.size)) == Some(encoding);
        let last = sessions.iter().filter(|(_, session)| of(session)).filter_map(|(_, session)| session.keyframe_at);
        let last = last.max();
        // One of this tick serves them all.
        let served = last == Some(now);
        if !served && last.is_some_and(|last| now.since(last) < KEYFRAMES) {
            continue;
        }
        if let Some((_, mut session)) = sessions.iter_mut().find(|(known, _)| **known == id) {
            (session.wants_keyframe, session.keyframe_at) = (false, Some(now));
        }
        if !served {
            order(id.seq, OperatorDeed::Keyframe);
        }
    }
}

#[cfg(test)]
mod tests;
