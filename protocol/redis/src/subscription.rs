//! Listening to a channel.

use std::time::Duration;

use futures_util::StreamExt;
use redis::Msg;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{Backoff, CONNECT_TIMEOUT};

/// A silent channel and a dead one look alike: so often the connection is tried.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// A connection that listens, until it is lost.
pub struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
    ping: Interval,
}

impl Subscription {
    pub fn new(pubsub: PubSub) -> Self {
        let (sink, messages) = pubsub.split();
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { sink, messages, ping }
    }

    /// The next message; none if the connection is lost. An answer of Redis ends the backing off.
    pub async fn next(&mut self, backoff: &mut Backoff) -> Option<Msg> {
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
