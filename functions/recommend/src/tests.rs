//! The function over HTTP: its router on the embedded adapters and a small generation.

mod answers;
mod deadlines;
mod half_hour;
mod hidden;
mod limits;
mod pages;
mod probes;
mod refusals;
mod world;
