//! Listening to a channel.

use std::time::Duration;

use futures_util::StreamExt;
use redis::Msg;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use sightline_redis::Backoff;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::connection::{CONNECT_TIMEOUT, Reporter, Server};

/// A silent channel and a dead one look alike: so often the connection is tried.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// A connection that listens, until it is lost.
pub(crate) struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
    ping: Interval,
}

impl Subscription {
    pub(crate) fn new(pubsub: PubSub) -> Self {
        let (sink, messages) = pubsub.split();
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { sink, messages, ping }
    }

    /// The next message; none if the connection is lost. An answer of Redis ends the backing off.
    pub(crate) async fn next(&mut self, backoff: &mut Backoff) -> Option<Msg> {
        loop {
            tokio::select! {
                _ = self.ping.tick() => {
                    let alive = timeout(CONNECT_TIMEOUT, self.sink.ping::<redis::Value>()).await;
                    if !matches!(alive, Ok(Ok(_))) {
                        return None;
                    }
                    backoff.reset();
                }
                message = self.messages.next() => return message,
            }
        }
    }
}

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
