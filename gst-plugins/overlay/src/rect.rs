//! Rectangles of pixels.

/// Right and bottom are outside; where they do not exceed left and top there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Rect {
    pub fn new((left, top): (usize, usize), (width, height): (usize, usize)) -> Self {
        Self {
            left,
            top,
            right: left + width,
            bottom: top + height,
        }
    }

    pub fn width(&self) -> usize {
        self.right.saturating_sub(self.left)
    }

    pub fn height(&self) -> usize {
        self.bottom.saturating_sub(self.top)
    }

    /// In pixels.
    pub fn area(&self) -> usize {
        self.width() * self.height()
    }

    pub fn is_empty(&self) -> bool {
        self.area() == 0
    }

    /// What lies in both.
    pub fn common(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Smaller by a margin on each side.
    pub fn inset(&self, margin: usize) -> Self {
        Self {
            left: self.left + margin,
            top: self.top + margin,
            right: self.right.saturating_sub(margin),
            bottom: self.bottom.saturating_sub(margin),
        }
    }

    /// The sides of a frame of a line's width along the inside, without overlap: top, bottom, left and right, or all
    /// of it where there is no room inside.
    pub fn sides(&self, line: usize) -> Vec<Self> {
        let inner = self.inset(line);
        if inner.is_empty() {
            return if self.is_empty() { Vec::new() } else { vec![*self] };
        }
        // The corners belong to the horizontal sides.
        let (top, bottom) = (inner.top, inner.bottom);
        vec![
            Self { bottom: top, ..*self },
            Self { top: bottom, ..*self },
            Self {
                right: inner.left,
                top,
                bottom,
                ..*self
            },
            Self {
                left: inner.right,
                top,
                bottom,
                ..*self
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_cover_the_edge_once() {
        for (width, height, line) in [
            (9, 7, 1),
            (9, 7, 2),
            (9, 7, 3),
            (9, 7, 4),
            (9, 7, 100),
            (1, 1, 1),
            (2, 9, 1),
        ] {
            let rect = Rect::new((3, 5), (width, height));
            let sides = rect.sides(line);
            for y in 0..20 {
                for x in 0..20 {
                    let pixel = Rect::new((x, y), (1, 1));
                    let expected =
                        !rect.common(&pixel).is_empty() && rect.inset(line).common(&pixel).is_empty();
                    let count = sides
                        .iter()
                        .filter(|side| !side.common(&pixel).is_empty())
                        .count();
                    assert_eq!(count, usize::from(expected), "{rect:?} {line} at {x}, {y}");
                }
            }
        }
    }

    #[test]
    fn nothing_has_no_sides() {
        assert_eq!(Rect::new((3, 5), (0, 4)).sides(2), []);
    }

    #[test]
    fn what_two_have_in_common() {
        let a = Rect::new((0, 0), (4, 4));
        assert_eq!(a.common(&Rect::new((2, 3), (9, 9))), Rect::new((2, 3), (2, 1)));
        assert!(a.common(&Rect::new((7, 0), (2, 2))).is_empty());
    }
}
