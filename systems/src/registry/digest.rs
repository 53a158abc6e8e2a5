//! Digests: one number for everything that is in the world at the end of a tick.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};
use waywarden_components::id::StableId;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::kinds::Gathered;
use super::{Entry, Registry, Treatment};

/// A value that is new or different since the tick before, or gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The kind.
    pub kind: Cow<'static, str>,
    /// Whose it is: the stable id; (0, 0) for a resource, (0, position) for a message.
    pub id: StableId,
    /// The value as MessagePack with named fields; none when it is gone.
    #[serde(with = "serde_bytes")]
    pub value: Option<Vec<u8>>,
}

/// Digests the world: XXH3-64 over the names and digests of all kinds that have values, in order of the names. The
/// digest of a kind is XXH3-64 over the stable ids, lengths and compact encodings (postcard) of its values, in order of
/// the ids.
///
/// With `changes`, also says what changed since the last call.
///
/// Every value of every digested kind is encoded anew in every tick: change detection would be cheaper, but blind to
/// interior mutability, which is one of the mistakes that digests are there to catch.
pub fn digest_world(world: &mut World, mut changes: Option<&mut Vec<Change>>) -> u64 {
    world.resource_scope(|world, mut registry: Mut<Registry>| {
        let mut gathered = std::mem::take(&mut registry.scratch);
        let mut total = Xxh3Default::new();
        for entry in &mut registry.entries {
            if !matches!(entry.treatment, Treatment::State | Treatment::Message) {
                continue;
            }
            let Some(operations) = &mut entry.operations else { continue };
            gathered.clear();
            operations.gather(world, &mut gathered);
            if gathered.items.is_empty() && entry.seen.is_empty() {
                continue;
            }
            gathered.items.sort_unstable_by_key(|item| item.id);
            let digest = digest_kind(&gathered);
            if !gathered.items.is_empty() {
                total.update(entry.name.as_bytes());
                total.update(&digest.to_le_bytes());
                entry.digested += gathered.items.len() as u64;
            }
            if let Some(changes) = changes.as_deref_mut()
                && (digest != entry.seen_digest || entry.treatment == Treatment::Message)
            {
                note_changes(world, entry, &gathered, changes);
                entry.seen_digest = digest;
            }
        }
        registry.scratch = gathered;
        total.digest()
    })
}

fn digest_kind(gathered: &Gathered) -> u64 {
    let mut hasher = Xxh3Default::new();
    for item in &gathered.items {
        hasher.update(&item.id.stream.0.to_le_bytes());
        hasher.update(&item.id.seq.to_le_bytes());
        let bytes = &gathered.bytes[item.start..item.end];
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.digest()
}

fn note_changes(world: &World, entry: &mut Entry, gathered: &Gathered, changes: &mut Vec<Change>) {
    let Some(operations) = &entry.operations else { return };
    let now: Vec<(StableId, u64)> =
        gathered.items.iter().map(|item| (item.id, xxh3_64(&gathered.bytes[item.start..item.end]))).collect();
    for (item, (id, hash)) in gathered.items.iter().zip(&now) {
        let same = entry.seen.binary_search_by_key(id, |(id, _)| *id).is_ok_and(|at| entry.seen[at].1 == *hash);
        // A message is an event: the same words said again are said again.
        if !same || entry.treatment == Treatment::Message {
            changes.push(Change {
                kind: Cow::Borrowed(entry.name),
                id: *id,
                value: Some(operations.value(world, item)),
            });
        }
    }
    // Messages are gone at the end of their tick anyway: nobody needs to be told.
    if entry.treatment != Treatment::Message {
        for (id, _) in &entry.seen {
            if now.binary_search_by_key(id, |(id, _)| *id).is_err() {
                changes.push(Change { kind: Cow::Borrowed(entry.name), id: *id, value: None });
            }
        }
        entry.seen = now;
    }
}

/// Values in MessagePack, by kind and id.
pub type Values = BTreeMap<String, BTreeMap<StableId, Vec<u8>>>;

/// All digested values as they are now: what a digest taken now is made of.
pub fn digested_values(world: &mut World) -> Values {
    world.resource_scope(|world, mut registry: Mut<Registry>| {
        let mut values = Values::new();
        let mut gathered = Gathered::default();
        for entry in &mut registry.entries {
            let (Treatment::State | Treatment::Message, Some(operations)) = (entry.treatment, &mut entry.operations)
            else {
                continue;
            };
            gathered.clear();
            operations.gather(world, &mut gathered);
            let of_kind = gathered.items.iter().map(|item| (item.id, operations.value(world, item))).collect();
            values.insert(entry.name.to_owned(), of_kind);
        }
        values
    })
}
