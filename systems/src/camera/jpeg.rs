//! JPEG decoding: only what is needed, at the scale that is needed.
