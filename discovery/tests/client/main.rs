//! The client against real TLS servers on this machine, honest ones and hostile ones.

mod fetch;
mod hostile;
mod http;
mod keys_published;
mod pushing;
mod routes;
mod store;
mod support;
mod vectors;
mod walk;
