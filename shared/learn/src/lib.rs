//! What the night does: index builder, evaluation; serving never links it.
