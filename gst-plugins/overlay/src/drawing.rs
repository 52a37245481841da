//! What is drawn for the detections of a frame: outlines and labels.

use std::sync::Arc;

use sightline_protocol::Detection;

use crate::label_format::{LabelFormat, Shown};
use crate::palette::{self, Colour};
use crate::picture::Picture;
use crate::rect::Rect;
use crate::text::{Mask, Typesetter};

/// Sizes in pixels; 0 follows the frame's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    pub line_width: u32,
    pub font_size: u32,
    pub shown: Shown,
    pub colour_by_track: bool,
    pub label_format: Arc<LabelFormat>,
}

/// A piece of the drawing; all of it lies inside the frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A line along the inside of a box, and a thinner one within it that stands out from the first.
    Outline {
        place: Rect,
        line: usize,
        edge: usize,
        colour: Colour,
    },
    /// A line of text on a plate.
    Label {
        corner: (usize, usize),
        text: Mask,
        colour: Colour,
    },
}

impl Shape {
    /// Rectangles that have all of it.
    pub fn tiles(&self) -> Vec<Rect> {
        match self {
            Self::Outline {
                place, line, edge, ..
            } => place.sides(line + edge),
            Self::Label { corner, text, .. } => vec![Rect::new(*corner, (text.width, text.height))],
        }
    }

    pub fn paint(&self, picture: &mut Picture) {
        match self {
            Self::Outline {
                place,
                line,
                edge,
                colour,
            } => {
                for side in place.sides(*line) {
                    picture.fill(side, *colour);
                }
                for side in place.inset(*line).sides(*edge) {
                    picture.fill(side, colour.text());
                }
            }
            Self::Label { corner, text, colour } => picture.write(*corner, text, *colour, colour.text()),
        }
    }
}

/// The shapes that show the detections on a frame of `width` × `height` pixels. Labels come last, so that no box
/// crosses them.
pub fn shapes(
    detections: &[Detection],
    style: &Style,
    (width, height): (u32, u32),
    typesetter: &mut Typesetter,
) -> Vec<Shape> {
    let frame = Rect::new((0, 0), (width as usize, height as usize));
    let sizes = Sizes::new(style, frame);
    let shown: Vec<_> = detections
        .iter()
        .filter_map(|detection| Some((detection, visible(detection, frame)?)))
        .collect();
    let mut shapes: Vec<_> = shown
        .iter()
        .map(|(detection, place)| Shape::Outline {
            place: *place,
            line: sizes.line,
            edge: sizes.edge,
            colour: style.colour(detection),
        })
        .collect();
    let mut taken = Vec::new();
    for (detection, place) in shown {
        let text = style.label_format.write(detection, style.shown);
        if text.is_empty() {
            continue;
        }
        let text = typesetter.line(&text, sizes.font, frame.right);
        let label = place_label((text.width, text.height), place, frame, &taken);
        taken.push(label);
        shapes.push(Shape::Label {
            corner: (label.left, label.top),
            text,
            colour: style.colour(detection),
        });
    }
    shapes
}

impl Style {
    fn colour(&self, detection: &Detection) -> Colour {
        let class = u64::from(detection.class_id);
        let track = detection.track_id.filter(|_| self.colour_by_track);
        palette::colour(track.unwrap_or(class))
    }
}

/// Sizes in pixels for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    line: usize,
    edge: usize,
    font: u32,
}

impl Sizes {
    fn new(style: &Style, frame: Rect) -> Self {
        let side = frame.right.min(frame.bottom) as u32;
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        // In a tiny frame there is little room; else smaller could not be seen or read.
        let (smallest_line, smallest_font) = if side < 200 { (1, 10) } else { (2, 12) };
        let line = or(style.line_width, (side / 240).max(smallest_line)) as usize;
        Self {
            line,
            edge: (line / 3).max(1),
            // A larger line would not fit.
            font: or(style.font_size, (side / 36).max(smallest_font)).min(side),
        }
    }
}

/// The part of a detection's box inside the frame; none if nothing is.
fn visible(detection: &Detection, frame: Rect) -> Option<Rect> {
    let [x, y, w, h] = detection.bbox;
    let pixel = |value: f64, size: usize| (value.clamp(0.0, 1.0) * size as f64).round() as usize;
    let place = Rect {
        left: pixel(x, frame.right),
        top: pixel(y, frame.bottom),
        right: pixel(x + w, frame.right),
        bottom: pixel(y + h, frame.bottom),
    };
    (!place.is_empty()).then_some(place)
}

/// Where a label of a size goes: on top of its box, or else inside or below, where it covers the least of other labels.
fn place_label((width, height): (usize, usize), place: Rect, frame: Rect, taken: &[Rect]) -> Rect {
    let last = (frame.right - width, frame.bottom - height);
    let inside = place.top.min(last.1);
    let tops = [
        place.top.checked_sub(height),
        Some(inside),
        Some(place.bottom),
        Some(inside + height),
        Some(inside + 2 * height),
    ];
    let lefts = [place.left.min(last.0), place.right.saturating_sub(width)];
    let places = lefts
        .into_iter()
        .flat_map(|left| tops.into_iter().flatten().map(move |top| (left, top)))
        .filter(|(_, top)| *top <= last.1)
        .map(|corner| Rect::new(corner, (width, height)));
    let covered = |label: &Rect| {
        taken
            .iter()
            .map(|other| label.common(other).area())
            .sum::<usize>()
    };
    let free = places.clone().find(|label| covered(label) == 0);
    free.or_else(|| places.min_by_key(covered))
        .unwrap_or_else(|| Rect::new((0, 0), (width, height)))
}

#[cfg(test)]
mod tests;
