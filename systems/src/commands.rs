//! Commands: what somebody outside wants the vehicle to do, from their arrival to their end.
//!
//! A command has an id and may have a time after which it must not be carried out. It is carried out once at most, however
//! often it comes in, and never late. Whether it may is decided here, from what came through the door; what reaches outside
//! of the world is done by [`carry_out`], and what came of it comes back through the door.

mod hands;
pub mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

pub use hands::{Hands, carry_out};

use crate::registry::Register;

/// How long a command may be under way. What takes longer has expired: whoever asked knows that nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Obeys commands.
#[derive(Resource, Clone, Debug, Default)]
pub struct CommandPlugin {
    /// Streams by the names of the config.
    pub names: Vec<(StreamId, String)>,
    /// Names of the streams of telemetry whose rates can be set.
    pub telemetry: Vec<&'static str>,
}

impl Plugin for CommandPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.clone())
            .init_resource::<Orders>()
            .init_resource::<Switches>()
            .init_resource::<Rates>()
            .exempt::<CommandPlugin>("the config, which the session holds")
            .exempt::<Hands>("the outside")
            .state_resource::<Orders>()
            .state_resource::<Switches>()
            .state_resource::<Rates>()
            .tick_message::<CommandReceived>()
            .tick_message::<CommandAnswer>()
            .tick_message::<Deed>();
        app.add_systems(Understand, obey.in_set(Obeying)).add_systems(Act, carry_out);
    }
}

impl CommandPlugin {
    fn stream(&self, name: &str) -> Option<StreamId> {
        self.names.iter().find(|(_, known)| known == name).map(|(stream, _)| *stream)
    }
}

/// What comes in about commands.
type Heard<'w, 's> =
    (MessageReader<'w, 's, CommandReceived>, MessageReader<'w, 's, DeedDone>, MessageReader<'w, 's, SwitchesRestored>);

/// What commands change.
type Changed<'w> = (ResMut<'w, Orders>, ResMut<'w, Switches>, ResMut<'w, Rates>);

/// Decides about what has come in, and ends what is over.
pub fn obey(
    (mut received, mut done, mut restored): Heard,
    (mut orders, mut switches, mut rates): Changed,
    devices: Query<(&StableId, &Link, Option<&Camera>)>,
    frames: Query<&StableId, With<Frame>>,
    (plugin, clock): (Res<CommandPlugin>, Res<Clock>),
    mut answers: MessageWriter<CommandAnswer>,
    mut deeds: MessageWriter<Deed>,
) {
    for SwitchesRestored(before) in restored.read() {
        *switches = *before;
    }
    let mut answer = |id: &str, name: &str, progress, reason: &str| {
        let (id, name, reason) = (id.to_owned(), name.to_owned(), reason.to_owned());
        answers.write(CommandAnswer { id, name, progress, reason });
    };
    for order in received.read() {
        let (id, name) = (&order.id, &order.name);
        // What has been heard of is answered as it stands, and not done again.
        if let Some(known) = orders.known.get(id).filter(|_| !id.is_empty()) {
            answer(id, &known.name, known.progress, &known.reason);
            continue;
        }
        let action = match judge(order, &clock) {
            Ok(action) => action.clone(),
            Err((progress, reason)) => {
                orders.refused += 1;
                answer(id, name, progress, &reason);
                continue;
            }
        };
        answer(id, name, Progress::Received, "");
        let (progress, reason) = match begin(&action, &plugin, (&mut switches, &mut rates), &devices) {
            Ok(Some(reason)) => (Progress::Done, reason),
            Ok(None) => (Progress::Running, String::new()),
            Err(reason) => (Progress::Failed, reason),
        };
        answer(id, name, progress, &reason);
        let is_outside = matches!(action, Action::Preserve { .. } | Action::RestartDevice { .. });
        if progress != Progress::Failed && is_outside {
            deeds.write(Deed { id: id.clone(), action: action.clone(), frame: None });
        }
        let command =
            Order { name: name.clone(), action, received: clock.now, expires_ns: order.expires_ns, progress, reason };
        remember(&mut orders, id.clone(), command);
    }
    let done: Vec<&DeedDone> = done.read().collect();
    for (id, command) in orders.known.iter_mut().filter(|(_, command)| !command.progress.is_final()) {
        let outcome = done.iter().find(|done| done.id == *id).map(|done| &done.result);
        let end = match (&command.action, outcome) {
            (_, Some(Err(reason))) => Some((Progress::Failed, reason.clone())),
            // It is back when its link says so, later than it was closed.
            (Action::RestartDevice { device }, _) => {
                let stream = plugin.stream(device).unwrap_or_default();
                let back = devices.iter().any(|(device, link, _)| {
                    device.stream == stream && link.state == LinkState::Connected && link.since > command.received
                });
                back.then(|| (Progress::Done, "it is open again".to_owned()))
            }
            (Action::Snapshot { camera }, _) => {
                let wanted = camera_called(camera.as_deref(), &plugin, &devices);
                let newest = frames.iter().filter(|frame| Some(frame.stream) == wanted).max();
                newest.map(|frame| {
                    deeds.write(Deed { id: id.clone(), action: command.action.clone(), frame: Some(*frame) });
                    (Progress::Done, format!("frame {frame}"))
                })
            }
            (_, Some(Ok(reason))) => Some((Progress::Done, reason.clone())),
            (_, None) => None,
        };
        let late = clock.now.since(command.received) >= PATIENCE || is_late(command.expires_ns, &clock);
        let end = end.or_else(|| late.then(|| (Progress::Expired, "it took too long".to_owned())));
        if let Some((progress, reason)) = end {
            (command.progress, command.reason) = (progress, reason);
            answer(id, &command.name, command.progress, &command.reason);
        }
    }
}

/// Whether a command that was never heard of may be carried out, or what it is answered instead.
fn judge<'a>(order: &'a CommandReceived, clock: &Clock) -> Result<&'a Action, (Progress, String)> {
    let failed = |reason: &str| (Progress::Failed, reason.to_owned());
    let action = order.action.as_ref().map_err(|reason| failed(reason))?;
    if order.again {
        return Err(failed("it came in before, and is not carried out again"));
    }
    if order.expires_ns.is_some() {
        if clock.utc_nanos().is_none() {
            return Err(failed("it expires, and the vehicle does not know the date"));
        }
        if is_late(order.expires_ns, clock) {
            return Err((Progress::Expired, "it came too late".to_owned()));
        }
    }
    Ok(action)
}

/// Whether a time has come. Where the date is no longer known it may have.
fn is_late(expires_ns: Option<i64>, clock: &Clock) -> bool {
    expires_ns.is_some_and(|expires| clock.utc_nanos().is_none_or(|now| now >= expires))
}

/// Does what is a matter of the world. Gives what came of it, or nothing if it is under way.
///
/// # Errors
/// Why it cannot be done.
fn begin(
    action: &Action,
    plugin: &CommandPlugin,
    (switches, rates): (&mut Switches, &mut Rates),
    devices: &Query<(&StableId, &Link, Option<&Camera>)>,
) -> Result<Option<String>, String> {
    match action {
        Action::Ping => Ok(Some("pong".to_owned())),
        Action::Recording(on) => {
            switches.recording = *on;
            Ok(Some(on_off("recording", *on)))
        }
        Action::Privacy(on) => {
            switches.privacy = *on;
            Ok(Some(on_off("privacy", *on)))
        }
        Action::SetRate { stream, rate_hz } => {
            if !plugin.telemetry.contains(&stream.as_str()) {
                return Err(format!("no stream `{stream}`: there are {}", plugin.telemetry.join(", ")));
            }
            rates.0.insert(stream.clone(), *rate_hz);
            Ok(Some(format!("{stream}: {rate_hz} Hz")))
        }
        Action::Snapshot { camera } => match camera_called(camera.as_deref(), plugin, devices) {
            Some(_) => Ok(None),
            None => Err(format!("no camera `{}`", camera.as_deref().unwrap_or("front"))),
        },
        Action::RestartDevice { device } => {
            let known = plugin.stream(device).is_some_and(|stream| devices.iter().any(|(id, ..)| id.stream == stream));
            if known { Ok(None) } else { Err(format!("no device `{device}`")) }
        }
        Action::Preserve { .. } => Ok(None),
    }
}

fn on_off(what: &str, on: bool) -> String {
    format!("{what} is {}", if on { "on" } else { "off" })
}

/// The camera of a name; without one the first front camera, else the first.
fn camera_called(
    name: Option<&str>,
    plugin: &CommandPlugin,
    devices: &Query<(&StableId, &Link, Option<&Camera>)>,
) -> Option<StreamId> {
    let cameras = devices.iter().filter_map(|(id, _, camera)| Some((id.stream, camera?.role)));
    match name {
        Some(name) => {
            let wanted = plugin.stream(name)?;
            cameras.map(|(stream, _)| stream).find(|stream| *stream == wanted)
        }
        None => cameras.min_by_key(|(stream, role)| (*role != CameraRole::Front, *stream)).map(|(stream, _)| stream),
    }
}

/// Remembers a command; where too many are known, the oldest of which nothing more comes is forgotten, else the oldest.
fn remember(orders: &mut Orders, id: String, order: Order) {
    if orders.known.len() >= Orders::REMEMBERED {
        let oldest = orders.known.iter().min_by_key(|(id, known)| (!known.progress.is_final(), known.received, *id));
        if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
            orders.known.remove(&oldest);
        }
    }
    orders.known.insert(id, order);
}
