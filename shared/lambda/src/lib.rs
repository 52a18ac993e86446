//! Hosting on Lambda: API Gateway v2 to http, batch and schedule events, drain before freeze.
