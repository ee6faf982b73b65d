//! Sessions without sockets: a context that records.
