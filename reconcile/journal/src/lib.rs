//! What must survive: intents, dirty keys, effective phases, checkpoints.
