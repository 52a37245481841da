//! The sink's task: takes one item after the other from the slot and writes it to Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::Pipeline;
use sightline_gst_common::Entry;
use sightline_protocol::frame::IMG;
use sightline_protocol::prediction::fields_to_json;
use sightline_protocol::{FrameHeader, Prediction, keys, unix_micros};

use crate::answers::{self, Answers, Received};
use crate::connection::{self, Error, Link, LinkState, Reporter, Server, Severity};
use crate::credits::Credits;
use crate::slot::Slot;

/// A write that takes longer has met a dead Redis.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the streaming thread hands over.
pub(crate) enum Item {
    Frame(Frame),
    Answer(Box<Answer>),
}

pub(crate) struct Frame {
    /// `seq`, `published` and `expires` are filled in when the frame is written.
    pub(crate) header: FrameHeader,
    pub(crate) img: Box<dyn AsRef<[u8]> + Send + Sync>,
}

pub(crate) struct Answer {
    pub(crate) prediction: Prediction,
    /// The frame's entry, which is done with.
    pub(crate) entry: Option<Entry>,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) stream: String,
    /// Over how many streams sessions are spread; 0: one.
    pub(crate) shards: u32,
    pub(crate) max_length: u32,
    pub(crate) max_in_flight: usize,
    pub(crate) expiry: Duration,
    /// Whose answers are wanted, if known before the first frame.
    pub(crate) session: Option<String>,
    /// What cannot be written now is dropped, not written later.
    pub(crate) leaky: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) accepted: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) expired_credits: AtomicU64,
    pub(crate) dropped_replaced: AtomicU64,
    pub(crate) dropped_redis: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    /// Microseconds that frames waited for a worker, and that inference took, on average of late; 0: not known.
    pub(crate) queue_us: AtomicU64,
    pub(crate) inference_us: AtomicU64,
    pub(crate) link: Arc<LinkState>,
}

impl Stats {
    /// A frame gave way to another in the slot: while Redis is away that is Redis's doing.
    pub(crate) fn count_leaked(&self) {
        let counter = if self.link.down.load(Ordering::Relaxed) {
            &self.dropped_redis
        } else {
            &self.dropped_replaced
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Publisher {
    config: Config,
    slot: Arc<Slot<Item>>,
    link: Link,
    answers: Answers,
    credits: Credits,
    session: Session,
    stats: Arc<Stats>,
    reporter: Reporter,
}

/// The session whose frames are being published.
#[derive(Default)]
struct Session {
    id: String,
    stream: String,
    next_seq: u64,
}

/// What became of a write.
enum Written {
    Yes,
    /// It was dropped, but perhaps Redis has it all the same.
    Unknown,
    No,
}

/// Connects, once and quickly. The future that comes back is the sink's task.
pub(crate) async fn start(
    server: Server,
    config: Config,
    slot: Arc<Slot<Item>>,
    stats: Arc<Stats>,
    reporter: Reporter,
) -> Result<impl Future<Output = ()>, Error> {
    let connection = server.connect(RESPONSE_TIMEOUT).await?;
    let credits = Credits::new(config.max_in_flight);
    let subscribed = match &config.session {
        Some(session) if credits.is_limited() => {
            let pubsub = server.subscribe(&keys::predictions_channel(session)).await?;
            Some((session.clone(), pubsub))
        }
        _ => None,
    };
    let (answers, listener) = answers::answers(server.clone(), subscribed, reporter.clone());
    let link = Link::new(
        server,
        connection,
        RESPONSE_TIMEOUT,
        stats.link.clone(),
        reporter.clone(),
    );
    let mut publisher = Publisher {
        credits,
        session: Session::default(),
        config,
        slot,
        link,
        answers,
        stats,
        reporter,
    };
    let run = async move {
        if let Some(session) = publisher.config.session.take() {
            publisher.enter(&session).await;
        }
        publisher.run().await;
    };
    Ok(async move {
        tokio::select! {
            () = run => {}
            () = listener => {}
        }
    })
}

impl Publisher {
    async fn run(mut self) {
        loop {
            self.turn().await;
            // Before taking: as long as Redis is away, newer frames may still replace the waiting one.
            self.link.connection().await;
            let Some(item) = self.slot.take() else { continue };
            match item {
                Item::Frame(frame) => self.publish(frame).await,
                Item::Answer(answer) => self.answer(*answer).await,
            }
            self.slot.done();
        }
    }

    /// Waits for an item that may be written; meanwhile credits come back.
    async fn turn(&mut self) {
        loop {
            let left = self.credits.are_left();
            self.slot.open(left);
            let expiry = self.credits.next_expiry();
            tokio::select! {
                biased;
                Some(received) = self.answers.received.recv() => self.answered(&received),
                () = sleep_until(expiry) => {
                    let expired = self.credits.expire(Instant::now()) as u64;
                    self.stats.expired_credits.fetch_add(expired, Ordering::Relaxed);
                }
                () = self.slot.filled(), if left => return,
            }
            self.note_in_flight();
        }
    }

    fn answered(&mut self, Received { header, fields }: &Received) {
        if header.participant_id != self.session.id || !self.credits.answer(header.seq, header.timestamp) {
            return;
        }
        self.stats.answered.fetch_add(1, Ordering::Relaxed);
        // A v1 worker does not say.
        let said = |name| Some(Duration::from_micros(fields.get(name)?.parse().ok()?));
        if let (Some(queued), Some(inferred)) = (said("queue_us"), said("infer_us")) {
            self.credits.waited(queued, inferred);
            average(&self.stats.queue_us, queued);
            average(&self.stats.inference_us, inferred);
        }
    }

    fn note_in_flight(&self) {
        let in_flight = self.credits.in_flight() as u64;
        self.stats.in_flight.store(in_flight, Ordering::Relaxed);
    }

    /// Begins a session: its frames count from 0, its answers are listened for.
    async fn enter(&mut self, session: &str) {
        self.session = Session {
            id: session.to_owned(),
            stream: keys::shard_of(&self.config.stream, session, self.config.shards),
            next_seq: 0,
        };
        self.credits.clear();
        if self.credits.is_limited() {
            self.answers.listen(session).await;
        }
    }

    async fn publish(&mut self, frame: Frame) {
        let Frame { mut header, img } = frame;
        if self.session.id != header.participant_id {
            self.enter(&header.participant_id).await;
        }
        let seq = self.session.next_seq;
        header.seq = Some(seq);
        let now = unix_micros();
        header.published = Some(now);
        header.expires = Some(expires(header.captured, self.config.expiry, now));

        let mut pipeline = connection::pipe();
        let command = self.add(&mut pipeline);
        for (name, value) in header.fields() {
            command.arg(name).arg(value);
        }
        command.arg(IMG).arg((*img).as_ref());
        let timestamp = header.timestamp;
        match self.write(&pipeline).await {
            Written::Yes => {
                self.session.next_seq += 1;
                self.credits.spend(seq, timestamp, Instant::now());
                self.stats.published.fetch_add(1, Ordering::Relaxed);
                self.note_in_flight();
            }
            // A reader must never see one number on two frames.
            Written::Unknown => self.session.next_seq += 1,
            Written::No => {}
        }
    }

    /// Writes, announces and acknowledges in one round trip. Not as a transaction: in a cluster the streams live
    /// on different nodes, which are asked at the same time.
    async fn answer(&mut self, answer: Answer) {
        let Answer {
            mut prediction,
            entry,
        } = answer;
        prediction.answered = Some(unix_micros());
        let mut pipeline = connection::pipe();
        let command = self.add(&mut pipeline);
        let fields = prediction.fields();
        for (name, value) in &fields {
            command.arg(name).arg(value);
        }
        pipeline
            .cmd("PUBLISH")
            .arg(keys::predictions_channel(&prediction.participant_id))
            .arg(fields_to_json(fields));
        if let Some(Entry { stream, id, group }) = &entry {
            pipeline.cmd("XACK").arg(stream).arg(group).arg(id);
            pipeline.cmd("XDEL").arg(stream).arg(id);
        }
        if let Written::Yes = self.write(&pipeline).await {
            self.stats.published.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where a session's frames go; what has no session in this sense, answers, goes to the one stream.
    fn stream(&self) -> &str {
        match &*self.session.stream {
            "" => &self.config.stream,
            stream => stream,
        }
    }

    fn add<'a>(&self, pipeline: &'a mut Pipeline) -> &'a mut Pipeline {
        pipeline
            .cmd("XADD")
            .arg(self.stream())
            .arg("MAXLEN")
            .arg("~")
            .arg(self.config.max_length)
            .arg("*")
    }

    /// Writes once; a sink that may lose nothing writes again after a lost connection.
    async fn write(&mut self, pipeline: &Pipeline) -> Written {
        loop {
            let mut connection = self.link.connection().await;
            let Err(failed) = connection::execute(&mut connection, pipeline).await else {
                self.link.healthy();
                return Written::Yes;
            };
            match Severity::of(&failed.error) {
                Severity::Lost => {
                    self.link.lost(&failed.error);
                    if !self.config.leaky {
                        continue;
                    }
                    self.count_dropped();
                    return Written::Unknown;
                }
                Severity::Full => {
                    self.link.healthy();
                    self.count_dropped();
                    self.reporter.warn(format_args!(
                        "Redis at {} is full and takes nothing into `{}`: give it more `maxmemory`, or write less",
                        self.link.server(),
                        self.stream(),
                    ));
                    return Written::No;
                }
                Severity::NoGroup | Severity::Permanent => {
                    self.count_dropped();
                    let text = self.link.server().refused(&failed.to_string()).to_string();
                    // In this order: what the streaming thread then posts says nothing.
                    self.reporter.fail(&text);
                    self.slot.fail(text);
                    return Written::No;
                }
            }
        }
    }

    fn count_dropped(&self) {
        self.stats.dropped_redis.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves an average, one of eight answers or so, towards what the last one says.
fn average(average: &AtomicU64, last: Duration) {
    let last = u64::try_from(last.as_micros()).unwrap_or(u64::MAX);
    let next = match average.load(Ordering::Relaxed) {
        0 => last,
        before => before - before / 8 + last / 8,
    };
    average.store(next, Ordering::Relaxed);
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// When a frame expires: `expiry` after its capture, but a frame that was long under way is still given half of
/// that from now, or it would be published dead.
fn expires(captured: Option<u64>, expiry: Duration, now: u64) -> u64 {
    let expiry = u64::try_from(expiry.as_micros()).unwrap_or(u64::MAX);
    let by_capture = captured.unwrap_or(now).saturating_add(expiry);
    by_capture.max(now.saturating_add(expiry / 2))
}

/// The id of a session as it may be written, or what is wrong with it.
pub(crate) fn check_session(id: &str) -> Result<(), sightline_protocol::FieldError> {
    let fields: [(&[u8], &[u8]); 3] = [
        (b"participantId", id.as_bytes()),
        (b"timestamp", b"0"),
        (IMG.as_bytes(), b""),
    ];
    FrameHeader::parse(fields).map(drop)
}

/// Fails if Redis does not answer at once.
pub(crate) fn start_and_wait(
    server: Server,
    config: Config,
    slot: Arc<Slot<Item>>,
    stats: Arc<Stats>,
    reporter: Reporter,
    cancelled: tokio_util::sync::CancellationToken,
) -> Result<(), Error> {
    connection::wait(async move {
        let task = start(server, config, slot, stats, reporter).await?;
        connection::spawn(async move {
            cancelled.run_until_cancelled(task).await;
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_expire_after_their_capture_but_never_at_once() {
        let second = Duration::from_secs(1);
        assert_eq!(expires(Some(1_000_000), second, 1_100_000), 2_000_000);
        assert_eq!(expires(Some(1_000_000), second, 9_000_000), 9_500_000);
        assert_eq!(expires(None, second, 5_000_000), 6_000_000);
        assert_eq!(expires(Some(u64::MAX), second, 5), u64::MAX);
    }

    #[test]
    fn session_ids_are_checked() {
        assert!(check_session("abc-123").is_ok());
        assert!(check_session("").is_err());
        assert!(check_session("a b").is_err());
    }
}
