//! The T+1 batch: profiles, index generation.
