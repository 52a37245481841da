//! A described pipeline as GStreamer runs it.

use std::sync::mpsc;
use std::time::Duration;

use gst::prelude::*;
use sightline_protocol::{ErrorId, Failure};

use crate::control::Start;
use crate::description::build;

pub(super) struct Pipeline(gst::Pipeline);

/// What a message on the bus means for the process.
pub(super) enum Verdict {
    GoOn,
    Playing,
    Ended,
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(ErrorId::SessionFailed, message)
}

impl Pipeline {
    pub(super) fn build(start: &Start) -> Result<Self, Failure> {
        let pipeline = Self(build::build(&start.pipeline).map_err(failed)?);
        pipeline.introduce(&start.identity);
        Ok(pipeline)
    }

    pub(super) fn bin(&self) -> &gst::Bin {
        self.0.upcast_ref()
    }

    /// Tells the Redis elements for whom they work, unless the description does.
    fn introduce(&self, identity: &str) {
        let mut elements = self.0.iterate_recurse();
        while let Ok(Some(element)) = elements.next() {
            let factory = element.factory().map(|factory| factory.name());
            let properties: &[&str] = match factory.as_deref() {
                Some("redisstreamsink") => &["participant-id", "worker-id"],
                Some("detectionjoin") => &["participant-id"],
                Some("redisstreamsrc") => &["consumer"],
                Some("redisvideosink") => &["session"],
                _ => &[],
            };
            if factory.as_deref() == Some("redisstreamsink") {
                trace(&element);
                // Not waited for at the start: its first frame may come only after another sink's, as an answer's does.
                element.set_property("async", false);
            }
            for property in properties {
                let unset = element
                    .property::<Option<String>>(property)
                    .is_none_or(|value| value.is_empty());
                if unset || *property == "consumer" {
                    element.set_property(property, identity);
                }
            }
        }
    }

    /// Hands every message of the bus to `handler`.
    pub(super) fn watch_bus(&self, handler: impl Fn(gst::Message) + Send + Sync + 'static) {
        if let Some(bus) = self.0.bus() {
            bus.set_sync_handler(move |_, message| {
                handler(message.clone());
                gst::BusSyncReply::Drop
            });
        }
    }

    /// Starts it. True if it runs: a live one does at once, others when their first frame is through.
    pub(super) fn play(&self) -> Result<bool, Failure> {
        let paused = self.0.set_state(gst::State::Paused);
        let live = paused == Ok(gst::StateChangeSuccess::NoPreroll);
        // A refused change says why on the bus, which is being listened to.
        if paused.is_ok() && self.0.set_state(gst::State::Playing).is_err() {
            return Ok(false);
        }
        Ok(live)
    }

    /// Ends the sources' streams; the end of the last frame is the pipeline's.
    pub(super) fn drain(&self) {
        if !self.0.send_event(gst::event::Eos::new()) {
            tracing::warn!("the pipeline takes no end of its stream");
        }
    }

    pub(super) fn stop(&self) {
        self.hush();
        if self.0.set_state(gst::State::Null).is_err() {
            tracing::warn!("the pipeline does not go to NULL");
        }
    }

    /// Sends nothing more. A picture that comes back to its peer goes out of webrtcbin and into it: one that is on its way in
    /// while the pipeline stops would wait in webrtcbin's sink, and webrtcbin's source for it.
    fn hush(&self) {
        let mut elements = self.0.iterate_recurse();
        while let Ok(Some(element)) = elements.next() {
            if element
                .factory()
                .is_none_or(|factory| factory.name() != "webrtcbin")
            {
                continue;
            }
            for pad in element.sink_pads() {
                let media = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
                // Not Drop: of a sink pad's data, bindings and GStreamer 1.22 disagree about who frees it then.
                pad.add_probe(media, |_, _| gst::PadProbeReturn::Handled);
                wait_until_idle(pad);
            }
        }
    }

    /// What a message of the bus means: an error ends the pipeline.
    pub(super) fn judge(&self, message: &gst::Message) -> Result<Verdict, Failure> {
        match message.view() {
            gst::MessageView::Error(error) => {
                let source = message
                    .src()
                    .map_or_else(|| "the pipeline".into(), |source| source.name());
                let detail = error.debug().map(|debug| detail(&debug)).unwrap_or_default();
                Err(failed(format!("{source}: {}{detail}", error.error().message())))
            }
            gst::MessageView::Warning(warning) => {
                tracing::warn!(source = ?message.src().map(|source| source.name()), "{}", warning.error().message());
                Ok(Verdict::GoOn)
            }
            gst::MessageView::Eos(_) => Ok(Verdict::Ended),
            gst::MessageView::Latency(_) => {
                if let Err(error) = self.0.recalculate_latency() {
                    tracing::debug!(%error, "the latency cannot be calculated");
                }
                Ok(Verdict::GoOn)
            }
            gst::MessageView::StateChanged(change) => {
                let own = message
                    .src()
                    .is_some_and(|source| source == self.0.upcast_ref::<gst::Object>());
                let playing = own && change.current() == gst::State::Playing;
                Ok(if playing { Verdict::Playing } else { Verdict::GoOn })
            }
            _ => Ok(Verdict::GoOn),
        }
    }
}

/// Chooses the frames that are traced, as OpenTelemetry's environment has it, unless the description does.
fn trace(sink: &gst::Element) {
    let unset = sink.property::<Option<String>>("trace-sampler").is_none();
    if let (true, Some(rule)) = (unset, sampler(|name| std::env::var(name).ok())) {
        sink.set_property("trace-sampler", rule);
    }
}

/// The sink's rule; none where no traces are wanted.
///
/// By default one frame a second of each session: every session is seen, and what a trace costs does not grow with the
/// rate of frames. A small share of all frames would miss slow cameras, and OpenTelemetry's own default is every frame.
fn sampler(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    const DEFAULT: &str = "every:1000";
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let endpoint =
        variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    if disabled || endpoint.is_none() {
        return None;
    }
    let name = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
    // Frames have no parents: what is based on those is its rule for roots.
    let rule = match name.strip_prefix("parentbased_").unwrap_or(&name) {
        rule @ ("always_on" | "always_off") => rule.to_owned(),
        "traceidratio" => {
            let ratio = variable("OTEL_TRACES_SAMPLER_ARG").unwrap_or_else(|| "1".into());
            match ratio.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => format!("traceidratio:{number}"),
                _ => {
                    tracing::warn!("OTEL_TRACES_SAMPLER_ARG `{ratio}` is not a number from 0 to 1");
                    DEFAULT.to_owned()
                }
            }
        }
        "" => DEFAULT.to_owned(),
        other => {
            tracing::warn!(
                "OTEL_TRACES_SAMPLER `{other}` is not known: always_on, always_off or traceidratio"
            );
            DEFAULT.to_owned()
        }
    };
    Some(rule)
}

/// Until what is on its way through a pad has passed. What webrtcbin holds back, for a peer that does not take it, never
/// does; that one goes when webrtcbin stops.
fn wait_until_idle(pad: gst::Pad) {
    const PATIENCE: Duration = Duration::from_millis(300);
    let (tell, idle) = mpsc::channel();
    std::thread::spawn(move || {
        drop(pad.stream_lock());
        // Whoever waited may have gone on.
        tell.send(()).ok();
    });
    if idle.recv_timeout(PATIENCE).is_err() {
        tracing::debug!("webrtcbin holds back what the pipeline sends");
    }
}

/// What an error's debug text adds for people: its last line, after the place in GStreamer's sources.
fn detail(debug: &str) -> String {
    let last = debug.lines().last().unwrap_or_default().trim();
    if last.is_empty() || last.contains("():") {
        String::new()
    } else {
        format!(" ({last})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_off_until_the_environment_says_where_they_go() {
        let rule = |given: &[(&str, &str)]| {
            sampler(|name| {
                let found = given.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert_eq!(rule(&[("OTEL_TRACES_SAMPLER", "always_on")]), None);
        assert_eq!(rule(&[(on.0, "")]), None);
        assert_eq!(rule(&[on, ("OTEL_SDK_DISABLED", "true")]), None);
        for (name, argument, wanted) in [
            ("", "", "every:1000"),
            ("always_on", "", "always_on"),
            ("parentbased_always_off", "", "always_off"),
            ("traceidratio", "0.01", "traceidratio:0.01"),
            ("parentbased_traceidratio", "", "traceidratio:1"),
            ("traceidratio", "2", "every:1000"),
            ("jaeger_remote", "", "every:1000"),
        ] {
            let given = [
                on,
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ];
            assert_eq!(rule(&given).as_deref(), Some(wanted), "{name} {argument}");
        }
    }
}
