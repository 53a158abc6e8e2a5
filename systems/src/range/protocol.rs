//! The wire formats of range finders: bytes in, readings out, no I/O.
