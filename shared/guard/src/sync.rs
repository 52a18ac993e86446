//! Locks and atomics: the standard ones, or those whose interleavings shuttle explores.

#[cfg(feature = "interleavings")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
pub(crate) use std::sync::PoisonError;
#[cfg(not(feature = "interleavings"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
