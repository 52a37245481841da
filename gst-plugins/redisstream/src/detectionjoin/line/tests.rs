use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const MAX_WAIT: Duration = Duration::from_millis(200);
/// Of the frames: 30 a second.
const TICKS: u32 = 3000;

fn identity(frame: u32) -> Identity {
    Identity {
        timestamp: frame.wrapping_mul(TICKS),
        pts: Some(u64::from(frame) * 33_333_333),
    }
}

fn heard(frame: u32, seq: Option<u64>) -> Heard {
    Heard {
        identity: identity(frame),
        seq,
        captured: None,
    }
}

fn line() -> (Line<u32, u32>, Instant) {
    let (mut line, now) = (Line::new(MAX_WAIT, 0), Instant::now());
    line.set_running(true, now);
    line.preroll = Preroll::Done;
    (line, now)
}

fn push(line: &mut Line<u32, u32>, frames: std::ops::Range<u32>, now: Instant) {
    for frame in frames {
        line.push_frame(frame, Some(identity(frame)), now);
    }
}

fn leaving(line: &mut Line<u32, u32>, now: Instant) -> Vec<(u32, Fate<u32>)> {
    std::iter::from_fn(|| match line.next(now) {
        Next::Leaves(item, fate) => Some((item, fate)),
        _ => None,
    })
    .collect()
}

#[test]
fn each_frame_gets_its_own_answer_in_whatever_order_they_come() {
    let (mut line, now) = line();
    push(&mut line, 0..3, now);
    line.answer(heard(2, Some(2)), 2, now);
    line.answer(heard(1, Some(1)), 1, now);
    assert_eq!(line.next(now), Next::WaitsUntil(now + MAX_WAIT));
    line.answer(heard(0, Some(0)), 0, now);
    let joined = |frame| (frame, Fate::Joined(frame));
    assert_eq!(leaving(&mut line, now), [joined(0), joined(1), joined(2)]);
    assert_eq!(line.next(now), Next::Empty);
}

#[test]
fn what_was_not_published_does_not_wait() {
    let (mut line, now) = line();
    push(&mut line, 0..6, now);
    line.answer(heard(1, Some(0)), 1, now);
    assert_eq!(
        leaving(&mut line, now),
        [(0, Fate::Superseded), (1, Fate::Joined(1))]
    );
    // Number 1 may be any of 2, 3 and 4.
    line.answer(heard(5, Some(2)), 5, now);
    assert_eq!(leaving(&mut line, now), []);
    line.answer(heard(3, Some(1)), 3, now);
    let fates = [
        Fate::Superseded,
        Fate::Joined(3),
        Fate::Superseded,
        Fate::Joined(5),
    ];
    assert_eq!(leaving(&mut line, now), Vec::from_iter((2..6).zip(fates)));
}

#[test]
fn a_late_answer_says_where_its_frame_was() {
    let (mut line, now) = line();
    push(&mut line, 0..1, now);
    let late = now + MAX_WAIT;
    assert_eq!(leaving(&mut line, late), [(0, Fate::TimedOut)]);
    push(&mut line, 1..4, late);
    line.answer(heard(3, Some(1)), 3, late);
    assert_eq!(leaving(&mut line, late), []);
    line.answer(heard(0, Some(0)), 0, late);
    assert_eq!(leaving(&mut line, late).len(), 3);
    let counts = line.counts();
    assert_eq!((counts.late_answers, counts.superseded), (1, 2));
    assert_eq!((counts.delay_max, counts.delay_mean()), (MAX_WAIT, MAX_WAIT / 2));
}

#[test]
fn an_answer_of_v1_is_the_end_of_waiting_for_earlier_ones() {
    let (mut line, now) = line();
    push(&mut line, 0..3, now);
    let v1 = Heard {
        identity: Identity {
            pts: None,
            ..identity(1)
        },
        ..heard(1, None)
    };
    line.answer(v1, 1, now);
    assert_eq!(
        leaving(&mut line, now),
        [(0, Fate::Superseded), (1, Fate::Joined(1))]
    );
}

#[test]
fn an_answer_may_be_ahead_of_its_frame() {
    let mut line: Line<u32, u32> = Line::new(Duration::ZERO, 0);
    let now = Instant::now();
    line.preroll = Preroll::Done;
    line.set_running(true, now);
    line.answer(heard(1, Some(0)), 1, now);
    push(&mut line, 0..2, now);
    // Without waiting nobody can know that frame 0 was not published.
    assert_eq!(leaving(&mut line, now)[1], (1, Fate::Joined(1)));
    for frame in 2..2 + MAX_EARLY as u32 + 3 {
        line.answer(heard(frame, None), frame, now);
    }
    assert_eq!(line.counts().unknown_answers, 3);
}

#[test]
fn strange_answers_are_counted_and_change_nothing() {
    let (mut line, now) = line();
    push(&mut line, 5..7, now);
    line.answer(heard(4, None), 4, now);
    line.answer(heard(5, Some(0)), 5, now);
    line.answer(heard(5, Some(0)), 50, now);
    assert_eq!(line.counts().unknown_answers, 2);
    assert_eq!(leaving(&mut line, now), [(5, Fate::Joined(5))]);
}

#[test]
fn doubled_frames_are_told_apart_by_their_running_time() {
    let (mut line, now) = line();
    for pts in [10, 20, 30] {
        let identity = Identity {
            timestamp: 7,
            pts: Some(pts),
        };
        line.push_frame(pts as u32, Some(identity), now);
    }
    let answer = Heard {
        identity: Identity {
            timestamp: 7,
            pts: Some(20),
        },
        seq: Some(0),
        captured: None,
    };
    line.answer(answer, 20, now);
    assert_eq!(
        leaving(&mut line, now),
        [(10, Fate::Superseded), (20, Fate::Joined(20))]
    );
}

#[test]
fn what_is_no_frame_keeps_its_place() {
    let (mut line, now) = line();
    line.push(100);
    push(&mut line, 0..1, now);
    line.push(101);
    line.push_frame(1, None, now);
    line.push(102);
    assert_eq!(leaving(&mut line, now), [(100, Fate::Passed)]);
    assert_eq!(line.waiting(), 2);
    line.answer(heard(0, Some(0)), 0, now);
    let rest = [
        (0, Fate::Joined(0)),
        (101, Fate::Passed),
        (1, Fate::Unidentified),
        (102, Fate::Passed),
    ];
    assert_eq!(leaving(&mut line, now), rest);
}

#[test]
fn without_a_connection_no_frame_waits() {
    let (mut line, now) = line();
    push(&mut line, 0..1, now);
    line.set_listening(false);
    assert_eq!(leaving(&mut line, now), [(0, Fate::Disconnected)]);
    line.set_listening(true);
    push(&mut line, 1..2, now);
    assert_eq!(leaving(&mut line, now), []);
}

#[test]
fn paused_frames_leave_for_the_preroll_and_time_stands_still() {
    let (mut line, now) = (Line::new(MAX_WAIT, 0), Instant::now());
    assert_eq!(line.next(now), Next::Empty);
    let now = now + MAX_WAIT;
    push(&mut line, 0..3, now);
    assert_eq!(line.next(now), Next::WaitsUntil(now + PREROLL_WAIT));
    let now = now + PREROLL_WAIT;
    assert_eq!(line.next(now), Next::Leaves(0, Fate::Prerolled));
    // The sink has it and waits.
    let later = now + 5 * MAX_WAIT;
    assert_eq!(line.next(later), Next::WaitsUntil(later + PREROLL_WAIT));
    let later = later + PREROLL_WAIT;
    assert_eq!(line.next(later), Next::Leaves(1, Fate::Prerolled));
    line.set_running(true, later);
    assert_eq!(line.next(later), Next::WaitsUntil(later + MAX_WAIT));
    line.answer(heard(2, Some(1)), 2, later);
    assert_eq!(leaving(&mut line, later), [(2, Fate::Joined(2))]);
    assert_eq!(line.counts().left(), 3);
}

#[test]
fn the_first_frame_does_not_keep_sinks_waiting() {
    let (mut line, now) = line();
    for _ in 0..2 {
        drop(line.clear(0));
        push(&mut line, 0..2, now);
        assert_eq!(line.next(now), Next::WaitsUntil(now + PREROLL_WAIT));
        let now = now + PREROLL_WAIT;
        assert_eq!(line.next(now), Next::Leaves(0, Fate::Prerolled));
        // When it is through, the others' time begins.
        let now = now + 5 * MAX_WAIT;
        assert_eq!(line.next(now), Next::WaitsUntil(now + MAX_WAIT));
    }
    drop(line.clear(0));
    push(&mut line, 0..1, now);
    line.answer(heard(0, Some(0)), 0, now);
    assert_eq!(line.next(now), Next::Leaves(0, Fate::Joined(0)));
}

#[test]
fn after_a_flush_old_answers_are_for_nobody() {
    let (mut line, now) = line();
    push(&mut line, 0..2, now);
    line.push(100);
    assert_eq!(line.clear(1000), [100]);
    line.preroll = Preroll::Done;
    push(&mut line, 0..1, now);
    let captured = |captured| Heard {
        captured: Some(captured),
        ..heard(0, Some(0))
    };
    line.answer(captured(999), 99, now);
    assert_eq!(leaving(&mut line, now), []);
    line.answer(captured(1000), 0, now);
    assert_eq!(leaving(&mut line, now), [(0, Fate::Joined(0))]);
    let counts = line.counts();
    assert_eq!((counts.flushed, counts.received, counts.left()), (2, 3, 1));
    assert_eq!(counts.unknown_answers, 1);
}

#[test]
fn timestamps_wrap() {
    assert!(is_newer(1, u32::MAX));
    assert!(!is_newer(u32::MAX, 1));
    assert!(!is_newer(3, 3));
    let (mut line, now) = line();
    let identity = |timestamp| Identity { timestamp, pts: None };
    line.push_frame(0, Some(identity(u32::MAX)), now);
    let answer = Heard {
        identity: identity(2),
        seq: Some(0),
        captured: None,
    };
    line.answer(answer, 7, now);
    line.push_frame(1, Some(identity(2)), now);
    assert_eq!(leaving(&mut line, now)[1], (1, Fate::Joined(7)));
}

#[test]
fn memory_is_bounded() {
    let (mut line, now) = line();
    for frame in 0..10_000 {
        push(&mut line, frame..frame + 1, now);
        leaving(&mut line, now + MAX_WAIT);
    }
    assert!(line.frames.len() <= REMEMBERED + 2, "{}", line.frames.len());
}

/// One frame's story: whether it was published, and when answers to it come, in milliseconds after its capture.
type Story = (bool, Vec<u64>);

fn stories() -> impl Strategy<Value = Vec<Story>> {
    let answers = prop::collection::vec(0_u64..400, 0..3);
    prop::collection::vec((any::<bool>(), answers), 1..40)
}

enum Event {
    Arrives(u32),
    Answered(u32, Option<u64>),
}

/// What happens, in order of time, to frames captured 33 ms apart that arrive `delay` ms later.
fn events(stories: &[Story], delay: u64, numbered: bool) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    let mut next_seq = 0;
    for (frame, (published, answers)) in (0_u32..).zip(stories) {
        let captured = u64::from(frame) * 33;
        events.push((captured + delay, Event::Arrives(frame)));
        if *published {
            let seq = numbered.then_some(next_seq);
            next_seq += 1;
            events.extend(
                answers
                    .iter()
                    .map(|after| (captured + after, Event::Answered(frame, seq))),
            );
        }
    }
    events.sort_by_key(|(time, _)| *time);
    events
}

struct Simulation {
    line: Line<u32, u32>,
    start: Instant,
    /// In milliseconds, like the next.
    now: u64,
    left: Vec<(u64, u32, Fate<u32>)>,
}

impl Simulation {
    fn at(&self, time: u64) -> Instant {
        self.start + MS * u32::try_from(time).unwrap()
    }

    /// Lets leave what may until then.
    fn advance(&mut self, until: u64) {
        loop {
            match self.line.next(self.at(self.now)) {
                Next::Leaves(item, fate) => self.left.push((self.now, item, fate)),
                Next::WaitsUntil(time) if time <= self.at(until) => {
                    self.now = u64::try_from((time - self.start).as_millis()).unwrap();
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn play(events: Vec<(u64, Event)>) -> Self {
        let (line, start) = line();
        let mut simulation = Self {
            line,
            start,
            now: 0,
            left: Vec::new(),
        };
        for (time, event) in events {
            simulation.advance(time);
            let now = simulation.at(time);
            match event {
                Event::Arrives(frame) => push(&mut simulation.line, frame..frame + 1, now),
                Event::Answered(frame, seq) => simulation.line.answer(heard(frame, seq), frame, now),
            }
        }
        simulation.advance(1_000_000);
        simulation
    }
}

proptest! {
    #[test]
    fn each_frame_leaves_once_in_order_and_in_time_with_its_own_answer_or_none(
        stories in stories(), delay in 0_u64..100, numbered: bool,
    ) {
        let Simulation { left, line, .. } = Simulation::play(events(&stories, delay, numbered));
        let order: Vec<u32> = left.iter().map(|(_, frame, _)| *frame).collect();
        prop_assert_eq!(order, (0..).take(stories.len()).collect::<Vec<u32>>());
        for (time, frame, fate) in &left {
            let arrived = u64::from(*frame) * 33 + delay;
            prop_assert!((arrived..=arrived + 200).contains(time), "{}: {} {}", frame, arrived, time);
            if let Fate::Joined(answer) = fate {
                prop_assert_eq!(answer, frame);
            }
            let (published, answers) = &stories[*frame as usize];
            // In time: before its deadline, which the order of events at one time does not blur.
            let in_time = *published && answers.iter().any(|after| *after < delay + 200);
            if numbered && in_time {
                prop_assert!(matches!(fate, Fate::Joined(_)), "{} {:?}", frame, fate);
            }
            if !published || answers.is_empty() {
                prop_assert!(!matches!(fate, Fate::Joined(_)), "{} {:?}", frame, fate);
            }
        }
        let counts = line.counts();
        prop_assert_eq!(counts.left(), stories.len() as u64);
        let answers = stories.iter().filter(|(published, _)| *published).map(|(_, answers)| answers.len() as u64);
        let heard = counts.joined + counts.late_answers + counts.unknown_answers;
        prop_assert_eq!(heard, answers.sum::<u64>());
    }

    #[test]
    fn no_sequence_of_calls_panics(
        calls in prop::collection::vec((0_u8..7, any::<u8>(), any::<Option<u8>>(), 0_u32..300), 0..300),
    ) {
        let (mut line, start) = line();
        let mut now = start;
        let mut given = 0;
        let mut taken = 0;
        for (call, frame, seq, wait) in calls {
            match call {
                0 | 1 => {
                    given += 1;
                    line.push_frame(0, (frame > 9).then(|| identity(frame.into())), now);
                }
                2 => line.answer(heard(frame.into(), seq.map(u64::from)), 0, now),
                3 => now += MS * wait,
                4 => line.set_listening(frame < 200),
                5 => line.set_running(frame < 200, now),
                _ if frame == 0 => drop(line.clear(0)),
                _ => taken += leaving(&mut line, now).len() as u64,
            }
            let counts = line.counts();
            prop_assert_eq!(counts.received, given);
            prop_assert_eq!(counts.left(), taken);
            prop_assert_eq!(given, counts.left() + counts.flushed + line.waiting() as u64);
        }
    }
}
