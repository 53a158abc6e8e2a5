//! Any bytes have an end or none, without a panic, and what stands behind the end does not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waywarden_systems::camera::mjpeg;

fuzz_target!(|data: &[u8]| {
    match mjpeg::length(data) {
        Ok(length) => {
            assert!(data[..length].ends_with(&[0xFF, 0xD9]));
            assert_eq!(mjpeg::length(&data[..length]), Ok(length));
        }
        Err(no_end) => assert!(no_end.offset <= data.len() && !no_end.what.is_empty()),
    }
});
