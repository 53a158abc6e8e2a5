//! Spawning inside a phase, as declared access.

use std::marker::PhantomData;

use bevy_ecs::bundle::Bundle;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Commands, ResMut, SystemParam};

/// The right to spawn entities that carry a `T`. Holds nothing; a plugin adds it with `app.init_resource::<Token<T>>()`.
#[derive(Resource)]
pub struct Token<T: Send + Sync + 'static>(PhantomData<T>);

impl<T: Send + Sync + 'static> Default for Token<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Spawns entities that carry a `T`, visible from the next phase on.
///
/// Ambiguity detection does not see what `Commands` will write. This parameter also takes the [`Token`] of `T` for
/// writing, so that two systems of one phase that emit the same `T` without a declared order fail the build of the
/// schedule instead of giving an order that depends on who finished first.
#[derive(SystemParam)]
pub struct Emit<'w, 's, T: Send + Sync + 'static> {
    commands: Commands<'w, 's>,
    _token: ResMut<'w, Token<T>>,
}

impl<T: Send + Sync + 'static> Emit<'_, '_, T> {
    /// Spawns an entity at the end of the phase. `bundle` holds the `T`, its `StableId` and whatever belongs to it.
    ///
    /// Gives no `Entity`: things are called by their `StableId`.
    pub fn spawn(&mut self, bundle: impl Bundle) {
        self.commands.spawn(bundle);
    }
}

#[cfg(test)]
mod tests {
    use bevy_ecs::component::Component;
    use bevy_ecs::schedule::{LogLevel, Schedule, ScheduleBuildSettings};
    use bevy_ecs::world::World;

    use super::*;

    #[derive(Component)]
    struct Spark;
    #[derive(Component)]
    struct Smoke;

    fn sparks(mut emit: Emit<Spark>) {
        emit.spawn(Spark);
    }

    fn more_sparks(mut emit: Emit<Spark>) {
        emit.spawn(Spark);
    }

    fn smoke(mut emit: Emit<Smoke>) {
        emit.spawn(Smoke);
    }

    fn strict() -> (World, Schedule) {
        let mut world = World::new();
        world.init_resource::<Token<Spark>>();
        world.init_resource::<Token<Smoke>>();
        let mut schedule = Schedule::default();
        schedule.set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..ScheduleBuildSettings::default()
        });
        (world, schedule)
    }

    #[test]
    fn two_unordered_emitters_of_one_type_fail_the_build() {
        let (mut world, mut schedule) = strict();
        schedule.add_systems((sparks, more_sparks));
        assert!(schedule.initialize(&mut world).is_err());
    }

    #[test]
    fn emitters_of_two_types_are_independent_and_spawn() {
        let (mut world, mut schedule) = strict();
        schedule.add_systems((sparks, smoke));
        schedule.run(&mut world);
        assert_eq!(world.query::<&Spark>().iter(&world).count(), 1);
        assert_eq!(world.query::<&Smoke>().iter(&world).count(), 1);
    }
}
