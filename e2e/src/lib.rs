//! Harness of the tests that run the whole product.
//!
//! Two stages: a bare [`edge`] process on the loopback, and a [`cluster`], which is a real Kubernetes.
//! The same [`sdk`] drivers and [`api`] client are pointed at either. Nothing here may reach an address
//! that is not on this machine's loopback or inside the test cluster.
//!
//! Rules: a process that a test starts is ended by its own pid when the test drops it ([`process`]);
//! whatever is waited for has a limit, says what it waits for and shows the state when it fails ([`wait`]).

pub mod api;
pub mod bad_input;
pub mod cluster;
pub mod edge;
pub mod namespace;
pub mod pages;
pub mod process;
pub mod proxy;
pub mod repository;
pub mod sdk;
pub mod token;
pub mod wait;
