//! A session from its offer to its end, and again where that is wanted.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::args::{Args, End};
use crate::peer::{CLOCK_RATE, Noticed, Peer};
use crate::report::{Report, unix_us};
use crate::server::{Joined, Said, join, way_to};
use crate::video::{Player, Video, is_keyframe};

/// Before a client joins again.
const PAUSE: Duration = Duration::from_millis(500);
/// Sent frames that a prediction may still belong to.
const REMEMBERED: usize = 900;

/// Runs one session until it is to stop; with `again`, one after the other.
pub async fn run(args: &Args, video: &Video, session: usize, mut stop: watch::Receiver<bool>) {
    for attempt in 1.. {
        let report = Report {
            session,
            attempt,
            summary: args.summary,
        };
        if let Err(error) = publish(args, video, report, &mut stop).await {
            report.line("over", json!({ "why": "error", "said": format!("{error:#}") }));
        }
        if !args.again || *stop.borrow() {
            return;
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn publish(
    args: &Args,
    video: &Video,
    report: Report,
    stop: &mut watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let from = match args.address {
        Some(address) => address,
        None => way_to(&args.url).await?,
    };
    let mut peer = Peer::new(from, args.packet_size).await?;
    let offer = peer.offer()?;
    let deaf_after = args.deaf_after.map(Duration::from_secs_f64);
    let mut joined = tokio::select! {
        joined = join(&args.url, from, offer, deaf_after) => joined?,
        _ = stop.changed() => return Ok(()),
    };
    report.line(
        "joined",
        json!({ "id": joined.id, "after_ms": milliseconds(begun.elapsed()) }),
    );
    peer.accept(std::mem::take(&mut joined.answer))?;

    let period = Duration::from_secs_f64(1.0 / args.fps.unwrap_or(video.fps));
    let mut sending = Sending::new(Player::new(video), period, report, begun);
    let is_over = sending.exchange(&mut peer, &mut joined, stop).await?;
    report.line("total", sending.totals());
    if !is_over && args.end == End::Leave {
        report.line(
            "left",
            joined
                .leave()
                .await
                .unwrap_or_else(|error| json!({ "error": format!("{error:#}") })),
        );
    }
    if args.end != End::Vanish {
        peer.close()?;
    }
    Ok(())
}

struct Sending<'a> {
    player: Player<'a>,
    period: Duration,
    report: Report,
    begun: Instant,
    first_timestamp: u32,
    sent: u64,
    frames: Frames,
    last_seq: Option<u64>,
    late_or_twice: u64,
    unknown: u64,
    dropped: u64,
    latencies: Vec<f64>,
    first_prediction: Option<Duration>,
}

impl<'a> Sending<'a> {
    fn new(player: Player<'a>, period: Duration, report: Report, begun: Instant) -> Self {
        Self {
            player,
            period,
            report,
            begun,
            first_timestamp: rand::random(),
            sent: 0,
            frames: Frames::default(),
            last_seq: None,
            late_or_twice: 0,
            unknown: 0,
            dropped: 0,
            latencies: Vec::new(),
            first_prediction: None,
        }
    }

    /// Sends and hears until the end; true if it was not this side that wanted it.
    async fn exchange(
        &mut self,
        peer: &mut Peer,
        joined: &mut Joined,
        stop: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<bool> {
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut connected = false;
        let mut first_tick = None;
        loop {
            peer.flush();
            for noticed in peer.noticed() {
                match noticed {
                    Noticed::Connected => {
                        connected = true;
                        ticks.reset_immediately();
                        self.report.line(
                            "connected",
                            json!({ "after_ms": milliseconds(self.begun.elapsed()) }),
                        );
                    }
                    Noticed::KeyframeAsked => {
                        self.player.jump_to_keyframe();
                        self.report.detail("keyframe-asked", || json!({}));
                    }
                    Noticed::Gone(how) => {
                        self.report.line("over", json!({ "why": "peer", "said": how }));
                        return Ok(true);
                    }
                }
            }
            tokio::select! {
                waited = peer.wait() => waited?,
                tick = ticks.tick(), if connected => {
                    let since = tick - *first_tick.get_or_insert(tick);
                    self.send(peer, since)?;
                }
                said = joined.said.recv() => {
                    if said.is_none_or(|said| self.hear(peer, said)) {
                        return Ok(true);
                    }
                }
                _ = stop.changed() => return Ok(false),
            }
        }
    }

    /// The next frame. Its timestamp is the time's, whatever was left out before: as a camera's that was too slow.
    fn send(&mut self, peer: &mut Peer, since: Duration) -> anyhow::Result<()> {
        let ticks = (since.as_secs_f64() / self.period.as_secs_f64()).round();
        let clock = (ticks * self.period.as_secs_f64() * f64::from(CLOCK_RATE)) as u64;
        let timestamp = self.first_timestamp.wrapping_add(clock as u32);
        let (number, frame) = self.player.next();
        peer.send(frame, timestamp)?;
        let keyframe = is_keyframe(frame);
        let sent = json!({ "n": self.sent, "frame": number, "rtp": timestamp, "keyframe": keyframe });
        self.report.detail("sent", || sent);
        self.sent += 1;
        self.frames.remember(timestamp, number);
        Ok(())
    }

    /// True if this was the last.
    fn hear(&mut self, peer: &mut Peer, said: Said) -> bool {
        match said {
            Said::Prediction(prediction) => self.count(&prediction),
            Said::Candidate(candidate) => {
                if let Err(error) = peer.add_candidate(candidate) {
                    self.report
                        .line("state", json!({ "candidate": format!("{error:#}") }));
                }
            }
            Said::State(state) => self.report.line("state", state),
            Said::Dropped(data) => {
                self.dropped += data["count"].as_u64().unwrap_or(0);
                self.report.line("dropped", data);
            }
            Said::Over { why, said } => {
                self.report.line("over", json!({ "why": why, "said": said }));
                return true;
            }
        }
        false
    }

    fn count(&mut self, prediction: &Value) {
        let number = |name: &str| {
            prediction[name]
                .as_str()
                .and_then(|text| text.parse::<u64>().ok())
        };
        let (seq, timestamp) = (number("seq"), number("timestamp"));
        if seq.is_none() || seq <= self.last_seq {
            self.late_or_twice += 1;
        }
        self.last_seq = self.last_seq.max(seq);
        self.first_prediction.get_or_insert_with(|| self.begun.elapsed());
        let frame = timestamp.and_then(|timestamp| self.frames.find(timestamp));
        let latency_ms = frame.map(|(_, at)| unix_us().saturating_sub(at) as f64 / 1000.0);
        match latency_ms {
            Some(latency) => self.latencies.push(latency),
            None => self.unknown += 1,
        }
        self.report.detail("prediction", || {
            json!({
                "seq": seq,
                "rtp": timestamp,
                "frame": frame.map(|(number, _)| number),
                "latency_ms": latency_ms,
                "detections": prediction["detections"],
            })
        });
    }

    fn totals(&mut self) -> Value {
        self.latencies.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let last = self.latencies.len().checked_sub(1)?;
            self.latencies
                .get((share * last as f64).round() as usize)
                .copied()
        };
        json!({
            "sent": self.sent,
            "predictions": self.latencies.len() as u64 + self.unknown,
            "late_or_twice": self.late_or_twice,
            "of_no_frame": self.unknown,
            "dropped": self.dropped,
            "first_prediction_ms": self.first_prediction.map(milliseconds),
            "latency_ms": { "p50": quantile(0.5), "p95": quantile(0.95), "max": quantile(1.0) },
        })
    }
}

/// The last frames that were sent: their number in the file and when, by timestamp.
#[derive(Default)]
struct Frames {
    by_timestamp: HashMap<u32, (usize, u64)>,
    order: VecDeque<u32>,
}

impl Frames {
    fn remember(&mut self, timestamp: u32, number: usize) {
        self.by_timestamp.insert(timestamp, (number, unix_us()));
        self.order.push_back(timestamp);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_timestamp.remove(&oldest);
        }
    }

    fn find(&self, timestamp: u64) -> Option<(usize, u64)> {
        self.by_timestamp.get(&u32::try_from(timestamp).ok()?).copied()
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
