//! The kit does what the tests above it believe it does.

mod aws_stub;
mod proxy;
mod runtime_api;
mod servers;
