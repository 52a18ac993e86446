//! reelway: every function in one process, and the operator's commands.
