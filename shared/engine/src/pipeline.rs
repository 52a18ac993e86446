//! The way from a query to a slate.
