//! HTTP writes: events, catalogue, user deletion.
