//! Buffers that come back, for pictures and what holds them: memory that is used again is there already, and the kernel need not give it anew.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that are kept while nobody needs them: what a queue of pictures and the ticks around it hold.
const KEPT: usize = 12;

/// Buffers are made larger by whole steps, so that a picture that is a little larger than all before it does not cost a new
/// one, in bytes.
const STEP: usize = 64 * 1024;

/// Buffers that come back. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer on loan, which comes back when it is dropped.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// These bytes in a buffer.
    pub fn copy(&self, bytes: &[u8]) -> Bytes {
        let mut buffer = self.empty(bytes.len());
        buffer.extend_from_slice(bytes);
        self.lend(buffer)
    }

    /// What `reader` gives, in a buffer: at most `length` bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, reader: impl Read, length: usize) -> io::Result<Bytes> {
        let mut buffer = self.empty(length);
        reader.take(length as u64).read_to_end(&mut buffer)?;
        Ok(self.lend(buffer))
    }

    /// An empty buffer with room for `length` bytes.
    fn empty(&self, length: usize) -> Vec<u8> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        buffer.clear();
        if buffer.capacity() < length {
            buffer.reserve_exact(length.next_multiple_of(STEP));
        }
        buffer
    }

    fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_only_when_nobody_has_it() {
        let buffers = Buffers::default();
        let first = buffers.copy(b"one");
        let place = first.as_ptr();
        let second = buffers.read(&b"two and more"[..], 3).unwrap();
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
        let shared = first.clone();
        drop(first);
        assert_ne!(buffers.copy(b"three").as_ptr(), place);
        assert_eq!(&shared[..], b"one");
        drop((shared, second));
        let again: Vec<Bytes> = (0..3).map(|_| buffers.copy(b"four")).collect();
        assert!(again.iter().any(|bytes| bytes.as_ptr() == place));
        drop(again);
        let many: Vec<Bytes> = (0..2 * KEPT).map(|_| buffers.copy(b"five")).collect();
        drop(many);
        assert_eq!(buffers.0.lock().unwrap().len(), KEPT);
    }
}
