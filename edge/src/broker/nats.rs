//! Core NATS: fan-out between nodes, at most once.
