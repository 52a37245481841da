//! Encoded pictures in memory, played round and round.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use rtc::media::io::ivf_reader::IVFReader;

pub struct Video {
    pub frames: Vec<Bytes>,
    pub fps: f64,
}

impl Video {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (mut reader, header) = IVFReader::new(BufReader::new(file))
            .with_context(|| format!("{} is no IVF file", path.display()))?;
        ensure!(&header.four_cc == b"VP80", "{} holds no VP8", path.display());
        let mut frames = Vec::new();
        let mut times = Vec::new();
        // The reader tells the end of the file by an error.
        while let Ok((frame, header)) = reader.parse_next_frame() {
            frames.push(frame.freeze());
            times.push(header.timestamp);
        }
        ensure!(
            frames.first().is_some_and(is_keyframe),
            "{} does not begin with a keyframe",
            path.display()
        );
        // A muxer's timebase may be finer than its frames are.
        let span = times
            .last()
            .zip(times.first())
            .map_or(0, |(last, first)| last.saturating_sub(*first));
        ensure!(span > 0, "the frames of {} have no times", path.display());
        let seconds =
            span as f64 * f64::from(header.timebase_numerator) / f64::from(header.timebase_denominator);
        Ok(Self {
            fps: (frames.len() - 1) as f64 / seconds,
            frames,
        })
    }
}

/// RFC 6386, 9.1: the first bit of a frame is 0 in keyframes.
pub fn is_keyframe(frame: &Bytes) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// What one session has played of a video.
pub struct Player<'a> {
    video: &'a Video,
    next: usize,
}

impl<'a> Player<'a> {
    pub fn new(video: &'a Video) -> Self {
        Self { video, next: 0 }
    }

    /// The next picture and its number in the file.
    pub fn next(&mut self) -> (usize, &'a Bytes) {
        let number = self.next;
        self.next = (number + 1) % self.video.frames.len();
        (number, &self.video.frames[number])
    }

    /// Goes on with the nearest keyframe that comes.
    pub fn jump_to_keyframe(&mut self) {
        let frames = &self.video.frames;
        // The first frame is one.
        self.next = (self.next..frames.len())
            .find(|&number| is_keyframe(&frames[number]))
            .unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(keyframes: &[bool]) -> Video {
        let frame = |&key: &bool| Bytes::from_static(if key { &[0x10] } else { &[0x11] });
        Video {
            frames: keyframes.iter().map(frame).collect(),
            fps: 30.0,
        }
    }

    #[test]
    fn it_plays_round_and_round() {
        let video = video(&[true, false, false]);
        let mut player = Player::new(&video);
        let numbers: Vec<_> = (0..5).map(|_| player.next().0).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn asked_for_a_keyframe_it_gives_the_nearest_that_comes() {
        let video = video(&[true, false, false, true, false]);
        let mut player = Player::new(&video);
        player.next();
        player.jump_to_keyframe();
        assert_eq!(player.next().0, 3);
        player.jump_to_keyframe();
        assert_eq!(player.next().0, 0);
    }
}
