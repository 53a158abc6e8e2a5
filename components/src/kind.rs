//! What a type must be to live in the world: named, and writable to and readable from a session.

use serde::{Serialize, de::DeserializeOwned};

/// A component, resource or message whose values go into digests, outputs and snapshots under a stable name.
///
/// The name is part of the session format: it outlives renames of the Rust type.
pub trait Kind: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name in digests, outputs and snapshots: lower case, words joined by `_`.
    const NAME: &'static str;
}

/// Names a type for sessions.
#[macro_export]
macro_rules! kinds {
    ($($type:ty => $name:literal),+ $(,)?) => {
        $(impl $crate::kind::Kind for $type { const NAME: &'static str = $name; })+
    };
}
