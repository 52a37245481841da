//! Frames that carry their number in the picture, as sixteen squares above each other's bits: which of them arrive, and when.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;

const BITS: usize = 16;
/// Of the picture, in samples: sixteen squares are as wide.
const WIDTH: usize = 160;
const SQUARE: usize = WIDTH / BITS;

/// Noise, of which an encoder makes as many bits as it may: several packets a frame.
pub const CAMERA: &str = "videotestsrc is-live=true pattern=snow ! \
                          video/x-raw,format=I420,width=160,height=120,framerate=15/1 ! identity name=numbers";
pub const FRAMES_PER_SEC: usize = 15;
/// A session's end: the squares alone, a byte for each.
pub const READER: &str = "videoconvert ! videoscale ! video/x-raw,format=GRAY8,width=16,height=12 ! \
                          filesink buffer-mode=unbuffered async=false sync=false location=";
const READ_BYTES: usize = BITS * 12;

type Times = Arc<Mutex<Vec<(usize, Instant)>>>;

/// Frames' numbers with the times at which they were sent or came in.
#[derive(Default)]
pub struct Frames {
    open: Arc<AtomicBool>,
    sent: Times,
    came: Times,
}

/// What became of the frames between the first that came in and the last that was sent.
#[derive(Debug)]
pub struct Outcome {
    pub sent: usize,
    pub decoded: usize,
    pub longest_freeze: Duration,
    /// From before the encoder to after the decoder.
    pub median_delay: Duration,
}

impl Frames {
    /// Numbers what passes the element, from 0; nothing passes before [`Self::open`].
    pub fn number(&self, element: &gst::Element) {
        let (open, sent) = (Arc::clone(&self.open), Arc::clone(&self.sent));
        let pad = element.static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
                return gst::PadProbeReturn::Ok;
            };
            if !open.load(Ordering::Relaxed) {
                return gst::PadProbeReturn::Drop;
            }
            let mut sent = sent.lock().unwrap();
            write(
                sent.len(),
                buffer.make_mut().map_writable().unwrap().as_mut_slice(),
            );
            let number = sent.len();
            sent.push((number, Instant::now()));
            gst::PadProbeReturn::Ok
        });
    }

    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Reads what the session writes to that pipe.
    pub fn read(&self, pipe: &Path) {
        let (pipe, came) = (pipe.to_owned(), Arc::clone(&self.came));
        std::thread::spawn(move || {
            let mut pipe = std::fs::File::open(pipe).unwrap();
            let mut picture = [0; READ_BYTES];
            while pipe.read_exact(&mut picture).is_ok() {
                came.lock().unwrap().push((read(&picture), Instant::now()));
            }
        });
    }

    /// When the first of so many frames in a row came in, since then.
    pub fn whole_since(&self, since: Instant, count: usize) -> Option<Instant> {
        let came = self.came.lock().unwrap();
        let came: Vec<_> = came.iter().filter(|(_, time)| *time >= since).collect();
        let mut rows = came.windows(count);
        let whole = rows.find(|row| row[count - 1].0 - row[0].0 == count - 1)?;
        Some(whole[0].1)
    }

    /// Of the frames sent until then.
    pub fn outcome(&self, sent_until: Instant) -> Outcome {
        let sent = self.sent.lock().unwrap();
        let came = self.came.lock().unwrap();
        let end = sent.iter().filter(|(_, time)| *time <= sent_until).count();
        let first = came.first().expect("no frame came through").0;
        let within: Vec<_> = came.iter().filter(|(number, _)| *number < end).collect();
        for pair in within.windows(2) {
            assert!(pair[0].0 < pair[1].0, "out of order: {pair:?}");
        }
        let mut delays: Vec<_> = within
            .iter()
            .map(|(number, time)| *time - sent[*number].1)
            .collect();
        delays.sort_unstable();
        let median_delay = delays[delays.len() / 2];
        // A stream that stopped before the end is frozen up to it.
        let arrivals = within.iter().map(|(_, time)| *time);
        let arrivals: Vec<_> = arrivals.chain([sent_until + median_delay]).collect();
        let gaps = arrivals
            .windows(2)
            .map(|pair| pair[1].saturating_duration_since(pair[0]));
        Outcome {
            sent: end - first,
            decoded: within.len(),
            longest_freeze: gaps.max().unwrap(),
            median_delay,
        }
    }
}

/// Draws the number's bits in the first rows of luma, black or white.
fn write(number: usize, picture: &mut [u8]) {
    for row in picture.chunks_exact_mut(WIDTH).take(SQUARE) {
        for (bit, square) in row.chunks_exact_mut(SQUARE).enumerate() {
            square.fill(if number >> bit & 1 == 1 { 235 } else { 16 });
        }
    }
}

fn read(picture: &[u8; READ_BYTES]) -> usize {
    (0..BITS)
        .filter(|bit| picture[*bit] > 127)
        .map(|bit| 1 << bit)
        .sum()
}
