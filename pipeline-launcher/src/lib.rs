//! Starts and supervises GStreamer pipelines described in files, one process each.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | one module a verb |
//! | [`description`] | pipeline files: parsing, checking, parameters |
//! | [`supervisor`] | processes of sessions and workers, seen from the launcher |
//! | [`child`] | the process of one pipeline |
//! | [`control`] | what the two say to each other |
//! | [`rpc`], [`registration`] | what the launcher and signaling say to each other |
//! | [`http`], [`metrics`] | what it tells of itself |
//! | `versions` | what is known of the versions that run here |
//! | [`sandbox`] | what a pipeline's process may do on this machine |

pub mod child;
pub mod cli;
pub mod config;
pub mod control;
pub mod description;
mod http;
pub mod media;
mod metrics;
pub mod models;
pub mod network;
mod plugins;
mod private_redis;
mod registration;
mod rpc;
pub mod sandbox;
pub mod status;
pub mod supervisor;
mod versions;
