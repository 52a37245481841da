//! Starts the processes of pipelines and looks after them.

pub mod ports;
pub mod process;
pub mod sessions;
pub mod spare;
pub mod workers;
