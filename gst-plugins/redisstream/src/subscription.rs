//! Listening to a channel, for as long as an element runs.

use redis::aio::PubSub;
use sightline_redis::{Backoff, Subscription};

use crate::connection::{Reporter, Server};

/// Tells of every message on a channel, for ever; `first` is the connection to begin with.
pub(crate) async fn listen(
    server: Server,
    channel: String,
    first: PubSub,
    reporter: Reporter,
    mut tell: impl FnMut(),
) {
    let mut backoff = Backoff::default();
    let mut subscription = Subscription::new(first);
    loop {
        while subscription.next(&mut backoff).await.is_some() {
            tell();
        }
        reporter.warn(format_args!(
            "Lost the connection to Redis at {server} that listens to `{channel}`; trying again"
        ));
        subscription = loop {
            tokio::time::sleep(backoff.step()).await;
            match server.subscribe(&channel).await {
                Ok(pubsub) => break Subscription::new(pubsub),
                Err(error) => reporter.warn(format_args!("{error}; trying again")),
            }
        };
    }
}
