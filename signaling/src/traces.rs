//! A sampled frame's trace, from its capture to its delivery, as OpenTelemetry spans.
//!
//! All spans are made here, when the frame's prediction has reached a client: the times of what came before travel with
//! it. So sessions and workers need no exporter, and a trace is whole or not there.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use serde_json::Value;
use warp::http::HeaderMap;

/// Contexts of clients, and ids of traces, that are remembered.
const REMEMBERED: usize = 1024;
/// How long the last spans may take when the server stops.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Who did what a span tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Session,
    Worker,
    Signaling,
}

const PARTS: [(Part, &str); 3] = [
    (Part::Session, "sightline-session"),
    (Part::Worker, "sightline-worker"),
    (Part::Signaling, "sightline-signaling"),
];

struct Exporter {
    processors: Vec<(Part, BatchSpanProcessor)>,
    /// Contexts that clients gave for their sessions.
    clients: Mutex<VecDeque<(String, SpanContext)>>,
    /// Traces that are out: a frame may be delivered several times.
    told: Mutex<VecDeque<TraceId>>,
}

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// Exports from now on, if the environment says where to.
pub(crate) fn start() -> anyhow::Result<()> {
    let Some(endpoint) = endpoint() else { return Ok(()) };
    ensure!(
        endpoint.starts_with("http://"),
        "traces cannot be sent to `{endpoint}`: OTEL_EXPORTER_OTLP_ENDPOINT must begin with http://. Run an OpenTelemetry \
         collector near by, which may send them on by TLS"
    );
    let processors = PARTS
        .iter()
        .map(|(part, service)| Ok((*part, processor(service)?)))
        .collect::<anyhow::Result<_>>()
        .with_context(|| format!("traces cannot be sent to `{endpoint}` (OTEL_EXPORTER_OTLP_ENDPOINT)"))?;
    let exporter = Exporter {
        processors,
        clients: Mutex::default(),
        told: Mutex::default(),
    };
    if EXPORTER.set(exporter).is_ok() {
        tracing::info!("traces of sampled frames are exported");
    }
    Ok(())
}

/// Where traces go, as OpenTelemetry's environment has it; none: nowhere.
fn endpoint() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
}

fn processor(service: &'static str) -> anyhow::Result<BatchSpanProcessor> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .build()?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    processor.set_resource(&resource);
    Ok(processor)
}

/// Sends what is left.
pub(crate) async fn stop() {
    let Some(exporter) = EXPORTER.get() else { return };
    let last = tokio::task::spawn_blocking(|| {
        for (_, processor) in &exporter.processors {
            if let Err(error) = processor.shutdown_with_timeout(LAST_SPANS) {
                tracing::debug!(%error, "the last spans were not sent");
            }
        }
    });
    if tokio::time::timeout(LAST_SPANS, last).await.is_err() {
        tracing::debug!("the last spans were not sent in time");
    }
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() >= REMEMBERED {
        kept.pop_front();
    }
    kept.push_back(new);
}

/// The trace context that a client came with.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// A client gave a context (W3C `traceparent`) when it began this session: its frames' traces are linked to it. They are
/// traces of their own, because a session has no end of frames.
pub(crate) fn link(session: &str, traceparent: Option<&str>) {
    if let (Some(exporter), Some(context)) = (EXPORTER.get(), traceparent.and_then(context_of)) {
        let mut clients = exporter.clients.lock().unwrap_or_else(PoisonError::into_inner);
        push(&mut clients, (session.to_owned(), context));
    }
}

/// `00-<trace>-<span>-<flags>`; a version to come may have more behind it.
fn context_of(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let hex = |part: Option<&str>, digits: usize| {
        let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.filter(|part| part.len() == digits && part.as_bytes().iter().all(lower))
            .map(str::to_owned)
    };
    let version = hex(parts.next(), 2).filter(|version| version != "ff")?;
    let trace = TraceId::from_hex(&hex(parts.next(), 32)?).ok()?;
    let span = SpanId::from_hex(&hex(parts.next(), 16)?).ok()?;
    let flags = u8::from_str_radix(&hex(parts.next(), 2)?, 16).ok()?;
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::default());
    context.is_valid().then_some(context)
}

/// When a sampled frame was where before it came here, in microseconds; points of time are Unix time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times {
    context: SpanContext,
    session: String,
    model: String,
    worker: String,
    published: Option<u64>,
    read: Option<u64>,
    answered: Option<u64>,
    queue: Option<u64>,
    decode: Option<u64>,
    preprocess: u64,
    infer: u64,
    postprocess: u64,
}

/// A part of the way: who, what, from when to when.
type Stretch = (Part, &'static str, u64, u64);

impl Times {
    /// None if the frame is not sampled, or nobody wants to know.
    pub(crate) fn of(entry: &Value) -> Option<Self> {
        EXPORTER.get()?;
        Self::read(entry)
    }

    fn read(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name)?.as_str();
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        Some(Self {
            context: context_of(text("traceparent")?).filter(SpanContext::is_sampled)?,
            session: text("participantId")?.to_owned(),
            model: text("model").unwrap_or_default().to_owned(),
            worker: text("worker").unwrap_or_default().to_owned(),
            published: number("published"),
            read: number("read"),
            answered: number("answered"),
            queue: number("queue_us"),
            decode: number("decode_us"),
            preprocess: number("preprocess_us").unwrap_or(0),
            infer: number("infer_us").unwrap_or(0),
            postprocess: number("postprocess_us").unwrap_or(0),
        })
    }

    /// The way without gaps, in order; where clocks of hosts disagree, a stretch of it has no length.
    fn stretches(&self, captured: u64, taken_up: u64, delivered: u64) -> Vec<Stretch> {
        let work = self
            .preprocess
            .saturating_add(self.infer)
            .saturating_add(self.postprocess);
        let answered = self.answered.unwrap_or(taken_up);
        let detector = if self.read.is_some() {
            Part::Worker
        } else {
            Part::Session
        };
        let mut way = Vec::new();
        let mut at = captured;
        let mut until = |part, name, end: u64| {
            let end = end.max(at);
            way.push((part, name, at, end));
            at = end;
        };
        let started = match self.read {
            Some(read) => {
                // Redis's clock, in milliseconds.
                let queued = read.saturating_sub(self.queue.unwrap_or(0));
                until(Part::Session, "capture", self.published.unwrap_or(queued));
                until(Part::Session, "publish", queued);
                until(Part::Worker, "queue", read);
                let started = read.saturating_add(self.decode.unwrap_or(0));
                until(Part::Worker, "decode", started);
                started
            }
            None => {
                let started = answered.saturating_sub(work);
                until(Part::Session, "capture", started);
                started
            }
        };
        until(detector, "infer", started.saturating_add(work));
        until(detector, "answer", answered);
        until(Part::Signaling, "return", taken_up);
        until(Part::Signaling, "deliver", delivered);
        way
    }

    /// What `infer` consists of.
    fn inside(&self, infer: &Stretch) -> Vec<Stretch> {
        let (part, _, mut at, _) = *infer;
        [
            ("preprocess", self.preprocess),
            ("inference", self.infer),
            ("postprocess", self.postprocess),
        ]
        .map(|(name, us)| {
            let from = at;
            at = at.saturating_add(us);
            (part, name, from, at)
        })
        .into()
    }
}

/// Makes a frame's spans and hands them to the exporter.
pub(crate) fn export(times: &Times, captured: u64, taken_up: u64, delivered: u64) {
    let Some(exporter) = EXPORTER.get() else { return };
    let mut told = exporter.told.lock().unwrap_or_else(PoisonError::into_inner);
    let trace = times.context.trace_id();
    if told.contains(&trace) {
        return;
    }
    push(&mut told, trace);
    drop(told);
    let clients = exporter.clients.lock().unwrap_or_else(PoisonError::into_inner);
    let client = clients
        .iter()
        .rev()
        .find(|(session, _)| *session == times.session);
    let client = client.map(|(_, context)| context.clone());
    drop(clients);
    for (part, span) in spans(times, client, captured, taken_up, delivered) {
        let processor = exporter.processors.iter().find(|(of, _)| *of == part);
        if let Some((_, processor)) = processor {
            processor.on_end(span);
        }
    }
}

fn spans(
    times: &Times,
    client: Option<SpanContext>,
    captured: u64,
    taken_up: u64,
    delivered: u64,
) -> Vec<(Part, SpanData)> {
    // The context that the session wrote into the frame is the whole frame's span.
    let root = times.context.span_id();
    let whole = (Part::Signaling, "frame", captured, delivered.max(captured));
    let mut frame = span(times, root, SpanId::INVALID, whole);
    // Enough of the session's id to tell sessions apart, and not enough to follow one.
    let session: String = times.session.chars().take(8).collect();
    frame.attributes = vec![
        KeyValue::new("sightline.session", session),
        KeyValue::new("sightline.model", times.model.clone()),
        KeyValue::new("sightline.worker", times.worker.clone()),
    ];
    frame
        .links
        .links
        .extend(client.map(|client| Link::new(client, Vec::new(), 0)));
    let mut all = vec![(Part::Signaling, frame)];
    for stretch in times.stretches(captured, taken_up, delivered) {
        let id = SpanId::from_bytes(rand::random());
        all.push((stretch.0, span(times, id, root, stretch)));
        if stretch.1 == "infer" {
            for part in times.inside(&stretch) {
                let own = SpanId::from_bytes(rand::random());
                all.push((part.0, span(times, own, id, part)));
            }
        }
    }
    all
}

fn span(times: &Times, id: SpanId, parent: SpanId, (_, name, from, to): Stretch) -> SpanData {
    let time = |us: u64| SystemTime::UNIX_EPOCH + Duration::from_micros(us);
    let trace = times.context.trace_id();
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: time(from),
        end_time: time(to),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("sightline").build(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn remote() -> Value {
        json!({
            "participantId": "0f8fad5bd9cb469fa165708867728950", "traceparent": TRACE,
            "published": "10000", "read": "13500", "queue_us": "3500", "decode_us": "1000",
            "preprocess_us": "300", "infer_us": "9000", "postprocess_us": "100", "answered": "24000",
        })
    }

    fn names_and_ends(way: &[Stretch]) -> Vec<(&'static str, u64)> {
        way.iter().map(|(_, name, _, end)| (*name, *end)).collect()
    }

    #[test]
    fn a_frames_way_has_no_gaps() {
        let times = Times::read(&remote()).unwrap();
        let way = times.stretches(2_000, 25_000, 25_500);
        assert_eq!(
            names_and_ends(&way),
            [
                ("capture", 10_000),
                ("publish", 10_000),
                ("queue", 13_500),
                ("decode", 14_500),
                ("infer", 23_900),
                ("answer", 24_000),
                ("return", 25_000),
                ("deliver", 25_500),
            ]
        );
        assert!(way.windows(2).all(|pair| pair[0].3 == pair[1].2), "{way:?}");
        let sum: u64 = way.iter().map(|(_, _, from, to)| to - from).sum();
        assert_eq!(sum, 25_500 - 2_000);
        let all = spans(&times, context_of(TRACE), 2_000, 25_000, 25_500);
        assert_eq!(all.len(), 1 + way.len() + 3);
        assert_eq!((all[0].1.links.len(), all[1].1.links.len()), (1, 0));
        let id = |at: usize| all[at].1.span_context.span_id();
        assert_eq!(id(0).to_string(), "b7ad6b7169203331");
        assert!(all[1..6].iter().all(|(_, span)| span.parent_span_id == id(0)));
        assert!(all[6..9].iter().all(|(_, span)| span.parent_span_id == id(5)));
    }

    #[test]
    fn inference_in_the_session_has_no_queue() {
        let mut entry = remote();
        for field in ["published", "read", "queue_us", "decode_us"] {
            entry.as_object_mut().unwrap().remove(field);
        }
        let way = Times::read(&entry).unwrap().stretches(2_000, 25_000, 25_500);
        assert_eq!(
            names_and_ends(&way)[..2],
            [("capture", 14_600), ("infer", 24_000)]
        );
        assert!(way.iter().all(|(part, ..)| *part != Part::Worker));
    }

    #[test]
    fn clocks_that_disagree_cost_a_stretch_its_length_and_nothing_else() {
        let times = Times::read(&remote()).unwrap();
        let way = times.stretches(20_000, 21_000, 20_500);
        assert!(way.iter().all(|(_, _, from, to)| from <= to), "{way:?}");
    }

    #[test]
    fn contexts_are_read_as_the_standard_has_them() {
        assert!(context_of(TRACE).is_some_and(|context| context.is_sampled()));
        let not_sampled = TRACE.replace("-01", "-00");
        assert!(context_of(&not_sampled).is_some_and(|context| !context.is_sampled()));
        assert!(context_of(&format!("01{}-more", &TRACE[2..])).is_some());
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é1",
        ] {
            assert_eq!(context_of(bad), None, "{bad}");
        }
        let mut entry = remote();
        entry["traceparent"] = not_sampled.into();
        assert_eq!(Times::read(&entry), None);
    }
}
