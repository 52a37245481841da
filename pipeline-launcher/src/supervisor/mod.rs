//! Starts the processes of pipelines and looks after them.

pub mod admission;
pub mod exits;
pub mod health;
pub mod load;
pub mod ports;
pub mod process;
mod recent;
pub mod reload;
mod resources;
mod session;
pub mod sessions;
mod source;
pub mod spare;
pub mod tally;
pub mod workers;
