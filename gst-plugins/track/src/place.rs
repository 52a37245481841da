//! Boxes as the tracker sees them: in heights of the frame, so that motion does not depend on the frame's size.

/// Boxes further out or larger than this many frames are no boxes.
const REACH: f64 = 1000.0;
/// Nor are those with a side below this share of the frame.
const SMALLEST: f64 = 1e-6;

/// A box: its corners, in heights of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Place {
    /// From left, top, width and height, each 0 to 1 of a frame of the given `shape` (width / height).
    /// `None` for what is no box: not finite, without area, or out of all proportion.
    pub fn from_bbox([x, y, w, h]: [f64; 4], shape: f64) -> Option<Self> {
        let sane = [x, y].iter().all(|value| value.abs() <= REACH)
            && [w, h].iter().all(|value| (SMALLEST..=REACH).contains(value));
        sane.then_some(Self {
            left: x * shape,
            top: y,
            right: (x + w) * shape,
            bottom: y + h,
        })
    }

    /// The part inside of the frame as left, top, width and height, each 0 to 1; `None` if nothing is inside.
    pub fn to_bbox(self, shape: f64) -> Option<[f64; 4]> {
        let [left, right] = [self.left, self.right].map(|x| (x / shape).clamp(0.0, 1.0));
        let [top, bottom] = [self.top, self.bottom].map(|y| y.clamp(0.0, 1.0));
        (left < right && top < bottom).then_some([left, top, right - left, bottom - top])
    }

    /// From centre x, centre y, aspect ratio (width / height) and height.
    pub fn from_xyah([x, y, aspect, height]: [f64; 4]) -> Self {
        let width = aspect * height;
        Self {
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        }
    }

    /// Centre x, centre y, aspect ratio (width / height) and height.
    pub fn to_xyah(self) -> [f64; 4] {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        [
            (self.left + self.right) / 2.0,
            (self.top + self.bottom) / 2.0,
            width / height,
            height,
        ]
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let common = width * height;
        let iou = common / (self.area() + other.area() - common);
        // A predicted box can have shrunk to less than nothing.
        if iou.is_finite() { iou.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn area(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_box_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e9, -1e9] {
            for index in 0..4 {
                let mut bbox = [0.1, 0.1, 0.5, 0.5];
                bbox[index] = bad;
                assert_eq!(Place::from_bbox(bbox, 1.5), None, "{bbox:?}");
            }
        }
        assert_eq!(Place::from_bbox([0.1, 0.1, 0.0, 0.5], 1.5), None);
        assert_eq!(Place::from_bbox([0.1, 0.1, 0.5, -0.5], 1.5), None);
    }

    #[test]
    fn boxes_are_cut_at_the_frame() {
        let place = |bbox| Place::from_bbox(bbox, 2.0).unwrap();
        assert_eq!(
            place([-0.5, 0.5, 1.0, 1.0]).to_bbox(2.0),
            Some([0.0, 0.5, 0.5, 0.5])
        );
        assert_eq!(place([1.0, 0.0, 0.5, 0.5]).to_bbox(2.0), None);
        // A box that shrank below nothing.
        assert_eq!(Place::from_xyah([0.5, 0.5, 1.0, -0.1]).to_bbox(2.0), None);
    }

    fn bbox() -> impl Strategy<Value = [f64; 4]> {
        [-1.0..1.0, -1.0..1.0, 0.001..2.0, 0.001..2.0]
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_whole_with_itself(a in bbox(), b in bbox(), shape in 0.2..5.0) {
            let [a, b] = [a, b].map(|bbox| Place::from_bbox(bbox, shape).unwrap());
            prop_assert!((a.iou(&b) - b.iou(&a)).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&a.iou(&b)));
            prop_assert!((a.iou(&a) - 1.0).abs() < 1e-12);
        }

        #[test]
        fn nothing_is_lost_on_the_way(
            bbox in [0.0..0.5, 0.0..0.5, 0.001..0.5, 0.001..0.5], shape in 0.2..5.0,
        ) {
            let place = Place::from_bbox(bbox, shape).unwrap();
            let back = Place::from_xyah(place.to_xyah()).to_bbox(shape).unwrap();
            for (a, b) in bbox.iter().zip(back) {
                prop_assert!((a - b).abs() < 1e-9, "{bbox:?} {back:?}");
            }
        }
    }
}
