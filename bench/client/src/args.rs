use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Publishes a video over WebRTC, from as many sessions as wanted, and tells in lines of JSON what becomes of them.
///
/// Every line has `session` (from 0), `attempt` (from 1), `at` (Unix time in microseconds) and `what`:
/// `joined` (`id`, `after_ms` since the offer), `connected`, `sent` (`n`, `frame`, `rtp`, `keyframe`), `prediction` (`seq`, `rtp`, `frame`,
/// `latency_ms`, `detections`), `keyframe-asked`, `state`, `dropped`, `over` (`why`, and the server's words in `said`), `left`, `total` (counts and
/// quantiles of one attempt). The last line has `what` `process`: processor time of all sessions. `frame` is the number of the picture in the file.
#[derive(Parser)]
#[command(version)]
pub struct Args {
    /// Where to publish: http://HOST/whip/PIPELINE for WHIP, ws://HOST/ws?PIPELINE for the WebSocket.
    pub url: String,
    /// The video: VP8 in an IVF file. It is played again and again.
    #[arg(long)]
    pub video: PathBuf,
    /// Sessions in this process.
    #[arg(long, default_value_t = 1)]
    pub sessions: usize,
    /// Frames a second, instead of the file's rate.
    #[arg(long)]
    pub fps: Option<f64>,
    /// Seconds after which all end; without it they end at SIGTERM or SIGINT.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Seconds between the starts of two sessions.
    #[arg(long, default_value_t = 0.1)]
    pub apart: f64,
    /// How a session ends.
    #[arg(long, value_enum, default_value_t = End::Leave)]
    pub end: End,
    /// Joins again when a session is over that was not to end.
    #[arg(long)]
    pub again: bool,
    /// The local address that all is sent from; without it, the one from which the server is reached.
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// Most bytes of an RTP packet.
    #[arg(long, default_value_t = 1200)]
    pub packet_size: usize,
    /// Reads nothing of the WebSocket any more after so many seconds, and goes on sending video: a slow client.
    #[arg(long)]
    pub deaf_after: Option<f64>,
    /// No lines for single frames and predictions.
    #[arg(long)]
    pub summary: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// By DELETE, or by closing the WebSocket; then by DTLS.
    Leave,
    /// Only by DTLS: the server is told nothing over HTTP.
    Close,
    /// Without a word to anybody.
    Vanish,
}
