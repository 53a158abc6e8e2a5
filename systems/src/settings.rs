//! Settings that change while it runs: the config is read anew, and enters through the door like everything else.

use std::sync::Arc;

use bevy_app::{App, Plugin};
use bevy_ecs::prelude::*;
use waywarden_components::prelude::*;

use crate::registry::Register;

/// Keeps the config as last read anew in every snapshot, so that a replay that begins behind it has it too.
pub struct SettingsPlugin {
    /// Puts a config, as TOML, into the settings of the plugins. It gives the same settings for the same text.
    pub apply: Apply,
}

/// See [`SettingsPlugin::apply`].
#[derive(Resource, Clone)]
pub struct Apply(pub ApplyFn);

/// Puts a config, as TOML, into a world.
pub type ApplyFn = Arc<dyn Fn(&mut World, &str) + Send + Sync>;

impl Plugin for SettingsPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(self.apply.clone()).init_resource::<Settings>();
        app.exempt::<Apply>("a function").state_resource::<Settings>();
    }
}

/// Takes a config that was read anew. A run that tries another config on a recorded drive has no [`Apply`]: it keeps that.
pub fn change(world: &mut World, toml: &str) {
    world.insert_resource(Settings(toml.to_owned()));
    apply(world);
}

/// Puts the config that was last read anew, if any, into effect: after a snapshot was restored.
pub fn apply(world: &mut World) {
    let text = world.get_resource::<Settings>().map(|settings| settings.0.clone()).unwrap_or_default();
    if let Some(Apply(apply)) = world.get_resource::<Apply>().cloned()
        && !text.is_empty()
    {
        apply(world, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Resource, PartialEq, Debug)]
    struct Heard(String);

    #[test]
    fn a_change_is_applied_at_once_and_again_after_a_snapshot() {
        let mut app = App::empty();
        let apply = Apply(Arc::new(|world, text| world.insert_resource(Heard(text.to_owned()))));
        app.add_plugins(SettingsPlugin { apply });
        super::apply(app.world_mut());
        assert!(app.world().get_resource::<Heard>().is_none());
        change(app.world_mut(), "a = 1");
        assert_eq!(app.world_mut().remove_resource::<Heard>(), Some(Heard("a = 1".to_owned())));
        super::apply(app.world_mut());
        assert_eq!(app.world().resource::<Heard>().0, "a = 1");
    }
}
