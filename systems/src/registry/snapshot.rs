//! Snapshots: everything that outlives a tick, so that a replay can begin there.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use waywarden_components::id::StableId;
use waywarden_components::job::JobId;

use super::kinds::{DecodeError, Gathered};
use super::{Registry, Treatment};

/// All values of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedKind {
    /// The kind.
    pub kind: String,
    /// Ids and values (MessagePack with named fields), in order of the ids. A resource has id (0, 0).
    pub values: Vec<(StableId, serde_bytes::ByteBuf)>,
}

/// Why a snapshot cannot be restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A value is damaged, or of a kind that this build does not know.
    #[error("snapshot, {id}: {source}")]
    Value {
        /// Whose value.
        id: StableId,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A job ran, but what it looked at is not there.
    #[error("snapshot: job {job} looks at frame {frame}, which is not there")]
    NoFrame {
        /// The job.
        job: JobId,
        /// The frame.
        frame: StableId,
    },
}

/// Saves every value that outlives a tick.
pub fn save(world: &mut World) -> Vec<SavedKind> {
    world.resource_scope(|world, mut registry: Mut<Registry>| {
        let mut gathered = Gathered::default();
        let mut saved = Vec::new();
        for entry in &mut registry.entries {
            let (Treatment::State | Treatment::Payload(_), Some(operations)) = (entry.treatment, &mut entry.operations)
            else {
                continue;
            };
            gathered.clear();
            operations.gather(world, &mut gathered);
            gathered.items.sort_unstable_by_key(|item| item.id);
            let values =
                gathered.items.iter().map(|item| (item.id, operations.value(world, item).into())).collect::<Vec<_>>();
            if !values.is_empty() {
                saved.push(SavedKind { kind: entry.name.to_owned(), values });
            }
        }
        saved
    })
}

/// Puts the world into the state of a snapshot: whatever has a stable id is despawned first.
///
/// # Errors
/// When a value is damaged or of an unknown kind. The world is then half restored and must not be used.
pub fn restore(world: &mut World, saved: &[SavedKind]) -> Result<(), RestoreError> {
    let mut named = world.query_filtered::<Entity, With<StableId>>();
    let old: Vec<Entity> = named.iter(world).collect();
    for entity in old {
        world.despawn(entity);
    }
    world.resource_scope(|world, mut registry: Mut<Registry>| {
        let mut entities: BTreeMap<StableId, Entity> = BTreeMap::new();
        for kind in saved {
            let unknown =
                |id: StableId| RestoreError::Value { id, source: DecodeError::UnknownKind(kind.kind.clone()) };
            let first = kind.values.first().map(|(id, _)| *id).unwrap_or_default();
            let entry = registry.get(&kind.kind).ok_or_else(|| unknown(first))?;
            let operations = entry.operations.as_ref().ok_or_else(|| unknown(first))?;
            for (id, value) in &kind.values {
                let entity = if operations.on_entities() {
                    *entities.entry(*id).or_insert_with(|| world.spawn(*id).id())
                } else {
                    Entity::PLACEHOLDER
                };
                operations.restore(world, entity, value).map_err(|source| RestoreError::Value { id: *id, source })?;
            }
        }
        for entry in &mut registry.entries {
            entry.seen.clear();
            entry.seen_digest = 0;
        }
        Ok(())
    })
}
