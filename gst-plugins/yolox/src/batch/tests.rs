use std::sync::mpsc;
use std::thread::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const NONE: Duration = Duration::ZERO;

/// Doubles its rows and tells how many there were. Runs as long as `gate` says, if there is one.
#[derive(Debug, Default)]
struct Double {
    gate: Option<mpsc::Receiver<()>>,
    started: Option<mpsc::Sender<usize>>,
}

impl Runner for Double {
    type Row = i64;
    type Output = Vec<i64>;

    fn run(&mut self, rows: &[i64]) -> Result<Vec<i64>, String> {
        if let Some(started) = &self.started {
            started.send(rows.len()).unwrap();
        }
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        match rows.iter().find(|row| **row < 0) {
            Some(-1) => Err("no negative numbers".into()),
            Some(_) => panic!("a test's panic"),
            None => Ok(rows.iter().map(|row| row * 2).collect()),
        }
    }
}

/// A runner that waits to be let go, what lets it go, and what says that it has started.
fn gated() -> (Double, mpsc::Sender<()>, mpsc::Receiver<usize>) {
    let (open, gate) = mpsc::channel();
    let (started, start) = mpsc::channel();
    let runner = Double {
        gate: Some(gate),
        started: Some(started),
    };
    (runner, open, start)
}

type Answer = Result<(i64, usize), BatchError>;

/// The doubled number and the size of its batch.
fn infer(member: &Membership<Double>, row: i64, timeout: Duration) -> Answer {
    let start = Instant::now();
    let done = member.infer(row, timeout)?;
    assert!(
        timeout < LONG || start.elapsed() < LONG / 2,
        "it waited to its timeout"
    );
    assert_eq!(done.row, row, "the input comes back");
    Ok((done.output[done.index], done.size))
}

fn spawn(member: &Arc<Membership<Double>>, row: i64, timeout: Duration) -> JoinHandle<Answer> {
    let member = member.clone();
    std::thread::spawn(move || infer(&member, row, timeout))
}

fn waiting(batcher: &Batcher<Double>) -> usize {
    batcher.lock().waiting.len()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG / 2, "never {what}");
        std::thread::yield_now();
    }
}

/// Members that have put in a frame once, so that others wait for them.
fn present(batcher: &Arc<Batcher<Double>>, count: usize) -> Vec<Arc<Membership<Double>>> {
    let members: Vec<_> = (0..count).map(|_| Arc::new(batcher.join())).collect();
    for member in batcher.lock().members.values_mut() {
        (member.is_playing, member.is_present) = (true, true);
    }
    members
}

#[test]
fn one_alone_never_waits() {
    for size in [1, 4] {
        let batcher = Batcher::new(vec![Double::default()], size);
        let member = batcher.join();
        let idle = batcher.join();
        assert_eq!(infer(&member, 21, LONG), Ok((42, 1)));
        drop(idle);
        assert_eq!(infer(&member, 22, LONG), Ok((44, 1)));
    }
}

#[test]
fn a_batch_starts_when_all_are_there() {
    let batcher = Batcher::new(vec![Double::default()], 8);
    let members = present(&batcher, 3);
    for round in 0..50 {
        let threads: Vec<_> = (0..3)
            .map(|n| spawn(&members[n as usize], round * 3 + n, LONG))
            .collect();
        for (n, thread) in (0..).zip(threads) {
            assert_eq!(thread.join().unwrap(), Ok(((round * 3 + n) * 2, 3)));
        }
    }
}

#[test]
fn a_batch_starts_when_it_is_full() {
    let (runner, open, start) = gated();
    let batcher = Batcher::new(vec![runner], 2);
    let members = present(&batcher, 5);
    let threads: Vec<_> = members.iter().map(|member| spawn(member, 1, LONG)).collect();
    assert_eq!(start.recv(), Ok(2));
    until("the others waiting", || waiting(&batcher) == 3);
    open.send(()).unwrap();
    assert_eq!(start.recv(), Ok(2), "the next is full too");
    // Those that are done do not come back, so that the last would wait for them.
    open.send(()).unwrap();
    members.iter().for_each(|member| member.pause());
    assert_eq!(start.recv(), Ok(1));
    open.send(()).unwrap();
    let sizes: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap().unwrap().1)
        .collect();
    assert_eq!(sizes.iter().filter(|size| **size == 2).count(), 4, "{sizes:?}");
}

#[test]
fn one_that_does_not_come_is_waited_for_once() {
    let batcher = Batcher::new(vec![Double::default()], 2);
    let members = present(&batcher, 2);
    let start = Instant::now();
    let short = Duration::from_millis(30);
    assert_eq!(infer(&members[0], 1, short), Ok((2, 1)));
    assert!(start.elapsed() >= short, "it was waited for");
    assert_eq!(infer(&members[0], 2, LONG), Ok((4, 1)), "and now no longer");
    let thread = spawn(&members[1], 3, LONG);
    until("the other waiting", || waiting(&batcher) == 1);
    assert_eq!(infer(&members[0], 4, LONG), Ok((8, 2)), "until it is back");
    assert_eq!(thread.join().unwrap(), Ok((6, 2)));
}

#[test]
fn who_leaves_or_pauses_is_not_waited_for() {
    let batcher = Batcher::new(vec![Double::default()], 3);
    let mut members = present(&batcher, 3);
    let thread = spawn(&members[0], 1, LONG);
    until("it waits", || waiting(&batcher) == 1);
    members[1].pause();
    members.pop();
    assert_eq!(thread.join().unwrap(), Ok((2, 1)));
}

#[test]
fn who_does_not_play_is_not_waited_for() {
    let batcher = Batcher::new(vec![Double::default()], 2);
    let members: Vec<_> = (0..2).map(|_| Arc::new(batcher.join())).collect();
    assert_eq!(infer(&members[0], 1, LONG), Ok((2, 1)));
    assert_eq!(
        infer(&members[1], 1, LONG),
        Ok((2, 1)),
        "the first may be held after this"
    );
    members.iter().for_each(|member| member.play(true));
    assert_eq!(
        infer(&members[0], 2, LONG),
        Ok((4, 1)),
        "the other has put in nothing since"
    );
    let thread = spawn(&members[1], 3, LONG);
    until("it waits", || waiting(&batcher) == 1);
    members[0].play(false);
    assert_eq!(thread.join().unwrap(), Ok((6, 1)));
}

#[test]
fn a_wait_is_cancelled_at_once_and_the_others_go_on() {
    let batcher = Batcher::new(vec![Double::default()], 3);
    let members = present(&batcher, 3);
    let threads = [spawn(&members[0], 1, LONG), spawn(&members[1], 2, LONG)];
    until("both wait", || waiting(&batcher) == 2);
    members[0].cancel();
    let [first, second] = threads;
    assert_eq!(first.join().unwrap(), Err(BatchError::Cancelled));
    assert_eq!(
        infer(&members[0], 1, NONE),
        Err(BatchError::Cancelled),
        "until it is resumed"
    );
    members[2].pause();
    assert_eq!(second.join().unwrap(), Ok((4, 1)), "without the cancelled frame");
    members[0].resume();
    assert_eq!(infer(&members[0], 5, NONE), Ok((10, 1)));
}

#[test]
fn a_frame_that_was_given_up_in_its_run_is_not_taken_for_the_next() {
    let (runner, open, start) = gated();
    let batcher = Batcher::new(vec![runner], 2);
    let members = present(&batcher, 2);
    let threads = [spawn(&members[0], 1, LONG), spawn(&members[1], 2, LONG)];
    assert_eq!(start.recv(), Ok(2));
    members.iter().for_each(|member| member.cancel());
    // Who runs the model must wait for it; the other is free at once.
    until("one has gone", || threads.iter().any(JoinHandle::is_finished));
    let free = threads.iter().position(JoinHandle::is_finished).unwrap();
    members[free].resume();
    let again = spawn(&members[free], 7, NONE);
    until("it waits again", || waiting(&batcher) == 1);
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert_eq!(again.join().unwrap(), Ok((14, 1)));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Err(BatchError::Cancelled));
    }
}

#[test]
fn an_error_reaches_all_and_the_next_batch_runs() {
    let batcher = Batcher::new(vec![Double::default()], 2);
    let members = present(&batcher, 2);
    for (row, reason) in [(-1, "no negative numbers"), (-2, "panicked")] {
        let threads = [spawn(&members[0], 1, LONG), spawn(&members[1], row, LONG)];
        for thread in threads {
            let error = thread.join().unwrap().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let threads = [spawn(&members[0], 1, LONG), spawn(&members[1], 2, LONG)];
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap().1, 2);
        }
    }
}

#[test]
fn many_threads_get_their_own() {
    let batcher = Batcher::new(vec![Double::default()], 4);
    std::thread::scope(|scope| {
        for thread in 0..7 {
            let member = batcher.join();
            member.play(true);
            scope.spawn(move || {
                for n in 0..300 {
                    let row = thread * 1000 + n;
                    let timeout = Duration::from_micros((n % 5) as u64 * 100);
                    let (doubled, size) = infer(&member, row, timeout).unwrap();
                    assert_eq!((doubled, size <= 4), (row * 2, true));
                }
            });
        }
    });
}

#[test]
fn a_second_runner_takes_the_next_batch_meanwhile() {
    let (first, open_first, first_started) = gated();
    let (second, open_second, second_started) = gated();
    // The last is taken first.
    let batcher = Batcher::new(vec![second, first], 2);
    let members = present(&batcher, 4);
    let mut threads: Vec<_> = (0..2).map(|row| spawn(&members[row], row as i64, LONG)).collect();
    assert_eq!(first_started.recv_timeout(LONG / 2), Ok(2));
    threads.extend((2..4).map(|row| spawn(&members[row], row as i64, LONG)));
    assert_eq!(
        second_started.recv_timeout(LONG / 2),
        Ok(2),
        "before the first has ended"
    );
    open_second.send(()).unwrap();
    for (row, thread) in threads.drain(2..).enumerate() {
        assert_eq!(thread.join().unwrap(), Ok((2 * (2 + row as i64), 2)));
    }
    open_first.send(()).unwrap();
    for (row, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), Ok((2 * row as i64, 2)));
    }
}

#[test]
fn what_a_full_batch_left_over_goes_to_a_second_runner() {
    let (first, open_first, first_started) = gated();
    let (second, open_second, second_started) = gated();
    let batcher = Batcher::new(vec![second, first], 2);
    let members = present(&batcher, 3);
    let threads: Vec<_> = (0..3).map(|row| spawn(&members[row], row as i64, NONE)).collect();
    let mut sizes = [&first_started, &second_started].map(|started| started.recv_timeout(LONG / 2).unwrap());
    sizes.sort_unstable();
    assert!(sizes == [1, 2] || sizes == [1, 1], "{sizes:?}");
    for _ in 0..2 {
        open_first.send(()).ok();
        open_second.send(()).ok();
    }
    for (row, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap().map(|(value, _)| value), Ok(2 * row as i64));
    }
}
