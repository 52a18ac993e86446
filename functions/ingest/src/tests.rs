//! The function over HTTP: its router on the embedded adapters.

mod catalogue;
mod events;
mod hostile;
mod world;
