//! What commands reach outside of the world with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::ingress::Control;
use crate::record::Keeper;
use crate::supervisor::Remote;

/// What can be done outside of the world. Not there in a replay, where nothing is done.
#[derive(Resource, Clone)]
pub struct Hands {
    /// Where what has come of something is said, and what may not come in.
    pub control: Control,
    /// Where to ask for something to be kept, and how long around now it is if nothing is said.
    pub keeper: Option<(Keeper, Duration)>,
    /// Where to ask for devices to be closed.
    pub devices: Option<Remote>,
    /// The names of the devices inside of the vehicle that see or hear people: microphones, cabin cameras.
    pub private: Vec<String>,
    /// The file that is there while privacy is wanted, so that it is wanted of the next run too.
    pub marker: Option<PathBuf>,
}

/// Does what was decided. What has come of it comes back through the door.
pub fn carry_out(
    mut deeds: MessageReader<Deed>,
    switches: Res<Switches>,
    hands: Option<Res<Hands>>,
    mut private: Local<bool>,
) {
    let Some(hands) = hands else {
        deeds.clear();
        return;
    };
    if *private != switches.privacy {
        *private = switches.privacy;
        hands.set_private(switches.privacy);
    }
    for deed in deeds.read() {
        if let Some(result) = hands.act(&deed.action) {
            // One that is lost for want of room expires.
            let _ = hands.control.say(Payload::DeedDone(DeedDone { id: deed.id.clone(), result }));
        }
    }
}

impl Hands {
    /// Does it. None where what comes of it shows elsewhere.
    fn act(&self, action: &Action) -> Option<Result<String, String>> {
        match action {
            Action::Preserve { around_s } => Some(self.preserve(*around_s)),
            Action::RestartDevice { device } => match &self.devices {
                Some(devices) if devices.restart(device) => None,
                _ => Some(Err("nobody looks after devices".to_owned())),
            },
            _ => None,
        }
    }

    fn preserve(&self, around_s: Option<u32>) -> Result<String, String> {
        let (keeper, usual) = self.keeper.as_ref().ok_or("nothing is recorded")?;
        let around = around_s.map_or(*usual, |seconds| Duration::from_secs(seconds.into()));
        keeper.preserve(around, "asked for by a command").map_err(|busy| busy.to_string())?;
        Ok(format!("{} s before and after it are kept", around.as_secs()))
    }

    /// Nothing of it comes in from now on; then the devices are closed.
    fn set_private(&self, private: bool) {
        self.control.set_private(private);
        for name in &self.private {
            if let Some(devices) = &self.devices {
                devices.hold(name, private);
            }
        }
        let Some(marker) = self.marker.clone() else { return };
        // A disk that does not answer is not waited for by the tick.
        let write = move || {
            if let Err(error) = remember(&marker, private) {
                tracing::error!("{}: the next run will not know about privacy: {error}", marker.display());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("switches".to_owned()).spawn(write) {
            tracing::error!("the next run will not know about privacy: {error}");
        }
    }
}

fn remember(marker: &Path, private: bool) -> std::io::Result<()> {
    if private {
        if let Some(folder) = marker.parent() {
            std::fs::create_dir_all(folder)?;
        }
        return std::fs::File::create(marker)?.sync_all();
    }
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
