//! Memory that was freed, and that the C library keeps.

/// Gives what was freed to the system. glibc keeps it in up to eight arenas a core: what many threads took and freed, as connections
/// do, stays there, up to twice what the program needs. It takes some milliseconds, in which threads that ask for memory may wait.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's own memory")]
pub fn give_back() {
    // SAFETY: it takes a number, and may be called by any thread at any time.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Where the C library is another one, nothing is known that it keeps.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
