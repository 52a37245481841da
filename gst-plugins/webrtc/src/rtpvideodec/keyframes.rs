//! When a sender is asked for a keyframe. Times come in from outside.

use std::time::{Duration, Instant};

/// Until the first picture.
const FIRST: Duration = Duration::from_millis(200);
/// From then on: a sender makes no more of them than it must.
const LATER: Duration = Duration::from_millis(500);
/// So many frames without a picture: the request, or what it brought, was lost.
const STUCK_FRAMES: u32 = 5;

#[derive(Debug, Default)]
pub struct Keyframes {
    seen_picture: bool,
    asked: Option<Instant>,
    /// A request came too soon, and is still to be made.
    held_back: bool,
    /// Frames that came in since the last picture.
    frames: u32,
}

impl Keyframes {
    /// A frame's first packet came in: true if the sender is to be asked now.
    pub fn frame(&mut self, now: Instant) -> bool {
        self.frames = self.frames.saturating_add(1);
        let wanted = !self.seen_picture || self.held_back || self.frames > STUCK_FRAMES;
        wanted && self.ask(now)
    }

    /// Depayloader or decoder ask: true if their request is to go out.
    pub fn request(&mut self, now: Instant) -> bool {
        let granted = self.ask(now);
        self.held_back |= !granted;
        granted
    }

    pub fn picture(&mut self) {
        self.seen_picture = true;
        self.held_back = false;
        self.frames = 0;
    }

    fn ask(&mut self, now: Instant) -> bool {
        let pause = if self.seen_picture { LATER } else { FIRST };
        if self.asked.is_some_and(|asked| now < asked + pause) {
            return false;
        }
        self.asked = Some(now);
        self.held_back = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of the milliseconds the sender is asked, of a stream of 50 frames a second.
    fn asked(
        keyframes: &mut Keyframes,
        start: Instant,
        times: std::ops::Range<u64>,
        pictures: bool,
    ) -> Vec<u64> {
        let mut asked = Vec::new();
        for ms in times.step_by(20) {
            if keyframes.frame(start + Duration::from_millis(ms)) {
                asked.push(ms);
            }
            if pictures {
                keyframes.picture();
            }
        }
        asked
    }

    #[test]
    fn until_the_first_picture_every_200_ms() {
        let (mut keyframes, start) = (Keyframes::default(), Instant::now());
        assert_eq!(asked(&mut keyframes, start, 0..500, false), [0, 200, 400]);
        keyframes.picture();
        assert_eq!(asked(&mut keyframes, start, 500..2000, true), [0; 0]);
    }

    #[test]
    fn later_every_500_ms_at_most_and_nothing_is_forgotten() {
        let (mut keyframes, start) = (Keyframes::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        keyframes.picture();
        assert!(keyframes.request(at(1000)));
        assert!(!keyframes.request(at(1100)), "too soon");
        assert_eq!(asked(&mut keyframes, start, 1120..1700, false), [1500]);
        keyframes.picture();
        assert_eq!(asked(&mut keyframes, start, 1700..3000, true), [0; 0]);
    }

    #[test]
    fn a_lost_request_is_made_again() {
        let (mut keyframes, start) = (Keyframes::default(), Instant::now());
        keyframes.picture();
        assert!(keyframes.request(start));
        assert_eq!(asked(&mut keyframes, start, 20..1600, false), [500, 1000, 1500]);
    }

    #[test]
    fn a_stream_of_few_frames_is_not_stuck() {
        let (mut keyframes, start) = (Keyframes::default(), Instant::now());
        keyframes.picture();
        for second in 0..20 {
            assert!(!keyframes.frame(start + Duration::from_secs(second)));
            keyframes.picture();
        }
    }
}
