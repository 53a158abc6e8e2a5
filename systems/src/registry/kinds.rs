//! What can be done with the values of a registered type, without knowing the type.

use std::marker::PhantomData;

use bevy_ecs::component::Mutable;
use bevy_ecs::message::{Message, Messages};
use bevy_ecs::prelude::*;
use thiserror::Error;
use waywarden_components::id::StableId;
use waywarden_components::kind::Kind;

/// Why a recorded value cannot be read.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No such type here.
    #[error("this build has no kind named `{0}`")]
    UnknownKind(String),
    /// Not a value of the type.
    #[error("not a value of kind `{kind}`: {reason}")]
    Malformed {
        /// The kind.
        kind: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

/// The values of one kind, gathered for a digest: their compact encodings one behind the other.
#[derive(Default)]
pub(super) struct Gathered {
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
}

/// One gathered value.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub id: StableId,
    pub entity: Option<Entity>,
    pub start: usize,
    pub end: usize,
}

impl Gathered {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    fn push<T: Kind>(&mut self, id: StableId, entity: Option<Entity>, value: &T) {
        let start = self.bytes.len();
        // Only a value whose Serialize implementation refuses to be serialised can fail: a growing Vec cannot.
        if postcard::to_io(value, &mut self.bytes).is_err() {
            self.bytes.truncate(start);
            self.bytes.extend_from_slice(b"unserialisable");
        }
        self.items.push(Item { id, entity, start, end: self.bytes.len() });
    }
}

/// The operations on values of one type.
pub(super) trait Operations: Send + Sync {
    /// Encodes all values compactly, in any order.
    fn gather(&mut self, world: &World, into: &mut Gathered);
    /// Encodes one gathered value self-describingly.
    fn value(&self, world: &World, item: &Item) -> Vec<u8>;
    /// Decodes a recorded value and puts it into the world, on `entity` if it is a component.
    fn restore(&self, world: &mut World, entity: Entity, value: &[u8]) -> Result<(), DecodeError>;
    /// Makes a recorded value comparable field by field.
    fn describe(&self, value: &[u8]) -> Result<serde_json::Value, DecodeError>;
    /// Whether values sit on entities.
    fn on_entities(&self) -> bool;
    /// Forgets all messages.
    fn clear(&mut self, _world: &mut World) {}
}

fn encode<T: Kind>(value: &T) -> Vec<u8> {
    // Cannot fail for the same reason as above; an empty value is refused by every decoder.
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

fn decode<T: Kind>(bytes: &[u8]) -> Result<T, DecodeError> {
    crate::msgpack::decode(bytes).map_err(|e| DecodeError::Malformed { kind: T::NAME, reason: e.to_string() })
}

fn describe<T: Kind>(bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
    serde_json::to_value(decode::<T>(bytes)?)
        .map_err(|e| DecodeError::Malformed { kind: T::NAME, reason: e.to_string() })
}

/// A component on entities that have a stable id.
pub(super) struct ComponentKind<T: Component> {
    query: QueryState<(Entity, &'static StableId, &'static T)>,
}

impl<T: Component> ComponentKind<T> {
    pub fn new(world: &mut World) -> Self {
        Self { query: world.query() }
    }
}

impl<T: Component<Mutability = Mutable> + Kind> Operations for ComponentKind<T> {
    fn gather(&mut self, world: &World, into: &mut Gathered) {
        for (entity, id, value) in self.query.iter(world) {
            into.push(*id, Some(entity), value);
        }
    }

    fn value(&self, world: &World, item: &Item) -> Vec<u8> {
        item.entity.and_then(|entity| world.get::<T>(entity)).map(encode).unwrap_or_default()
    }

    fn restore(&self, world: &mut World, entity: Entity, value: &[u8]) -> Result<(), DecodeError> {
        let value = decode::<T>(value)?;
        if let Ok(mut entity) = world.get_entity_mut(entity) {
            entity.insert(value);
        }
        Ok(())
    }

    fn describe(&self, value: &[u8]) -> Result<serde_json::Value, DecodeError> {
        describe::<T>(value)
    }

    fn on_entities(&self) -> bool {
        true
    }
}

/// A resource.
pub(super) struct ResourceKind<T>(PhantomData<fn() -> T>);

impl<T> Default for ResourceKind<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Resource + Kind> Operations for ResourceKind<T> {
    fn gather(&mut self, world: &World, into: &mut Gathered) {
        if let Some(value) = world.get_resource::<T>() {
            into.push(StableId::default(), None, value);
        }
    }

    fn value(&self, world: &World, _item: &Item) -> Vec<u8> {
        world.get_resource::<T>().map(encode).unwrap_or_default()
    }

    fn restore(&self, world: &mut World, _entity: Entity, value: &[u8]) -> Result<(), DecodeError> {
        world.insert_resource(decode::<T>(value)?);
        Ok(())
    }

    fn describe(&self, value: &[u8]) -> Result<serde_json::Value, DecodeError> {
        describe::<T>(value)
    }

    fn on_entities(&self) -> bool {
        false
    }
}

/// A message, named by its position in the tick.
pub(super) struct MessageKind<T>(PhantomData<fn() -> T>);

impl<T> Default for MessageKind<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Kind> Operations for MessageKind<T> {
    fn gather(&mut self, world: &World, into: &mut Gathered) {
        let Some(messages) = world.get_resource::<Messages<T>>() else { return };
        for (n, value) in (0..).zip(messages.iter_current_update_messages()) {
            into.push(StableId { stream: Default::default(), seq: n }, None, value);
        }
    }

    fn value(&self, world: &World, item: &Item) -> Vec<u8> {
        let Some(messages) = world.get_resource::<Messages<T>>() else { return Vec::new() };
        let at = usize::try_from(item.id.seq).unwrap_or(usize::MAX);
        messages.iter_current_update_messages().nth(at).map(encode).unwrap_or_default()
    }

    fn restore(&self, _world: &mut World, _entity: Entity, _value: &[u8]) -> Result<(), DecodeError> {
        Ok(())
    }

    fn describe(&self, value: &[u8]) -> Result<serde_json::Value, DecodeError> {
        describe::<T>(value)
    }

    fn on_entities(&self) -> bool {
        false
    }

    fn clear(&mut self, world: &mut World) {
        if let Some(mut messages) = world.get_resource_mut::<Messages<T>>()
            && !messages.is_empty()
        {
            messages.clear();
        }
    }
}
