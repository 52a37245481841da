//! The way to a Redis, for elements and daemons alike: the first time at once or not at all, later again and again.
//!
//! | module | what |
//! |---|---|
//! | [`Server`] | a Redis by its URL: connecting and listening, in bounded time |
//! | [`Tls`] | the certificates for `rediss://` |
//! | [`Subscription`] | a channel that is listened to until the connection is lost |
//! | [`Backoff`] | how long to wait before the next attempt |
//! | [`describe`] | an error in words that help |
//! | [`mask`] | a URL without its secrets |
//! | [`runtime`] | threads for those who have no runtime: a GStreamer plugin |

mod backoff;
mod error;
pub mod runtime;
mod server;
mod subscription;
mod tls;
mod url;

pub use backoff::Backoff;
pub use error::{Error, describe};
pub use server::{CONNECT_TIMEOUT, Server, bounded};
pub use subscription::Subscription;
pub use tls::Tls;
pub use url::{DEFAULT_URL, default_url, mask};
