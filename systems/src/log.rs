//! Notices of the world in the log of the process.

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

/// Hands notices to the log. A replay goes without: what was noticed then is no news now.
pub struct LogPlugin;

impl Plugin for LogPlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(Act, announce);
    }
}

/// Logs what was noticed in this tick.
pub fn announce(mut notices: MessageReader<Notice>) {
    for Notice { level, source, text } in notices.read() {
        match level {
            NoticeLevel::Info => tracing::info!("{source}: {text}"),
            NoticeLevel::Warning => tracing::warn!("{source}: {text}"),
            NoticeLevel::Error => tracing::error!("{source}: {text}"),
        }
    }
}
