//! The process of one pipeline: it does what its launcher says, and ends with it.

mod leaks;
mod pipeline;
mod progress;
mod stages;
mod threads;
mod webrtc;

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context;
use gst::prelude::*;
use sightline_protocol::{ErrorId, Failure};

use crate::control::{Command, Report, Start, to_line};
use crate::sandbox::Rules;
use pipeline::Pipeline;
use progress::Meter;
use webrtc::Session;
pub(crate) use webrtc::add_ice_server;

/// So long may a pipeline take to stop; some versions of webrtcbin hang.
const TEARDOWN: Duration = Duration::from_secs(2);

/// What this process reacts to.
enum Event {
    Command(Command),
    /// The launcher closed its end, or is gone.
    LauncherGone,
    Bus(gst::Message),
    WebRtc(webrtc::Event),
}

/// Runs until the launcher says stop, the stream ends or something breaks.
pub fn run() -> anyhow::Result<ExitCode> {
    end_with_the_launcher().context("cannot tie this process to its launcher")?;
    let rules = crate::sandbox::enter().context("this process cannot be kept to its rules")?;
    let control = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut reports = control
        .try_clone()
        .context("standard input is not the launcher's socket")?;
    crate::plugins::init()?;

    let certificate = std::thread::spawn(make_certificate);
    let code = serve(control, &mut reports, rules.as_ref());
    // OpenSSL does not bear the process's end while it works.
    drop(certificate.join());
    log_live_objects();
    code
}

/// Waits for the pipeline to run, and runs it.
fn serve(control: UnixStream, reports: &mut UnixStream, rules: Option<&Rules>) -> anyhow::Result<ExitCode> {
    let (events, incoming) = mpsc::channel();
    std::thread::spawn({
        let events = events.clone();
        move || read_commands(control, &events)
    });
    send(reports, &Report::Ready)?;
    let start = match incoming.recv() {
        Ok(Event::Command(Command::Start(start))) => start,
        _ => return Ok(ExitCode::SUCCESS),
    };
    if let Some(files) = start.max_open_files {
        limit_open_files(files).context("cannot limit the open files")?;
    }
    if let Some(rules) = rules {
        crate::plugins::keep(&start.pipeline.launch, &rules.plugins);
    }
    let identity = start.identity.clone();
    let _span = tracing::info_span!("pipeline", name = start.pipeline.name, identity).entered();

    let (last, code) = match drive(*start, &events, &incoming, reports) {
        Ok(()) => (Report::Ended, ExitCode::SUCCESS),
        // The peer's end is no fault.
        Err(failure) if failure.id == ErrorId::SessionEnded => (Report::Failed(failure), ExitCode::SUCCESS),
        Err(failure) => {
            tracing::error!(%failure, "the pipeline failed");
            (Report::Failed(failure), ExitCode::FAILURE)
        }
    };
    // The launcher may be gone: then nobody needs the report.
    let _unheard = send(reports, &last);
    Ok(code)
}

/// With `GST_TRACERS=leaks`, in GStreamer's log: what is left of the pipeline. A process does not end in the way that the tracer
/// waits for.
fn log_live_objects() {
    for tracer in gst::active_tracers() {
        if tracer.type_().name() == "GstLeaksTracer" {
            tracer.emit_by_name::<()>("log-live-objects", &[]);
        }
    }
}

/// GStreamer's DTLS elements share one certificate in a process, and the first of them makes it: with RSA that takes
/// some hundred milliseconds, which a process has while it waits for its pipeline.
fn make_certificate() {
    if let Err(error) = gst::ElementFactory::make("dtlsdec").build() {
        tracing::debug!(%error, "no certificate is made ahead");
    }
}

fn limit_open_files(files: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(files);
    let limit = Some(files.min(allowed));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?;
    Ok(())
}

/// A kernel's promise beside the socket's closing: it holds even while this process is stuck.
fn end_with_the_launcher() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, Signal};
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // No program that it starts may do more than itself.
    rustix::thread::set_no_new_privs(true)?;
    // A picture in memory must not end up in a core file.
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    // When memory runs out, the kernel should end a pipeline, and neither the launcher nor Redis.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "500") {
        tracing::debug!(%error, "the kernel is not told whom to end first");
    }
    Ok(())
}

fn read_commands(control: UnixStream, events: &Sender<Event>) {
    for line in BufReader::new(control).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(command) => {
                if events.send(Event::Command(command)).is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "the launcher sent something else than a command"),
        }
    }
    if events.send(Event::LauncherGone).is_ok() {
        // Whatever it hangs in.
        std::mem::forget(kill_after(TEARDOWN * 2));
    }
}

fn send(reports: &mut UnixStream, report: &Report) -> std::io::Result<()> {
    reports.write_all(to_line(report)?.as_bytes())
}

fn unheard(error: std::io::Error) -> Failure {
    Failure::new(
        ErrorId::Internal,
        format!("the launcher does not listen any more: {error}"),
    )
}

/// Kills this very process unless it has ended by then, or what comes back was dropped.
fn kill_after(grace: Duration) -> Sender<()> {
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || {
        if waiting.recv_timeout(grace) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        tracing::warn!("the pipeline does not stop; its process is killed");
        let me = rustix::process::getpid();
        if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    });
    done
}

fn drive(
    start: Start,
    events: &Sender<Event>,
    incoming: &Receiver<Event>,
    reports: &mut UnixStream,
) -> Result<(), Failure> {
    let pipeline = Pipeline::build(&start)?;
    let meter = Meter::new(pipeline.bin(), start.pipeline.webrtc.is_some());
    pipeline.watch_bus({
        let events = events.clone();
        move |message| drop(events.send(Event::Bus(message)))
    });
    let mut session = match &start.pipeline.webrtc {
        Some(settings) => Some(Session::prepare(&pipeline, settings, &start, {
            let events = events.clone();
            move |event| drop(events.send(Event::WebRtc(event)))
        })?),
        None => None,
    };
    let result = pipeline.play().and_then(|running| {
        match &mut session {
            Some(session) => session.begin()?,
            None if running => send(reports, &Report::Running).map_err(unheard)?,
            None => {}
        }
        Loop {
            pipeline: &pipeline,
            session,
            meter,
            incoming,
            reports,
        }
        .run()
    });
    let in_time = kill_after(TEARDOWN);
    pipeline.stop();
    drop(pipeline);
    // What may still take its time is the certificate of a process that was hardly used, on a busy machine.
    drop(in_time);
    result
}

/// Handles events until the end, and reports progress between them.
struct Loop<'a> {
    pipeline: &'a Pipeline,
    session: Option<Session>,
    meter: Meter,
    incoming: &'a Receiver<Event>,
    reports: &'a mut UnixStream,
}

/// Whether the pipeline goes on.
type Flow = ControlFlow<()>;

impl Loop<'_> {
    fn run(mut self) -> Result<(), Failure> {
        let result = self.until_the_end();
        // What has come since the last report counts too, and where nobody listens any more there is nothing to do.
        let _unheard = self.report_progress();
        result
    }

    fn until_the_end(&mut self) -> Result<(), Failure> {
        loop {
            let deadline = self.session.as_ref().and_then(Session::deadline);
            let until = deadline.map_or(self.meter.due(), |deadline| deadline.min(self.meter.due()));
            let event = match self
                .incoming
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            // However many events there are, the sign of life comes.
            if self.meter.due() <= Instant::now() {
                self.report_progress()?;
            }
            if let Some(deadline) = deadline
                && deadline <= Instant::now()
            {
                let report = self.session.as_mut().map_or(Ok(None), Session::deadline_passed)?;
                report.map_or(Ok(()), |report| self.report(&report))?;
            }
            if let Some(event) = event
                && self.handle(event)?.is_break()
            {
                return Ok(());
            }
        }
    }

    fn report_progress(&mut self) -> Result<(), Failure> {
        let connected = self.session.as_ref().is_none_or(Session::is_connected);
        let progress = self.meter.report(connected);
        self.report(&Report::Progress(progress))
    }

    fn report(&mut self, report: &Report) -> Result<(), Failure> {
        send(self.reports, report).map_err(unheard)
    }

    fn handle(&mut self, event: Event) -> Result<Flow, Failure> {
        let report = match (event, &mut self.session) {
            (Event::Command(Command::Stop) | Event::LauncherGone, _) => return Ok(Flow::Break(())),
            (Event::Command(Command::Drain), _) => {
                self.pipeline.drain();
                None
            }
            (Event::Bus(message), session) => match self.pipeline.judge(&message)? {
                pipeline::Verdict::GoOn => None,
                pipeline::Verdict::Ended => return Ok(Flow::Break(())),
                // Of a session the peer's connection says when it runs.
                pipeline::Verdict::Playing => session.is_none().then_some(Report::Running),
            },
            (Event::WebRtc(event), Some(session)) => session.handle(event)?,
            (Event::Command(Command::Answer { sdp }), Some(session)) => Some(session.take_answer(&sdp)),
            (Event::Command(Command::Candidate(candidate)), Some(session)) => {
                session.take_candidate(&candidate);
                None
            }
            (Event::Command(command), _) => {
                tracing::warn!(?command, "this command has no place here");
                None
            }
            (Event::WebRtc(_), None) => None,
        };
        report.map_or(Ok(()), |report| self.report(&report))?;
        Ok(Flow::Continue(()))
    }
}
