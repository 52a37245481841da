//! When a worker or a source that ended is started again: pauses that double, a budget of restarts, and beyond it a longer rest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::description::{Restart, RestartPolicy};

/// The first pause before a restart; it doubles with each restart within the window.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The first rest of a worker whose budget is used up; it doubles while nothing gets better.
const FIRST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Verdict {
    RestartAfter(Duration),
    /// The budget is used up: one more try after this.
    RestFor(Duration),
    /// As its policy wants it.
    Over,
}

#[derive(Debug)]
pub(in crate::supervisor) struct Budget {
    restart: Restart,
    restarts: VecDeque<Instant>,
    rests: u32,
    /// Being tried after a rest.
    on_trial: bool,
}

impl Budget {
    pub(in crate::supervisor) fn new(restart: Restart) -> Self {
        Self {
            restart,
            restarts: VecDeque::new(),
            rests: 0,
            on_trial: false,
        }
    }

    /// What follows an end at `now` of a worker that was started at `started`.
    pub(in crate::supervisor) fn after(&mut self, in_order: bool, started: Instant, now: Instant) -> Verdict {
        let again = match self.restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !in_order,
            RestartPolicy::Always => true,
        };
        if !again {
            return Verdict::Over;
        }
        let window = Duration::from_secs(u64::from(self.restart.window_secs));
        if now.duration_since(started) >= window {
            self.rests = 0;
            self.on_trial = false;
        }
        self.restarts.retain(|at| now.duration_since(*at) < window);
        if self.on_trial || self.restarts.len() >= self.restart.max_restarts as usize {
            let rest = FIRST_REST
                .saturating_mul(1 << self.rests.min(10))
                .min(LONGEST_REST);
            self.rests += 1;
            self.on_trial = true;
            return Verdict::RestFor(rest);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.restarts.len().min(10));
        self.restarts.push_back(now);
        Verdict::RestartAfter(pause.min(LONGEST_PAUSE))
    }

    /// Restarts within the window.
    pub(in crate::supervisor) fn used(&self) -> usize {
        self.restarts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Restart = Restart {
        policy: RestartPolicy::Always,
        max_restarts: 3,
        window_secs: 60,
    };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_and_then_comes_a_rest_and_one_try() {
        let (mut budget, now) = (Budget::new(ALWAYS), Instant::now());
        for pause in [200, 400, 800] {
            let pause = Duration::from_millis(pause);
            assert_eq!(budget.after(false, now, now), Verdict::RestartAfter(pause));
        }
        for rest in [60, 120, 240, 480, 900, 900] {
            assert_eq!(budget.after(false, now, now), Verdict::RestFor(secs(rest)));
        }
        // It ran for longer than the window: as if nothing had been.
        let later = now + secs(100);
        assert_eq!(
            budget.after(false, now, later),
            Verdict::RestartAfter(FIRST_PAUSE)
        );
    }

    #[test]
    fn restarts_outside_the_window_are_forgiven() {
        let (mut budget, mut now) = (Budget::new(ALWAYS), Instant::now());
        for _ in 0..100 {
            now += secs(30);
            let verdict = budget.after(true, now - secs(1), now);
            assert!(matches!(verdict, Verdict::RestartAfter(_)), "{verdict:?}");
        }
    }

    #[test]
    fn the_policy_says_whether_there_is_a_restart_at_all() {
        let now = Instant::now();
        let with = |policy| Budget::new(Restart { policy, ..ALWAYS });
        assert_eq!(with(RestartPolicy::Never).after(false, now, now), Verdict::Over);
        assert_eq!(
            with(RestartPolicy::OnFailure).after(true, now, now),
            Verdict::Over
        );
        assert_ne!(
            with(RestartPolicy::OnFailure).after(false, now, now),
            Verdict::Over
        );
    }
}
