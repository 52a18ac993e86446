//! Fills the shared tier before it is asked.
