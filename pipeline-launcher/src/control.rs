//! What a launcher and the process of one pipeline say to each other: JSON lines over a Unix socket, which is the
//! process's standard input. Its closing tells each side that the other is gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_protocol::Failure;
use sightline_protocol::rpc::{IceCandidate, Waiting};
use sightline_service::histogram::Histogram;

use crate::description::Resolved;

/// From the launcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The first command, and once only.
    Start(Box<Start>),
    /// The peer's answer to our offer.
    Answer {
        sdp: String,
    },
    Candidate(IceCandidate),
    /// Take no more frames, finish those that were taken, then end as at the end of a stream.
    Drain,
    /// End in order: the process exits with 0.
    Stop,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub pipeline: Resolved,
    /// The session's id, or the worker's name: what the Redis elements write.
    pub identity: String,
    pub webrtc: Network,
    /// The peer's offer; none: we offer.
    #[serde(default)]
    pub offer: Option<String>,
    /// Files and sockets that the process may have open; none: as many as the launcher.
    #[serde(default)]
    pub max_open_files: Option<u64>,
}

/// How a session's peer can reach us.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The one UDP port of this session; none: any.
    pub udp_port: Option<u16>,
    /// Addresses to advertise instead of the host's own.
    pub public_ips: Vec<std::net::IpAddr>,
    /// STUN and TURN servers, as webrtcbin takes them.
    pub ice_servers: Vec<String>,
    /// True if our description need not wait for candidates.
    pub trickle: bool,
    /// As in [`sightline_protocol::rpc::SessionStart`].
    #[serde(default)]
    pub silence_secs: Option<u32>,
}

/// From the pipeline's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// GStreamer is initialised: `Start` will be fast.
    Ready,
    /// Our offer, or our answer to the peer's.
    Described {
        sdp: String,
    },
    AnswerTaken,
    AnswerRefused(Failure),
    /// One of ours, at each address that it is advertised with.
    Candidates(Vec<IceCandidate>),
    /// The ICE connection's state changed (W3C names).
    Ice {
        new: String,
        old: String,
    },
    /// Media can flow; of a worker: frames can be taken.
    Running,
    /// Each second from the first start on: the sign of life.
    Progress(Progress),
    /// Over; the process exits with 1.
    Failed(Failure),
    /// Over, as wished or at the end of the stream; the process exits with 0.
    Ended,
}

/// How frames move through a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Buffers that left the sources, since the start.
    pub frames_in: u64,
    /// Buffers that reached the sinks, since the start.
    pub frames_out: u64,
    /// Buffers a second at the sinks, since the last report.
    pub rate: f64,
    /// Why none reached a sink since the last report.
    pub waiting: Option<Waiting>,
    /// The element that has been busy with one frame for longest.
    pub held: Option<Held>,
    /// The `stats` of our elements, by the element's name.
    pub stats: BTreeMap<String, Stats>,
    /// Where the time of inferred frames went, by model, since the start.
    #[serde(default)]
    pub stages: BTreeMap<String, StageTimes>,
}

/// How long frames took from one place to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// From Redis's taking a frame to a worker's reading it.
    pub queue: Histogram,
    /// From there to the start of inference.
    pub decode: Histogram,
    pub preprocess: Histogram,
    pub inference: Histogram,
    pub postprocess: Histogram,
    /// The last three together.
    pub total: Histogram,
}

/// Numbers and words by their name in an element's `stats`.
pub type Stats = BTreeMap<String, serde_json::Value>;

/// An element that has a frame and neither passes it on nor returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub element: String,
    pub for_ms: u64,
}

/// A message as a line.
pub fn to_line<T: Serialize>(message: &T) -> std::io::Result<String> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdp_stays_on_one_line() {
        let command = Command::Answer {
            sdp: "v=0\r\na=x\n".into(),
        };
        let line = to_line(&command).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(serde_json::from_str::<Command>(&line).unwrap(), command);
    }
}
