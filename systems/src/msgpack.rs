//! MessagePack from files, which may say anything.

use serde::de::DeserializeOwned;

/// Values in values: more than anything of ours has, and far fewer than a thread's stack takes.
const MOST_NESTED: usize = 64;

/// Reads a value. Lengths that are claimed but not there cost nothing, and neither does endless nesting.
///
/// # Errors
/// When the bytes are not a value of this type.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(MOST_NESTED);
    T::deserialize(&mut decoder)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::decode;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Value {
        n: Vec<u32>,
    }

    #[test]
    fn values_are_read() {
        let bytes = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("n", [1, 70_000])])).unwrap();
        assert_eq!(decode::<Value>(&bytes).unwrap(), Value { n: vec![1, 70_000] });
    }

    #[test]
    fn endless_nesting_and_lengths_that_lie_are_errors() {
        // A field of ours, and one that nobody knows.
        for field in [b'n', b'x'] {
            let nested = [[0x81, 0xa1, field].as_slice(), &[0x91; 100_000]].concat();
            assert!(decode::<Value>(&nested).is_err());
            let long = [0x81, 0xa1, field, 0xdd, 0xff, 0xff, 0xff, 0xff];
            assert!(decode::<Value>(&long).is_err());
        }
    }
}
