//! Memory that was freed, and that the C library keeps. Where that is not glibc, nothing is known that it keeps, and nothing is done.

/// Has blocks of a megabyte and more, as pieces of a session are, come from the system and go back to it. Left to itself glibc takes
/// ever larger ones from its heap, once it has seen one go, and the holes that they leave there stay: 4 MB of a replay's 40. For the
/// beginning of a program.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's own settings")]
pub fn keep_little() {
    use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    // Where one is refused nothing is lost but that memory.
    for (setting, bytes) in [(M_MMAP_THRESHOLD, 1 << 20), (M_TRIM_THRESHOLD, 2 << 20)] {
        // SAFETY: it takes two numbers, and the library locks what it sets.
        unsafe { mallopt(setting, bytes) };
    }
}

/// Gives what was freed to the system. glibc keeps it in up to eight arenas a core: what many threads took and freed, as connections
/// do, stays there, up to twice what the program needs. It takes some milliseconds, in which threads that ask for memory may wait.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's own memory")]
pub fn give_back() {
    // SAFETY: it takes a number, and may be called by any thread at any time.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Another C library.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_little() {}

/// Another C library.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
