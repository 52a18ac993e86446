//! Kinesis batch in, user state and realtime features out.
