//! What a session says to the server and hears of it, apart from media.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A client that reads nothing is soon noticed by the server only if little waits in the kernel.
const DEAF_BUFFER: u32 = 4096;
/// Addresses for documentation (RFC 5737, RFC 3849): somewhere else, wherever we are.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// What a server says.
pub enum Said {
    Prediction(Value),
    Candidate(String),
    State(Value),
    Dropped(Value),
    /// The session is over, by the server's word or because the connection to it is.
    Over {
        why: &'static str,
        said: Value,
    },
}

/// A session that the server has taken.
pub struct Joined {
    pub id: String,
    pub answer: String,
    pub said: mpsc::Receiver<Said>,
    goodbye: Goodbye,
}

enum Goodbye {
    Delete(reqwest::Client, String),
    Close(mpsc::Sender<()>),
}

impl Joined {
    /// Leaves as a client should, and tells what the server says to that.
    pub async fn leave(&mut self) -> anyhow::Result<Value> {
        match &self.goodbye {
            Goodbye::Delete(http, location) => {
                let response = http
                    .delete(location)
                    .timeout(ANSWER_LIMIT)
                    .send()
                    .await
                    .context("DELETE")?;
                Ok(json!({ "status": response.status().as_u16() }))
            }
            Goodbye::Close(close) => {
                close.send(()).await.ok();
                // The task ends when the server has closed, too.
                let ended = async { while self.said.recv().await.is_some() {} };
                timeout(ANSWER_LIMIT, ended)
                    .await
                    .context("the server does not close the WebSocket")?;
                Ok(json!({ "closed": true }))
            }
        }
    }
}

/// Where the server of this URL is.
async fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let (_, rest) = url
        .split_once("://")
        .with_context(|| format!("{url} is no URL"))?;
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut found = tokio::net::lookup_host(&host)
        .await
        .with_context(|| format!("no address of {host}"))?;
    found.next().with_context(|| format!("no address of {host}"))
}

/// The local address from which the server of this URL is reached. Sessions have no address of the loopback: to a server there, it is the one
/// from which others are reached.
pub async fn way_to(url: &str) -> anyhow::Result<IpAddr> {
    let server = address_of(url).await?;
    let ways = match server.ip() {
        ip if !ip.is_loopback() => vec![ip],
        ip => vec![OUTSIDE.into(), OUTSIDE_V6.into(), ip],
    };
    let ways = ways.into_iter().map(|ip| SocketAddr::new(ip, server.port()));
    ways.filter_map(local_address)
        .next()
        .with_context(|| format!("no way to {server}"))
}

/// Which address of ours the kernel would send from. Nothing is sent by that.
fn local_address(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let probe = UdpSocket::bind((any, 0)).ok()?;
    probe.connect(to).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

pub async fn join(
    url: &str,
    from: IpAddr,
    offer: String,
    deaf_after: Option<Duration>,
) -> anyhow::Result<Joined> {
    if url.starts_with("ws://") {
        timeout(ANSWER_LIMIT, join_websocket(url, from, offer, deaf_after))
            .await
            .context("no answer to Join")?
    } else {
        join_whip(url, from, offer).await
    }
}

async fn join_whip(url: &str, from: IpAddr, offer: String) -> anyhow::Result<Joined> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .local_address(from)
        .build()?;
    let post = http
        .post(url)
        .header("Content-Type", "application/sdp")
        .body(offer)
        .timeout(ANSWER_LIMIT);
    let response = post.send().await.with_context(|| format!("POST {url}"))?;
    let status = response.status();
    let location = response
        .headers()
        .get("Location")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let answer = response.text().await.context("the answer breaks off")?;
    let Some(location) = location.filter(|_| status == 201) else {
        bail!("POST {url}: {} {answer}", status.as_u16());
    };
    let (site, rest) = location
        .split_once("/whip/")
        .with_context(|| format!("Location: {location}"))?;
    let id = rest.rsplit('/').next().unwrap_or_default().to_owned();
    let events = http
        .get(format!("{site}/api/v1/sessions/{id}/predictions"))
        .send()
        .await
        .context("predictions")?;
    let (say, said) = mpsc::channel(64);
    tokio::spawn(follow(events, say));
    Ok(Joined {
        id,
        answer,
        said,
        goodbye: Goodbye::Delete(http, location),
    })
}

/// Passes on Server-Sent Events until there are no more, or nobody listens.
async fn follow(events: reqwest::Response, say: mpsc::Sender<Said>) {
    let mut pieces = events.bytes_stream();
    let mut text = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        text.extend_from_slice(&piece);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let Some(said) = parse_event(&String::from_utf8_lossy(&event)) else {
                continue;
            };
            let is_last = matches!(said, Said::Over { .. });
            if say.send(said).await.is_err() || is_last {
                return;
            }
        }
    }
    say.send(Said::Over {
        why: "connection-lost",
        said: Value::Null,
    })
    .await
    .ok();
}

/// The event that these lines are; none if they are a comment or of a kind that is unknown.
fn parse_event(lines: &str) -> Option<Said> {
    let field = |name| {
        lines
            .lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start()))
    };
    let data = || serde_json::from_str(field("data")?).ok();
    match field("event")? {
        "prediction" => Some(Said::Prediction(data()?)),
        "dropped" => Some(Said::Dropped(data()?)),
        "end" => Some(Said::Over {
            why: "server",
            said: data()?,
        }),
        _ => None,
    }
}

/// `ws://HOST/ws?PIPELINE`: the pipeline is no part of what the server is asked for, but of the message.
async fn join_websocket(
    url: &str,
    from: IpAddr,
    offer: String,
    deaf_after: Option<Duration>,
) -> anyhow::Result<Joined> {
    let (url, pipeline) = url.split_once('?').unwrap_or((url, "webrtc-detect"));
    let address = address_of(url).await?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.bind((from, 0).into())?;
    if deaf_after.is_some() {
        socket.set_recv_buffer_size(DEAF_BUFFER)?;
    }
    let stream = socket
        .connect(address)
        .await
        .with_context(|| format!("no connection to {address}"))?;
    let (mut socket, _) = client_async(url, stream)
        .await
        .with_context(|| format!("no WebSocket at {url}"))?;
    let join = json!({ "tenantId": "defaultTenant", "pipeline": pipeline, "protocol": 2, "sdp": offer });
    socket
        .send(Message::text(json!({ "type": "Join", "data": join }).to_string()))
        .await?;
    let mut id = String::new();
    let answer = loop {
        let Some((kind, data)) = next_message(&mut socket).await? else {
            bail!("closed before there was an answer")
        };
        match kind.as_str() {
            "SessionState" if data["state"] == "failed" => bail!("{}", data["reason"]),
            "SessionState" => id = data["session"].as_str().unwrap_or_default().to_owned(),
            "SdpAnswer" => break data["sdp"].as_str().context("SdpAnswer without sdp")?.to_owned(),
            "JoinError" | "Error" => bail!("{kind}: {data}"),
            _ => {}
        }
    };
    let (say, said) = mpsc::channel(64);
    let (close, closing) = mpsc::channel(1);
    let deaf_from = deaf_after.map(|after| Instant::now() + after);
    tokio::spawn(talk(socket, say, closing, deaf_from));
    Ok(Joined {
        id,
        answer,
        said,
        goodbye: Goodbye::Close(close),
    })
}

/// The type and data of the next message; nothing when the connection is closed in order.
async fn next_message(
    socket: &mut (impl Stream<Item = tokio_tungstenite::tungstenite::Result<Message>> + Unpin),
) -> anyhow::Result<Option<(String, Value)>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).context("a message that is no JSON")?;
                let kind = message["type"].as_str().unwrap_or_default().to_owned();
                return Ok(Some((kind, message["data"].clone())));
            }
            Some(Ok(Message::Close(_))) | None => return Ok(None),
            // The library answers pings by itself.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// Passes on what the server says, until it closes, or this side is to.
async fn talk(
    mut socket: WebSocketStream<TcpStream>,
    say: mpsc::Sender<Said>,
    mut closing: mpsc::Receiver<()>,
    deaf_from: Option<Instant>,
) {
    let deaf = async {
        match deaf_from {
            Some(from) => sleep_until(from).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deaf);
    let over = loop {
        let message = tokio::select! {
            message = next_message(&mut socket) => message,
            // Nobody listens, or wants to: the connection stays as it is until it is wanted no more.
            () = &mut deaf => {
                say.closed().await;
                return;
            }
            asked = closing.recv() => {
                if asked.is_some() && socket.close(None).await.is_ok() {
                    while socket.next().await.is_some_and(|message| message.is_ok()) {}
                }
                return;
            }
        };
        let (kind, data) = match message {
            Ok(Some(message)) => message,
            Ok(None) => {
                break Said::Over {
                    why: "connection-closed",
                    said: Value::Null,
                };
            }
            Err(error) => {
                break Said::Over {
                    why: "connection-lost",
                    said: json!(format!("{error:#}")),
                };
            }
        };
        let said = match kind.as_str() {
            "Prediction" => Said::Prediction(data),
            "IceCandidate" => Said::Candidate(data["candidate"].as_str().unwrap_or_default().to_owned()),
            "SessionState" if data["state"] == "ended" || data["state"] == "failed" => {
                break Said::Over {
                    why: "server",
                    said: data,
                };
            }
            "SessionState" | "Error" => Said::State(data),
            _ => continue,
        };
        if say.send(said).await.is_err() {
            return;
        }
    };
    say.send(over).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let prediction = parse_event("id: 1\nevent: prediction\ndata: {\"seq\":\"4\"}\n\n");
        assert!(matches!(prediction, Some(Said::Prediction(data)) if data["seq"] == "4"));
        let end = parse_event("event: end\ndata: {\"state\":\"ERROR\"}\n\n");
        assert!(matches!(end, Some(Said::Over { why: "server", said }) if said["state"] == "ERROR"));
        assert!(parse_event(": still here\n\n").is_none());
        assert!(parse_event("event: prediction\ndata: {\n\n").is_none());
    }
}
