//! How Redis is used by all who call or are called.

use std::time::Duration;

pub use sightline_redis::{Backoff, bounded};

/// How long a command may take that is not meant to block.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
