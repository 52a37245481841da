//! The way to a Redis, for elements and daemons alike: the first time at once or not at all, later again and again.
//!
//! | module | what |
//! |---|---|
//! | [`Server`] | a Redis by its URL: connecting and listening, in bounded time |
//! | `topology` | one server, one that sentinels look after, or a cluster |
//! | [`Connection`] | a connection to one server or to all of a cluster |
//! | [`Commands`] | one that many share, and that comes back |
//! | [`Tls`] | the certificates for `rediss://` |
//! | [`Subscription`] | a channel that is listened to until the connection is lost |
//! | [`Backoff`] | how long to wait before the next attempt |
//! | [`describe`], [`is_lost`] | an error in words that help, and what it means |
//! | [`mask`] | a URL without its secrets |
//! | [`runtime`] | threads for those who have no runtime: a GStreamer plugin |

mod backoff;
mod commands;
mod connection;
mod error;
pub mod runtime;
mod server;
mod subscription;
mod tls;
mod topology;
mod url;

pub use backoff::Backoff;
pub use commands::Commands;
pub use connection::Connection;
pub use error::{Error, describe, is_lost};
pub use server::{CONNECT_TIMEOUT, Server, bounded};
pub use subscription::Subscription;
pub use tls::Tls;
pub use url::{DEFAULT_URL, default_url, mask};
