//! `reelway`.
#![forbid(unsafe_code)]

fn main() {}
