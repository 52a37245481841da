//! Which rectangles make up the boxes and labels of a frame's detections.

use sightline_protocol::Detection;

use crate::canvas::Canvas;
use crate::palette::{self, Colour};
use crate::text::Line;

/// Sizes in pixels; 0 follows the frame's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub line_width: u32,
    pub font_size: u32,
    pub labels: bool,
    pub scores: bool,
    pub colour_by_track: bool,
}

/// A piece of drawing and the pixel of the frame that its top left corner lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub x: usize,
    pub y: usize,
    pub canvas: Canvas,
}

/// The patches that show the detections on a frame of `width` × `height` pixels; all lie inside of it.
/// Labels come last, so that no box crosses them.
pub fn draw(detections: &[Detection], style: &Style, (width, height): (u32, u32)) -> Vec<Patch> {
    let frame = (width as usize, height as usize);
    let style = style.resolved(frame);
    let boxes = detections
        .iter()
        .flat_map(|detection| style.outline(detection, frame));
    let labels = detections
        .iter()
        .filter_map(|detection| style.label(detection, frame));
    boxes.chain(labels).collect()
}

/// Left, top, right and bottom in pixels.
#[derive(Debug, Clone, Copy)]
struct Rect {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Rect {
    /// The part of a detection's box inside the frame; none if nothing is.
    fn new(detection: &Detection, (width, height): (usize, usize)) -> Option<Self> {
        let [x, y, w, h] = detection.bbox;
        let pixel = |value: f64, size: usize| (value.clamp(0.0, 1.0) * size as f64).round() as usize;
        let rect = Self {
            left: pixel(x, width),
            top: pixel(y, height),
            right: pixel(x + w, width),
            bottom: pixel(y + h, height),
        };
        (rect.left < rect.right && rect.top < rect.bottom).then_some(rect)
    }
}

impl Style {
    fn resolved(self, (width, height): (usize, usize)) -> Self {
        let side = width.min(height) as u32;
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        Self {
            line_width: or(self.line_width, (side / 240).max(2)),
            font_size: or(self.font_size, (side / 28).max(12)),
            ..self
        }
    }

    fn colour(&self, detection: &Detection) -> Colour {
        let class = u64::from(detection.class_id);
        palette::colour(
            detection
                .track_id
                .filter(|_| self.colour_by_track)
                .unwrap_or(class),
        )
    }

    fn outline(&self, detection: &Detection, frame: (usize, usize)) -> Vec<Patch> {
        let Some(Rect {
            left,
            top,
            right,
            bottom,
        }) = Rect::new(detection, frame)
        else {
            return Vec::new();
        };
        let line = (self.line_width as usize).min(right - left).min(bottom - top);
        let colour = self.colour(detection);
        let bar = |x, y, width, height| Patch {
            x,
            y,
            canvas: Canvas::filled(width, height, colour),
        };
        let mut bars = vec![
            bar(left, top, right - left, line),
            bar(left, bottom - line, right - left, line),
        ];
        // The corners belong to the horizontal bars.
        let inner = (bottom - top).saturating_sub(2 * line);
        if inner > 0 {
            bars.push(bar(left, top + line, line, inner));
            bars.push(bar(right - line, top + line, line, inner));
        }
        bars
    }

    fn text(&self, detection: &Detection) -> String {
        let label = self.labels.then(|| detection.label.clone());
        let track = detection
            .track_id
            .filter(|_| self.labels)
            .map(|id| format!("#{id}"));
        let score = self.scores.then(|| format!("{:.2}", detection.score));
        [label, track, score]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A plate with text on top of the box, or inside it where the frame ends.
    fn label(&self, detection: &Detection, (width, height): (usize, usize)) -> Option<Patch> {
        let rect = Rect::new(detection, (width, height))?;
        let text = self.text(detection);
        if text.is_empty() {
            return None;
        }
        let line = Line::new(&text, self.font_size);
        let margin = (self.font_size / 5) as usize;
        let (plate_width, plate_height) = ((line.width + 2 * margin).min(width), line.height.min(height));
        let colour = self.colour(detection);
        let mut canvas = Canvas::filled(plate_width, plate_height, colour);
        line.draw(&mut canvas, (margin as i64, 0), colour.text());
        let y = rect.top.checked_sub(plate_height).unwrap_or(rect.top);
        Some(Patch {
            x: rect.left.min(width - plate_width),
            y: y.min(height - plate_height),
            canvas,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        line_width: 2,
        font_size: 16,
        labels: true,
        scores: true,
        colour_by_track: false,
    };
    const FRAME: (u32, u32) = (200, 100);

    fn dog(bbox: [f64; 4]) -> Detection {
        Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.856,
            bbox,
            track_id: None,
        }
    }

    fn place(patch: &Patch) -> [usize; 4] {
        [patch.x, patch.y, patch.canvas.width, patch.canvas.height]
    }

    #[test]
    fn a_box_is_four_bars_and_a_plate() {
        let patches = draw(&[dog([0.25, 0.5, 0.5, 0.25])], &STYLE, FRAME);
        let places: Vec<_> = patches.iter().map(place).collect();
        assert_eq!(
            places[..4],
            [
                [50, 50, 100, 2],
                [50, 73, 100, 2],
                [50, 52, 2, 21],
                [148, 52, 2, 21]
            ]
        );
        let [x, y, _, height] = places[4];
        assert_eq!((x, y + height), (50, 50), "the plate stands on the box");
        assert_eq!(places.len(), 5);
    }

    #[test]
    fn everything_stays_inside_the_frame() {
        let edges = [
            -0.2,
            0.0,
            0.001,
            0.5,
            0.98,
            0.999,
            1.0,
            1.5,
            f64::NAN,
            f64::INFINITY,
        ];
        for x in edges {
            for y in edges {
                for (w, h) in [(0.5, 0.5), (0.0, 0.2), (0.004, 0.01), (3.0, 3.0), (f64::NAN, 0.5)] {
                    for frame in [FRAME, (20, 6), (1, 1)] {
                        for patch in draw(&[dog([x, y, w, h])], &STYLE, frame) {
                            let [left, top, width, height] = place(&patch);
                            assert!(width > 0 && height > 0);
                            assert!(left + width <= frame.0 as usize && top + height <= frame.1 as usize);
                            assert_eq!(patch.canvas.pixels.len(), width * height * 4);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_follows_the_style() {
        let tracked = Detection {
            track_id: Some(7),
            ..dog([0.0; 4])
        };
        let text = |labels, scores| {
            Style {
                labels,
                scores,
                ..STYLE
            }
            .text(&tracked)
        };
        assert_eq!(text(true, true), "dog #7 0.86");
        assert_eq!(text(true, false), "dog #7");
        assert_eq!(text(false, true), "0.86");
        let bare = Style {
            labels: false,
            scores: false,
            ..STYLE
        };
        assert_eq!(draw(&[dog([0.1, 0.1, 0.5, 0.5])], &bare, FRAME).len(), 4);
    }

    #[test]
    fn colours_follow_class_or_track() {
        let colour = |track_id, colour_by_track| {
            let style = Style {
                colour_by_track,
                ..STYLE
            };
            style.colour(&Detection {
                track_id,
                ..dog([0.0; 4])
            })
        };
        assert_eq!(colour(Some(3), true), palette::colour(3));
        assert_eq!(colour(Some(3), false), palette::colour(16));
        assert_eq!(colour(None, true), palette::colour(16));
    }

    #[test]
    fn sizes_follow_the_frame() {
        let auto = Style {
            line_width: 0,
            font_size: 0,
            ..STYLE
        };
        let (small, large) = (auto.resolved((320, 240)), auto.resolved((1920, 1080)));
        assert_eq!((small.line_width, small.font_size), (2, 12));
        assert_eq!((large.line_width, large.font_size), (4, 38));
    }

    #[test]
    fn nothing_found_nothing_drawn() {
        assert_eq!(draw(&[], &STYLE, FRAME), []);
    }
}
