//! Neural networks behind one trait.
