//! One binary for every test that needs more than one crate.
//!
//! Everything is `cfg(test)`, so that the lints know helpers here for parts of tests.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod diagnose;
#[cfg(test)]
mod events;
#[cfg(test)]
mod hosting;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod tidy;
