//! One module for each verb.

pub mod check;
pub mod healthcheck;
pub mod list;
mod live;
pub mod run;
pub mod serve;
pub mod test_network;
pub mod top;
pub mod up;
