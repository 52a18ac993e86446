//! Operating: settings, real clock, logs, traces, metric names.
