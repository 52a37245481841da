//! Inventa: a service registry and RPC over Redis, in both of its roles.
//!
//! Every participant is an [`Inventa`]: it hears requests on the channel of its name, answers them through
//! a [`Handler`], and calls others. On top of that it plays one of two roles:
//!
//! - a *service* ([`Inventa::register`]) tells the orchestrator that it exists and keeps a key with a short
//!   life in Redis, so that its end is noticed however it ends;
//! - the *orchestrator* ([`Inventa::orchestrate`]) knows the services that are alive, and says when one
//!   comes or goes.
//!
//! The text of the messages is [`sightline_protocol::inventa`]. Everything here survives a restart of
//! Redis: it connects again with a capped and jittered backoff, and registers again.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sightline_inventa::{Config, Inventa, unknown_command};
//! use sightline_protocol::inventa::{Request, ServiceName};
//!
//! let redis = sightline_redis::Server::new("redis://127.0.0.1/")?;
//! let config = Config::new(redis, ServiceName::new("mb", "host1"));
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! let handler = |request: Request| async move { Err(unknown_command(&request.method)) };
//! let inventa = Inventa::start(config, handler, shutdown).await?;
//! inventa
//!     .register(&ServiceName::new("sgn", ""), || vec![("max_sessions".into(), "4".into())])
//!     .await?;
//! # Ok(())
//! # }
//! ```

mod call;
pub mod connection;
mod listen;
mod orchestrator;
mod service;

pub use call::{Answer, CallError, Config, Handler, Inventa, unknown_command};
pub use orchestrator::{Event, Orchestrator};
pub use service::RegisterError;
