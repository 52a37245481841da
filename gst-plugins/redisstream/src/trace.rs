//! Which frames are traced, and the context that they then carry (W3C Trace Context).

use std::time::{Duration, Instant};

use rand::RngExt;

/// Chooses frames. Each that is chosen begins a trace of its own: a session has no end of frames.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Sampler {
    #[default]
    Never,
    Always,
    /// Each frame with this probability.
    Ratio(f64),
    /// The first frame after so long.
    Every(Duration),
}

impl Sampler {
    /// `always_on`, `always_off`, `traceidratio:<0 to 1>` (as OpenTelemetry has them) or `every:<milliseconds>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("always_on", "") => Some(Self::Always),
            ("always_off", "") => Some(Self::Never),
            ("traceidratio", ratio) => {
                let ratio = ratio.parse().ok()?;
                (0.0..=1.0).contains(&ratio).then_some(Self::Ratio(ratio))
            }
            ("every", ms) => Some(Self::Every(Duration::from_millis(ms.parse().ok()?))),
            _ => None,
        }
    }

    /// The context of a frame that is there now, if it is chosen; `last` is when one was.
    pub(crate) fn context(self, last: &mut Option<Instant>, now: Instant) -> Option<String> {
        let mut random = rand::rng();
        let chosen = match self {
            Self::Never => false,
            Self::Always => true,
            Self::Ratio(ratio) => random.random_bool(ratio),
            Self::Every(pause) => last.is_none_or(|last| now.saturating_duration_since(last) >= pause),
        };
        if !chosen {
            return None;
        }
        *last = Some(now);
        // Ids of zeros are invalid.
        let (trace, span) = (
            random.random_range(1..=u128::MAX),
            random.random_range(1..=u64::MAX),
        );
        Some(format!("00-{trace:032x}-{span:016x}-01"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        assert_eq!(Sampler::parse("always_on"), Some(Sampler::Always));
        assert_eq!(Sampler::parse("always_off"), Some(Sampler::Never));
        assert_eq!(Sampler::parse("traceidratio:0.25"), Some(Sampler::Ratio(0.25)));
        let second = Some(Sampler::Every(Duration::from_secs(1)));
        assert_eq!(Sampler::parse("every:1000"), second);
        for bad in [
            "",
            "on",
            "traceidratio",
            "traceidratio:2",
            "traceidratio:NaN",
            "every:-1",
            "always_on:1",
        ] {
            assert_eq!(Sampler::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_frame_a_second_is_one_frame_a_second() {
        let start = Instant::now();
        let sampler = Sampler::Every(Duration::from_secs(1));
        let mut last = None;
        let chosen: Vec<u64> = (0..90)
            .filter(|frame| {
                let now = start + Duration::from_millis(frame * 40);
                sampler.context(&mut last, now).is_some()
            })
            .collect();
        assert_eq!(chosen, [0, 25, 50, 75]);
    }

    #[test]
    fn ratios_choose_about_that_many_and_contexts_have_their_form() {
        let mut last = None;
        let contexts: Vec<String> = (0..2000)
            .filter_map(|_| Sampler::Ratio(0.5).context(&mut last, Instant::now()))
            .collect();
        assert!((800..1200).contains(&contexts.len()), "{}", contexts.len());
        for context in &contexts {
            let parts: Vec<usize> = context.split('-').map(str::len).collect();
            assert_eq!(parts, [2, 32, 16, 2], "{context}");
            assert!(context.starts_with("00-") && context.ends_with("-01"));
        }
        assert_eq!(Sampler::Never.context(&mut None, Instant::now()), None);
    }
}
