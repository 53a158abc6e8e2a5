//! What the fuzz targets share.

/// Cuts bytes as a slow line would: into pieces of 1 to `most` bytes, in an order of lengths that `seed` chooses.
pub fn pieces(mut bytes: &[u8], seed: u8, most: usize) -> impl Iterator<Item = &[u8]> {
    let mut size = usize::from(seed);
    std::iter::from_fn(move || {
        size = (size * 5 + 3) % most;
        let (head, tail) = bytes.split_at((size + 1).min(bytes.len()));
        bytes = tail;
        (!head.is_empty()).then_some(head)
    })
}
