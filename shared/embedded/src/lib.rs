//! Adapters for one machine: LSM tables, event log, object folder, watched config.
