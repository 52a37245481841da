//! Hearing messages: the subscription, its reconnection, and the dispatch of what it brings.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::{AsyncCommands, Msg, RedisResult};
use sightline_protocol::inventa::{Message, Request, Response, ServiceName};
use sightline_protocol::keys;
use sightline_protocol::rpc::method;
use sightline_redis::Error;
use tokio::time::MissedTickBehavior;

use crate::call::{Answer, Handler, Inner, unknown_command};
use crate::connection::{self, Backoff, bounded};

/// A dead peer is noticed after this time and a command's timeout.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A subscription to all our names.
pub(crate) async fn subscribe(inner: &Inner) -> Result<PubSub, Error> {
    let channels: Vec<String> = inner
        .names()
        .map(|name| keys::service_channel(&name.to_string()))
        .collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    inner.commands.server().subscribe_all(&channels).await
}

pub(crate) async fn run<H: Handler>(inner: Arc<Inner>, handler: Arc<H>, first: PubSub) {
    let mut backoff = Backoff::new();
    let mut subscription = Some(first);
    while !inner.shutdown.is_cancelled() {
        if let Some(subscription) = subscription.take() {
            if let Some(registry) = inner.registry.get() {
                registry.connected();
            }
            if let Some(again) = inner.register_again.get() {
                again.notify_one();
            }
            hear(&inner, &handler, subscription, &mut backoff).await;
            if inner.shutdown.is_cancelled() {
                return;
            }
            tracing::warn!(service = %inner.name, "lost the connection to Redis; connecting again");
        }
        let attempt = async {
            tokio::time::sleep(backoff.step()).await;
            subscribe(&inner).await
        };
        match inner.shutdown.run_until_cancelled(attempt).await {
            Some(Ok(new)) => {
                tracing::info!(service = %inner.name, "connected to Redis again");
                subscription = Some(new);
            }
            Some(Err(error)) => tracing::debug!(%error, "Redis is still away"),
            None => return,
        }
    }
}

/// Dispatches messages until the connection is lost or we stop.
async fn hear<H: Handler>(inner: &Arc<Inner>, handler: &Arc<H>, subscription: PubSub, backoff: &mut Backoff) {
    let (mut sink, mut messages) = subscription.split();
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.shutdown.cancelled() => return,
            message = messages.next() => match message {
                Some(message) => dispatch(inner, handler, &message),
                None => return,
            },
            _ = ping.tick() => match bounded(connection::COMMAND_TIMEOUT, sink.ping::<redis::Value>()).await {
                Ok(_) => backoff.reset(),
                Err(_) => return,
            },
        }
    }
}

fn dispatch<H: Handler>(inner: &Arc<Inner>, handler: &Arc<H>, message: &Msg) {
    let parsed = std::str::from_utf8(message.get_payload_bytes())
        .ok()
        .and_then(|text| Message::parse(text).ok());
    match parsed {
        Some(Message::Response(response)) => inner.complete(response),
        Some(Message::Request(request)) => {
            // We answer in the name that was called: it is the only one that the caller knows.
            let called = inner
                .names()
                .find(|name| keys::service_channel(&name.to_string()) == message.get_channel_name())
                .unwrap_or(&inner.name)
                .clone();
            answer(inner, Arc::clone(handler), request, called);
        }
        None => {
            let malformed = inner.malformed.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(malformed, "ignored a malformed RPC message");
        }
    }
}

/// Answers a request in a task of its own.
fn answer<H: Handler>(inner: &Arc<Inner>, handler: Arc<H>, request: Request, called: ServiceName) {
    let Ok(permit) = Arc::clone(&inner.requests).try_acquire_owned() else {
        let overflow = inner.overflow.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(method = %request.method, overflow, "dropped a request: too many at once");
        return;
    };
    let task_inner = Arc::clone(inner);
    inner.tasks.spawn(async move {
        let inner = task_inner;
        let _permit = permit;
        let channel = keys::service_channel(&request.from.to_string());
        let call_id = request.call_id.clone();
        let result = match request.method.as_str() {
            method::REGISTER => register(&inner, &request),
            method::ORCHESTRATOR_ALIVE => orchestrator_alive(&inner, &request),
            _ => handler.handle(request).await,
        };
        let response = Response {
            call_id,
            from: called,
            result,
        };
        let published: RedisResult<u64> = inner
            .commands
            .clone()
            .publish(channel, response.to_string())
            .await;
        if let Err(error) = published {
            tracing::debug!(%error, "an answer could not be sent");
        }
    });
}

fn register(inner: &Inner, request: &Request) -> Answer {
    let registry = inner
        .registry
        .get()
        .ok_or_else(|| unknown_command(&request.method))?;
    let name = service_argument(request)?;
    if inner.names().any(|own| *own == name) {
        return Ok(vec!["ignored-self".into()]);
    }
    registry.register(name);
    Ok(vec!["registered".into()])
}

fn orchestrator_alive(inner: &Inner, request: &Request) -> Answer {
    let Some(again) = inner.register_again.get() else {
        return Ok(vec!["ignored-not-service".into()]);
    };
    service_argument(request)?;
    again.notify_one();
    Ok(vec!["ok".into()])
}

fn service_argument(request: &Request) -> Result<ServiceName, String> {
    let text = request.args.first().map_or("", String::as_str);
    ServiceName::parse(text)
        .ok_or_else(|| format!("`{}` needs a name of the form `svc:<type>:<id>`", request.method))
}
