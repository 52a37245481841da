//! Whether a pipeline's process is well, told from its reports, its memory and the time: no clock, no process here.

use std::time::{Duration, Instant};

use sightline_protocol::rpc::{Exit, Waiting};

use crate::control::{Held, Progress, Report};

/// A launcher that did not get to look is no reason to think that a process was silent.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// What a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So long may a process be silent, and an element be busy with one frame.
    pub stall: Duration,
    /// The same before the first frame is through: an engine may be built, a model loaded.
    pub start: Duration,
    /// So long may no frame come from the source.
    pub silence: Duration,
    pub memory_bytes: u64,
}

impl Limits {
    /// Of a process that has nothing to do yet.
    pub const NONE: Self = Self {
        stall: Duration::MAX,
        start: Duration::MAX,
        silence: Duration::MAX,
        memory_bytes: u64::MAX,
    };
}

/// Why a process has to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub exit: Exit,
    pub words: String,
}

fn stalled(words: String) -> Fault {
    Fault {
        exit: Exit::Stalled,
        words,
    }
}

#[derive(Debug)]
pub struct Health {
    limits: Limits,
    last_look: Instant,
    /// For how long nothing was heard.
    silent: Duration,
    /// For how long no frame came, though nothing in the pipeline was busy with one.
    without_frames: Duration,
    progress: Option<Progress>,
    memory: u64,
}

impl Health {
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            last_look: now,
            silent: Duration::ZERO,
            without_frames: Duration::ZERO,
            progress: None,
            memory: 0,
        }
    }

    pub fn heard(&mut self, report: &Report) {
        self.silent = Duration::ZERO;
        if let Report::Progress(progress) = report {
            self.progress = Some(progress.clone());
            if !self.hungers() {
                self.without_frames = Duration::ZERO;
            }
        }
    }

    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// To be asked about each second, with the bytes of memory that the process has now.
    pub fn judge(&mut self, memory: Option<u64>, now: Instant) -> Option<Fault> {
        let step = now.duration_since(self.last_look).min(LONGEST_STEP);
        self.silent += step;
        if self.hungers() {
            self.without_frames += step;
        }
        self.last_look = now;
        self.memory = memory.unwrap_or(self.memory);
        self.too_large()
            .or_else(|| self.too_silent())
            .or_else(|| self.stuck())
            .or_else(|| self.starved())
    }

    /// True if no frame came through the pipeline lately, and what is before it is to blame.
    fn hungers(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| {
            let source = [Waiting::Frames, Waiting::Keyframe, Waiting::Dropped];
            progress.held.is_none() && progress.waiting.is_some_and(|waiting| source.contains(&waiting))
        })
    }

    fn starved(&self) -> Option<Fault> {
        (self.without_frames >= self.limits.silence).then(|| {
            let seconds = self.limits.silence.as_secs();
            stalled(format!(
                "no frame came from the source for {seconds} s (source.max_silence_secs in the pipeline's file)"
            ))
        })
    }

    fn too_large(&self) -> Option<Fault> {
        let mib = |bytes: u64| bytes / (1024 * 1024);
        (self.memory > self.limits.memory_bytes).then(|| Fault {
            exit: Exit::OutOfMemory,
            words: format!(
                "the pipeline took {} MiB of memory, more than the {} MiB that it may have \
                 (--max-session-memory-mib, --max-worker-memory-mib)",
                mib(self.memory),
                mib(self.limits.memory_bytes)
            ),
        })
    }

    fn too_silent(&self) -> Option<Fault> {
        let (limit, what) = match self.progress {
            Some(_) => (self.limits.stall, "gave no sign of life"),
            None => (self.limits.start, "did not start"),
        };
        (self.silent >= limit).then(|| {
            let seconds = limit.as_secs();
            stalled(format!(
                "the pipeline's process {what} within {seconds} s: it hangs"
            ))
        })
    }

    fn stuck(&self) -> Option<Fault> {
        let progress = self.progress.as_ref()?;
        let Held { element, for_ms } = progress.held.as_ref()?;
        let limit = match progress.frames_out {
            0 => self.limits.start,
            _ => self.limits.stall,
        };
        (Duration::from_millis(*for_ms) >= limit).then(|| {
            let seconds = for_ms / 1000;
            stalled(format!(
                "the pipeline is stuck: `{element}` has been busy with one frame for {seconds} s"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        stall: Duration::from_secs(5),
        start: Duration::from_secs(60),
        silence: Duration::MAX,
        memory_bytes: 100 << 20,
    };

    /// A second passes: a report, if any, then a look.
    fn second(health: &mut Health, now: &mut Instant, report: Option<Progress>) -> Option<Fault> {
        *now += Duration::from_secs(1);
        if let Some(progress) = report {
            health.heard(&Report::Progress(progress));
        }
        health.judge(Some(50 << 20), *now)
    }

    fn held(frames_out: u64, seconds: u64) -> Progress {
        Progress {
            frames_out,
            held: Some(Held {
                element: "detect".into(),
                for_ms: seconds * 1000,
            }),
            ..Progress::default()
        }
    }

    #[test]
    fn silence_is_a_fault_after_the_first_report_and_sooner_than_before() {
        let mut now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        for _ in 0..59 {
            assert_eq!(second(&mut health, &mut now, None), None);
        }
        assert_eq!(second(&mut health, &mut now, Some(Progress::default())), None);
        for _ in 0..3 {
            assert_eq!(second(&mut health, &mut now, None), None);
        }
        let fault = second(&mut health, &mut now, None);
        assert_eq!(fault.unwrap().exit, Exit::Stalled);

        let mut health = Health::new(LIMITS, now);
        let fault = (0..60).find_map(|_| second(&mut health, &mut now, None));
        assert!(fault.unwrap().words.contains("did not start within 60 s"));
    }

    #[test]
    fn an_idle_pipeline_is_well() {
        let mut now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        for _ in 0..1000 {
            assert_eq!(second(&mut health, &mut now, Some(Progress::default())), None);
        }
    }

    #[test]
    fn a_source_may_be_silent_for_so_long_only() {
        let silent = |waiting| {
            Some(Progress {
                waiting,
                ..Progress::default()
            })
        };
        let limits = Limits {
            silence: Duration::from_secs(15),
            ..LIMITS
        };
        let mut now = Instant::now();
        let mut health = Health::new(limits, now);
        second(&mut health, &mut now, silent(None));
        for waiting in [None, Some(Waiting::Sink)].repeat(30) {
            assert_eq!(second(&mut health, &mut now, silent(waiting)), None);
        }
        // A frame begins the time anew.
        for waiting in [Some(Waiting::Frames), None, Some(Waiting::Dropped)] {
            for _ in 0..13 {
                assert_eq!(second(&mut health, &mut now, silent(waiting)), None);
            }
        }
        let fault = (0..2).find_map(|_| second(&mut health, &mut now, silent(Some(Waiting::Frames))));
        let fault = fault.unwrap();
        assert_eq!(fault.exit, Exit::Stalled);
        assert!(fault.words.contains("for 15 s"), "{}", fault.words);
    }

    #[test]
    fn a_launcher_that_slept_blames_nobody() {
        let mut now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        second(&mut health, &mut now, Some(Progress::default()));
        now += Duration::from_secs(3600);
        assert_eq!(second(&mut health, &mut now, None), None);
    }

    #[test]
    fn a_frame_that_is_stuck_is_a_fault_and_a_slow_start_is_not() {
        let mut now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        assert_eq!(second(&mut health, &mut now, Some(held(0, 59))), None);
        assert_eq!(second(&mut health, &mut now, Some(held(1, 4))), None);
        let fault = second(&mut health, &mut now, Some(held(1, 5))).unwrap();
        assert_eq!(fault.exit, Exit::Stalled);
        assert!(fault.words.contains("`detect`"), "{}", fault.words);
    }

    #[test]
    fn memory_beyond_the_limit_is_a_fault() {
        let now = Instant::now();
        let mut health = Health::new(LIMITS, now);
        assert_eq!(health.judge(Some(100 << 20), now), None);
        let fault = health.judge(Some(101 << 20), now).unwrap();
        assert_eq!(fault.exit, Exit::OutOfMemory);
        assert!(fault.words.contains("101 MiB"), "{}", fault.words);
    }
}
