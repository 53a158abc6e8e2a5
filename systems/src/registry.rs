//! The digest registry: every component, resource and message type of the world, and what is done with it.
//!
//! Each type is one of
//!
//! * **state**: digested every tick and part of every snapshot;
//! * **payload**: part of snapshots but not of digests, with the reason why not;
//! * **message**: digested in the tick in which it was written, gone at its end;
//! * **exempt**: neither, with the reason.
//!
//! A type that is none of these is an error, found by [`unregistered`].

mod digest;
mod kinds;
mod snapshot;

use std::any::TypeId;

use bevy_app::App;
use bevy_ecs::component::{Component, ComponentId, Mutable};
use bevy_ecs::message::{Message, Messages};
use bevy_ecs::prelude::*;
use waywarden_components::kind::Kind;

pub use digest::{Change, Values, digest_world, digested_values};
pub use kinds::DecodeError;
pub use snapshot::{RestoreError, SavedKind, restore, save};

use kinds::{ComponentKind, Gathered, MessageKind, Operations, ResourceKind};

/// What is done with the values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Digested and saved.
    State,
    /// Saved, not digested; why not.
    Payload(&'static str),
    /// Digested, never saved: it does not outlive a tick.
    Message,
    /// Neither; why not.
    Exempt(&'static str),
}

/// One registered type.
pub struct Entry {
    /// Its stable name, or its Rust path where it has none.
    pub name: &'static str,
    /// What is done with it.
    pub treatment: Treatment,
    component: ComponentId,
    operations: Option<Box<dyn Operations>>,
    /// What the last digest saw, to find what changed: sorted by id.
    seen: Vec<(StableKey, u64)>,
    seen_digest: u64,
    /// Values digested so far.
    pub digested: u64,
}

/// Orders values of one kind: the stable id for components, the position for messages, zero for resources.
pub type StableKey = waywarden_components::id::StableId;

/// All registered types, in order of their names.
#[derive(Resource, Default)]
pub struct Registry {
    entries: Vec<Entry>,
    scratch: Gathered,
}

impl Registry {
    /// The registered types, in order of their names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of a stable name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Turns a recorded value into one that can be compared field by field.
    ///
    /// # Errors
    /// When the kind is not known or the bytes are not a value of it.
    pub fn describe(&self, name: &str, value: &[u8]) -> Result<serde_json::Value, DecodeError> {
        let entry = self.get(name).ok_or_else(|| DecodeError::UnknownKind(name.to_owned()))?;
        let operations = entry.operations.as_ref().ok_or_else(|| DecodeError::UnknownKind(name.to_owned()))?;
        operations.describe(value)
    }

    fn insert(&mut self, entry: Entry) {
        match self.entries.iter().position(|other| other.component == entry.component) {
            // The first registration counts, so that a plugin may be added to a world that another one prepared.
            Some(_) => {}
            None => {
                let at = self.entries.partition_point(|other| other.name < entry.name);
                self.entries.insert(at, entry);
            }
        }
    }
}

/// Registration of types, for plugins.
pub trait Register {
    /// Registers a component that is digested and saved.
    fn state<T: Component<Mutability = Mutable> + Kind>(&mut self) -> &mut Self;
    /// Registers a component that is saved and, for a reason, not digested.
    fn payload<T: Component<Mutability = Mutable> + Kind>(&mut self, why: &'static str) -> &mut Self;
    /// Registers a resource that is digested and saved.
    fn state_resource<T: Resource + Kind>(&mut self) -> &mut Self;
    /// Registers a resource that is saved and, for a reason, not digested.
    fn payload_resource<T: Resource + Kind>(&mut self, why: &'static str) -> &mut Self;
    /// Registers a message that is digested and lives for the tick in which it was written.
    fn tick_message<T: Message + Kind>(&mut self) -> &mut Self;
    /// Registers a component or resource that is, for a reason, neither digested nor saved.
    fn exempt<T: Component>(&mut self, why: &'static str) -> &mut Self;
}

impl Register for App {
    fn state<T: Component<Mutability = Mutable> + Kind>(&mut self) -> &mut Self {
        register_component::<T>(self.world_mut(), Treatment::State);
        self
    }

    fn payload<T: Component<Mutability = Mutable> + Kind>(&mut self, why: &'static str) -> &mut Self {
        register_component::<T>(self.world_mut(), Treatment::Payload(why));
        self
    }

    fn state_resource<T: Resource + Kind>(&mut self) -> &mut Self {
        register_resource::<T>(self.world_mut(), Treatment::State);
        self
    }

    fn payload_resource<T: Resource + Kind>(&mut self, why: &'static str) -> &mut Self {
        register_resource::<T>(self.world_mut(), Treatment::Payload(why));
        self
    }

    fn tick_message<T: Message + Kind>(&mut self) -> &mut Self {
        let world = self.world_mut();
        world.init_resource::<Messages<T>>();
        let component = world.register_component::<Messages<T>>();
        add(world, T::NAME, Treatment::Message, component, Some(Box::new(MessageKind::<T>::default())));
        self
    }

    fn exempt<T: Component>(&mut self, why: &'static str) -> &mut Self {
        let world = self.world_mut();
        let component = world.register_component::<T>();
        add(world, std::any::type_name::<T>(), Treatment::Exempt(why), component, None);
        self
    }
}

fn register_component<T: Component<Mutability = Mutable> + Kind>(world: &mut World, treatment: Treatment) {
    let component = world.register_component::<T>();
    let kind = ComponentKind::<T>::new(world);
    add(world, T::NAME, treatment, component, Some(Box::new(kind)));
}

fn register_resource<T: Resource + Kind>(world: &mut World, treatment: Treatment) {
    let component = world.register_component::<T>();
    add(world, T::NAME, treatment, component, Some(Box::new(ResourceKind::<T>::default())));
}

fn add(
    world: &mut World,
    name: &'static str,
    treatment: Treatment,
    component: ComponentId,
    operations: Option<Box<dyn Operations>>,
) {
    let entry = Entry { name, treatment, component, operations, seen: Vec::new(), seen_digest: 0, digested: 0 };
    world.get_resource_or_init::<Registry>().insert(entry);
}

/// Types of the world that nobody registered, by their Rust paths. Bevy's own bookkeeping does not count.
pub fn unregistered(world: &World) -> Vec<String> {
    let Some(registry) = world.get_resource::<Registry>() else { return vec!["Registry".to_owned()] };
    world
        .components()
        .iter_registered()
        .filter(|(id, info)| {
            !registry.entries.iter().any(|entry| entry.component == *id)
                && !bevy_bookkeeping(&info.name().to_string())
                && info.type_id() != Some(TypeId::of::<Registry>())
        })
        .map(|(_, info)| info.name().to_string())
        .collect()
}

/// Bevy's own components and resources: schedules, hierarchy, observers, error handling. None of them carries
/// anything that a system of the app puts there. `Messages<T>` is theirs too, but carries our messages.
fn bevy_bookkeeping(path: &str) -> bool {
    path.starts_with("bevy_") && !path.contains("Messages<")
}

/// Empties the queues of all registered messages, at the end of a tick.
pub fn clear_messages(world: &mut World) {
    world.resource_scope(|world, mut registry: Mut<Registry>| {
        for entry in &mut registry.entries {
            if let (Treatment::Message, Some(operations)) = (entry.treatment, &mut entry.operations) {
                operations.clear(world);
            }
        }
    });
}
