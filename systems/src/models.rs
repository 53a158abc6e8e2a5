//! The model manifest: which files are known, where they are looked for, and that they are what they claim to be.
