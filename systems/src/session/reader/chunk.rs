//! The records in a chunk.
//!
//! The container's own reader takes a record's word for its length: one that is longer than its chunk makes it read the
//! rest of the file as part of the chunk, past all checksums (mcap 0.26.0). So chunks are taken whole, and apart here.

use bytes::Bytes;
use mcap::records::{Record, op};

/// Opcode and length of a record.
const HEAD: usize = 1 + 8;

/// A chunk whose checksum is right.
#[derive(Debug)]
pub(super) struct Chunk {
    records: Bytes,
}

impl Chunk {
    /// Takes the body of a chunk record.
    pub fn open(body: &Bytes) -> Result<Self, String> {
        let Ok(Record::Chunk { header, data }) = mcap::parse_record(op::CHUNK, body) else {
            return Err("damaged: a chunk cannot be read".to_owned());
        };
        if !header.compression.is_empty() {
            return Err(format!("a chunk is compressed ({}), which chunks of sessions never are", header.compression));
        }
        let length = data.len() as u64;
        if header.compressed_size != length || header.uncompressed_size != length {
            return Err("damaged: a chunk is of another length than it says".to_owned());
        }
        // Zero stands for "not calculated"; sessions always have it.
        if header.uncompressed_crc != 0 && crc32fast::hash(&data) != header.uncompressed_crc {
            return Err("damaged: a chunk has another checksum".to_owned());
        }
        let start = body.len() - data.len();
        Ok(Self { records: body.slice(start..) })
    }

    /// Opcode and body of the next record; None at the end.
    pub fn next(&mut self) -> Result<Option<(u8, Bytes)>, String> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let Some((&[opcode, ref length @ ..], rest)) = self.records.split_first_chunk::<HEAD>() else {
            return Err("damaged: a chunk ends in the middle of a record".to_owned());
        };
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > rest.len() {
            return Err("damaged: a record is longer than its chunk".to_owned());
        }
        if opcode == op::CHUNK {
            return Err("damaged: a chunk in a chunk".to_owned());
        }
        let body = self.records.slice(HEAD..HEAD + length);
        self.records = self.records.slice(HEAD + length..);
        Ok(Some((opcode, body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of a chunk record.
    fn chunk(records: &[u8], length: u64, crc: u32) -> Bytes {
        let parts: [&[u8]; 7] = [
            &[0; 16],
            &length.to_le_bytes(),
            &crc.to_le_bytes(),
            &0u32.to_le_bytes(),
            &length.to_le_bytes(),
            records,
            &[],
        ];
        Bytes::from(parts.concat())
    }

    fn record(opcode: u8, claimed: u64, body: &[u8]) -> Vec<u8> {
        [&[opcode], claimed.to_le_bytes().as_slice(), body].concat()
    }

    fn sound(records: &[u8]) -> Bytes {
        chunk(records, records.len() as u64, crc32fast::hash(records))
    }

    #[test]
    fn records_come_one_by_one() {
        let records = [record(5, 2, b"ab"), record(4, 0, b"")].concat();
        let mut chunk = Chunk::open(&sound(&records)).unwrap();
        assert_eq!(chunk.next(), Ok(Some((5, Bytes::from_static(b"ab")))));
        assert_eq!(chunk.next(), Ok(Some((4, Bytes::new()))));
        assert_eq!(chunk.next(), Ok(None));
    }

    #[test]
    fn a_record_that_claims_too_much_is_damaged() {
        for claimed in [3, 1 << 40, u64::MAX] {
            let mut chunk = Chunk::open(&sound(&record(5, claimed, b"ab"))).unwrap();
            assert!(chunk.next().is_err());
        }
        assert!(Chunk::open(&sound(&[5, 0, 0])).unwrap().next().is_err());
        assert!(Chunk::open(&sound(&record(op::CHUNK, 0, b""))).unwrap().next().is_err());
    }

    #[test]
    fn a_chunk_that_is_not_what_it_says_is_damaged() {
        let records = record(5, 2, b"ab");
        let length = records.len() as u64;
        assert!(Chunk::open(&chunk(&records, length, 1)).is_err());
        assert!(Chunk::open(&chunk(&records, length + 1, 0)).is_err());
        assert!(Chunk::open(&chunk(&records, length - 1, 0)).is_err());
        assert!(Chunk::open(&chunk(&records, u64::MAX, 0)).is_err());
        assert!(Chunk::open(&Bytes::from_static(&[0; 20])).is_err());
    }
}
