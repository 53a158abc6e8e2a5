//! Cameras: the first look at every frame, and the gate that decides which ones are worth more.

pub mod gate;
pub mod jpeg;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

pub use gate::GateSettings;

use crate::registry::Register;
use crate::replay::LookAhead;

/// Looks at every frame once, small and grey, and gates it.
#[derive(Default)]
pub struct CameraPlugin {
    /// Which frames are accepted.
    pub gate: GateSettings,
}

impl Plugin for CameraPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.gate);
        app.state::<Thumbnail>()
            .state::<GateScore>()
            .state::<Gate>()
            .exempt::<GateSettings>("the config, which the session holds")
            .exempt::<LookAhead>("pure functions of frames, called early");
        app.add_systems(Sense, (capture, gate).chain());
    }
}

/// Decodes the small grey picture of every new frame.
pub fn capture(mut frames: Query<(&StableId, &Frame, &mut Thumbnail)>, ahead: Option<Res<LookAhead>>) {
    let look = |id: &StableId, frame: &Frame, thumbnail: &mut Mut<Thumbnail>| {
        if **thumbnail == Thumbnail::Pending {
            **thumbnail = match &ahead {
                Some(ahead) => ahead.take(*id, &frame.jpeg),
                None => first_look(&frame.jpeg),
            };
        }
    };
    // Several cameras are decoded on several cores; for one frame the hop would cost more than it brings.
    let pending = frames.iter().filter(|(.., thumbnail)| **thumbnail == Thumbnail::Pending).count();
    if pending > 1 {
        frames.par_iter_mut().for_each(|(id, frame, mut thumbnail)| look(id, frame, &mut thumbnail));
    } else if pending == 1 {
        for (id, frame, mut thumbnail) in &mut frames {
            look(id, frame, &mut thumbnail);
        }
    }
}

/// The first look at a frame: a pure function of its bytes.
pub fn first_look(jpeg: &[u8]) -> Thumbnail {
    match jpeg::thumbnail(jpeg) {
        Ok((width, height, luma)) => Thumbnail::Ready { width, height, luma },
        Err(error) => Thumbnail::Broken(error.to_string()),
    }
}

/// Judges every new frame, in order of time for each camera.
pub fn gate(
    mut frames: Query<(&StableId, &Stamp, &Thumbnail, &mut GateScore)>,
    mut cameras: Query<(&StableId, &mut Gate)>,
    settings: Res<GateSettings>,
) {
    let mut fresh: Vec<_> = frames.iter_mut().filter(|(.., score)| **score == GateScore::Pending).collect();
    fresh.sort_unstable_by_key(|(id, ..)| **id);
    for (id, stamp, thumbnail, mut score) in fresh {
        let Some((_, mut gate)) = cameras.iter_mut().find(|(camera, _)| camera.stream == id.stream) else { continue };
        *score = match thumbnail {
            Thumbnail::Ready { width, height, luma } => {
                gate.size = (*width, *height);
                gate::judge(&mut gate, luma, stamp.captured, &settings)
            }
            Thumbnail::Pending | Thumbnail::Broken(_) => {
                gate.broken += 1;
                GateScore::Unusable
            }
        };
    }
}
