//! From the model's output to objects, as YOLOX's own demo does it (`yolox/utils/demo_utils.py`).
//!
//! Each prediction is `x, y, width, height, objectness, score of class 0, …`. Unless the graph decodes them
//! itself, x and y are offsets from a grid cell in units of its stride, width and height logarithms of them.

/// Which objects hide each other in non-maximum suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nms {
    /// All do; a prediction counts for its best class alone.
    #[default]
    ClassAgnostic,
    /// Only those of one class; a prediction counts for every class it scores in.
    ClassAware,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Objectness × class score that an object must exceed.
    pub score_threshold: f32,
    /// Overlap (intersection over union) above which the weaker of two objects is dropped.
    pub nms_threshold: f32,
    pub nms: Nms,
    pub max_detections: usize,
}

/// One object, in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    pub class: usize,
    pub score: f32,
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
}

impl Object {
    /// Intersection over union; a box includes the pixels at both ends, as in the demo.
    fn overlap(&self, other: &Self) -> f32 {
        let ([l1, t1, r1, b1], [l2, t2, r2, b2]) = (self.corners, other.corners);
        let width = (r1.min(r2) - l1.max(l2) + 1.0).max(0.0);
        let height = (b1.min(b2) - t1.max(t2) + 1.0).max(0.0);
        let intersection = width * height;
        intersection / (self.area() + other.area() - intersection)
    }

    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.corners;
        (right - left + 1.0) * (bottom - top + 1.0)
    }

    /// The part inside a frame of `size`, if any.
    fn clipped(self, (width, height): (usize, usize)) -> Option<Self> {
        let [left, top, right, bottom] = self.corners;
        let corners = [
            left.clamp(0.0, width as f32),
            top.clamp(0.0, height as f32),
            right.clamp(0.0, width as f32),
            bottom.clamp(0.0, height as f32),
        ];
        (corners[0] < corners[2] && corners[1] < corners[3]).then_some(Self { corners, ..self })
    }
}

/// The grid cell of a prediction.
#[derive(Debug, Clone, Copy)]
struct Cell {
    x: f32,
    y: f32,
    stride: f32,
}

/// Finds objects in the output of one model.
pub struct Postprocessor {
    values: usize,
    /// Empty if the graph decodes.
    cells: Vec<Cell>,
    candidates: Vec<Object>,
    kept: Vec<Object>,
}

impl Postprocessor {
    /// `size` is the model's input in pixels.
    pub fn new(classes: usize, size: (usize, usize), strides: &[usize], decoded: bool) -> Self {
        let strides = if decoded { &[][..] } else { strides };
        Self {
            values: 5 + classes,
            cells: strides.iter().flat_map(|stride| grid(size, *stride)).collect(),
            candidates: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// The objects in a picture of `frame` pixels that was scaled by `ratio`, the most certain first.
    /// Only classes that are `wanted` count, and hide others.
    pub fn objects(
        &mut self,
        output: &[f32],
        params: &Params,
        wanted: &[bool],
        ratio: f64,
        frame: (usize, usize),
    ) -> &[Object] {
        self.candidates.clear();
        for (index, prediction) in output.chunks_exact(self.values).enumerate() {
            // Class scores are at most 1; most predictions end here. So do those that are not a number.
            let objectness = prediction[4];
            if objectness > params.score_threshold {
                let corners = || corners(prediction, self.cells.get(index), ratio as f32);
                collect(prediction, params, wanted, corners, &mut self.candidates);
            }
        }
        suppress(&mut self.candidates, params, &mut self.kept);
        self.candidates.clear();
        let visible = self.kept.iter().filter_map(|object| object.clipped(frame));
        self.candidates.extend(visible.take(params.max_detections));
        &self.candidates
    }
}

fn grid((width, height): (usize, usize), stride: usize) -> impl Iterator<Item = Cell> {
    let (columns, rows) = (width / stride, height / stride);
    (0..rows * columns).map(move |index| Cell {
        x: (index % columns) as f32,
        y: (index / columns) as f32,
        stride: stride as f32,
    })
}

fn corners(prediction: &[f32], cell: Option<&Cell>, ratio: f32) -> [f32; 4] {
    let [mut x, mut y, mut width, mut height] = [0, 1, 2, 3].map(|index| prediction[index]);
    if let Some(cell) = cell {
        x = (x + cell.x) * cell.stride;
        y = (y + cell.y) * cell.stride;
        width = width.exp() * cell.stride;
        height = height.exp() * cell.stride;
    }
    [
        x - width / 2.0,
        y - height / 2.0,
        x + width / 2.0,
        y + height / 2.0,
    ]
    .map(|corner| corner / ratio)
}

/// Adds what a prediction says to the candidates.
fn collect(
    prediction: &[f32],
    params: &Params,
    wanted: &[bool],
    corners: impl Fn() -> [f32; 4],
    candidates: &mut Vec<Object>,
) {
    let (objectness, scores) = (prediction[4], &prediction[5..]);
    let mut add = |class: usize, class_score: f32| {
        let product = objectness * class_score;
        // Some exports answer a little more than 1.
        let score = product.min(1.0);
        if product.is_finite() && score > params.score_threshold && wanted.get(class) == Some(&true) {
            let corners = corners();
            if corners.iter().all(|corner| corner.is_finite()) {
                candidates.push(Object {
                    class,
                    score,
                    corners,
                });
            }
        }
    };
    match params.nms {
        Nms::ClassAgnostic => {
            let first = (0, f32::NEG_INFINITY);
            let (class, score) =
                scores.iter().enumerate().fold(
                    first,
                    |best, (class, score)| {
                        if *score > best.1 { (class, *score) } else { best }
                    },
                );
            add(class, score);
        }
        Nms::ClassAware => scores
            .iter()
            .enumerate()
            .for_each(|(class, score)| add(class, *score)),
    }
}

/// Non-maximum suppression: keeps, from the most certain down, what does not overlap a kept object too much.
fn suppress(candidates: &mut [Object], params: &Params, kept: &mut Vec<Object>) {
    kept.clear();
    let by_score = |a: &Object, b: &Object| b.score.total_cmp(&a.score);
    match params.nms {
        Nms::ClassAgnostic => {
            candidates.sort_by(by_score);
            suppress_one_class(candidates, params.nms_threshold, kept);
        }
        Nms::ClassAware => {
            candidates.sort_by(|a, b| a.class.cmp(&b.class).then_with(|| by_score(a, b)));
            for class in candidates.chunk_by(|a, b| a.class == b.class) {
                suppress_one_class(class, params.nms_threshold, kept);
            }
            kept.sort_by(by_score);
        }
    }
}

fn suppress_one_class(candidates: &[Object], threshold: f32, kept: &mut Vec<Object>) {
    let start = kept.len();
    for candidate in candidates {
        if kept[start..]
            .iter()
            .all(|object| object.overlap(candidate) <= threshold)
        {
            kept.push(*candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARAMS: Params = Params {
        score_threshold: 0.3,
        nms_threshold: 0.45,
        nms: Nms::ClassAgnostic,
        max_detections: 100,
    };

    /// A model of 64×64 pixels has 8×8 + 4×4 + 2×2 predictions; all say "nothing" but those given.
    fn output(classes: usize, predictions: &[(usize, Vec<f32>)]) -> Vec<f32> {
        let mut output = vec![0.0; 84 * (5 + classes)];
        for (index, values) in predictions {
            output[index * (5 + classes)..][..values.len()].copy_from_slice(values);
        }
        output
    }

    fn objects(classes: usize, predictions: &[(usize, Vec<f32>)], params: &Params) -> Vec<Object> {
        let mut postprocessor = Postprocessor::new(classes, (64, 64), &[8, 16, 32], false);
        let output = output(classes, predictions);
        postprocessor
            .objects(&output, params, &vec![true; classes], 0.5, (128, 128))
            .to_vec()
    }

    #[test]
    fn a_cell_is_decoded() {
        // Cell (1, 2) of the grid of stride 16: centre (1.5 × 16, 2.25 × 16), 32 × 16 pixels, picture halved.
        let values = vec![0.5, 0.25, 2f32.ln(), 0.0, 0.9, 0.1, 0.8];
        let found = objects(2, &[(64 + 2 * 4 + 1, values)], &PARAMS);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 0.9 * 0.8));
        let expected = [16.0, 56.0, 80.0, 88.0];
        assert!(
            found[0]
                .corners
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-4),
            "{found:?}"
        );
    }

    #[test]
    fn decoded_output_is_taken_as_it_is() {
        let mut postprocessor = Postprocessor::new(1, (64, 64), &[8, 16, 32], true);
        let output = output(1, &[(0, vec![32.0, 32.0, 20.0, 10.0, 1.0, 0.5])]);
        let found = postprocessor.objects(&output, &PARAMS, &[true], 1.0, (64, 64));
        assert_eq!(found[0].corners, [22.0, 27.0, 42.0, 37.0]);
    }

    #[test]
    fn what_is_not_finite_is_dropped() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..7 {
                let mut values = vec![0.0, 0.0, 1.0, 1.0, 0.9, 0.9, 0.9];
                values[place] = bad;
                for nms in [Nms::ClassAgnostic, Nms::ClassAware] {
                    let found = objects(2, &[(0, values.clone())], &Params { nms, ..PARAMS });
                    let finite =
                        |object: &Object| object.score <= 1.0 && object.corners.iter().all(|c| c.is_finite());
                    assert!(found.iter().all(finite), "{bad} at {place}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn boxes_are_clipped_to_the_frame() {
        let huge = objects(1, &[(0, vec![0.0, 0.0, 10.0, 10.0, 1.0, 1.0])], &PARAMS);
        assert_eq!(huge[0].corners, [0.0, 0.0, 128.0, 128.0]);
        let outside = objects(1, &[(0, vec![-20.0, 0.0, 0.0, 0.0, 1.0, 1.0])], &PARAMS);
        assert_eq!(outside, []);
    }

    #[test]
    fn class_aware_keeps_both_classes_of_a_prediction() {
        let values = vec![0.0, 0.0, 1.0, 1.0, 1.0, 0.9, 0.8];
        let classes = |nms| -> Vec<usize> {
            let found = objects(2, &[(0, values.clone())], &Params { nms, ..PARAMS });
            found.iter().map(|object| object.class).collect()
        };
        assert_eq!(classes(Nms::ClassAgnostic), [0]);
        assert_eq!(classes(Nms::ClassAware), [0, 1]);
    }

    #[test]
    fn unwanted_classes_neither_count_nor_hide() {
        let mut postprocessor = Postprocessor::new(2, (64, 64), &[8, 16, 32], false);
        let cat = vec![0.0, 0.0, 2.0, 2.0, 1.0, 0.9, 0.0];
        let dog = vec![0.0, 0.0, 2.0, 2.0, 1.0, 0.0, 0.8];
        let output = output(2, &[(0, cat), (1, dog)]);
        let found = postprocessor.objects(&output, &PARAMS, &[false, true], 1.0, (64, 64));
        assert_eq!(found.iter().map(|object| object.class).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_most_certain_are_kept() {
        let predictions: Vec<_> = (0..5)
            .map(|i| (i, vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.5 + i as f32 / 10.0]))
            .collect();
        let found = objects(
            1,
            &predictions,
            &Params {
                max_detections: 2,
                ..PARAMS
            },
        );
        assert_eq!(
            found.iter().map(|object| object.score).collect::<Vec<_>>(),
            [0.9, 0.8]
        );
    }

    /// The definition, without shortcuts: take the best, drop what it hides, again.
    fn brute_force(mut objects: Vec<Object>, params: &Params) -> Vec<Object> {
        let mut kept = Vec::new();
        while let Some(best) = objects.iter().copied().max_by(|a, b| a.score.total_cmp(&b.score)) {
            kept.push(best);
            objects.retain(|other| {
                let same = params.nms == Nms::ClassAgnostic || other.class == best.class;
                *other != best && !(same && best.overlap(other) > params.nms_threshold)
            });
        }
        kept
    }

    /// What a 64×64 model says, decoded cell by cell, without leaving anything out early.
    fn slow_objects(
        predictions: &[[f32; 7]],
        params: &Params,
        wanted: &[bool; 2],
        ratio: f64,
    ) -> Vec<Object> {
        let cells = [8usize, 16, 32].map(|stride| {
            let side = 64 / stride;
            (0..side).flat_map(move |y| (0..side).map(move |x| (x as f32, y as f32, stride as f32)))
        });
        let mut candidates = Vec::new();
        for ((column, row, stride), [x, y, w, h, objectness, scores @ ..]) in
            cells.into_iter().flatten().zip(predictions)
        {
            let (x, y) = ((x + column) * stride, (y + row) * stride);
            let (w, h) = (w.exp() * stride, h.exp() * stride);
            let corners =
                [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0].map(|corner| corner / ratio as f32);
            let best = usize::from(scores[1] > scores[0]);
            for class in 0..2 {
                let score = objectness * scores[class];
                let counts = params.nms == Nms::ClassAware || class == best;
                if counts && wanted[class] && score > params.score_threshold {
                    candidates.push(Object {
                        class,
                        score,
                        corners,
                    });
                }
            }
        }
        let kept = brute_force(candidates, params);
        let visible = kept.into_iter().filter_map(|object| object.clipped((128, 128)));
        visible.take(params.max_detections).collect()
    }

    proptest! {
        #[test]
        fn objects_are_those_of_the_slow_way(
            values in prop::collection::vec(prop::array::uniform7(0f32..1.0), 84),
            threshold in 0.05f32..0.6, max_detections in 1usize..20, class_aware: bool, wanted: [bool; 2],
        ) {
            let nms = if class_aware { Nms::ClassAware } else { Nms::ClassAgnostic };
            let params = Params { score_threshold: threshold, nms, max_detections, ..PARAMS };
            // All scores differ, so that the order is one.
            let predictions: Vec<[f32; 7]> = values.iter().enumerate().map(|(index, [x, y, w, h, objectness, a, b])| {
                let unlike = 1.0 - index as f32 / 1000.0;
                [x * 4.0 - 2.0, y * 4.0 - 2.0, w * 4.0 - 2.0, h * 4.0 - 2.0, objectness * unlike, *a, *b]
            }).collect();
            let mut postprocessor = Postprocessor::new(2, (64, 64), &[8, 16, 32], false);
            let found = postprocessor.objects(predictions.as_flattened(), &params, &wanted, 0.5, (128, 128));
            prop_assert_eq!(found, slow_objects(&predictions, &params, &wanted, 0.5));
        }

        #[test]
        fn suppression_equals_brute_force(
            boxes in prop::collection::vec((0f32..100.0, 0f32..100.0, 1f32..50.0, 1f32..50.0, 0usize..3), 0..40),
            nms_threshold in 0f32..1.0,
            class_aware: bool,
        ) {
            let nms = if class_aware { Nms::ClassAware } else { Nms::ClassAgnostic };
            let params = Params { nms_threshold, nms, ..PARAMS };
            let mut objects: Vec<Object> = boxes.iter().enumerate().map(|(index, (x, y, w, h, class))| Object {
                class: *class,
                // All scores differ, so that the order is one.
                score: ((index * 37) % 41) as f32 / 41.0,
                corners: [*x, *y, x + w, y + h],
            }).collect();
            let expected = brute_force(objects.clone(), &params);
            let mut kept = Vec::new();
            suppress(&mut objects, &params, &mut kept);
            prop_assert_eq!(kept, expected);
        }
    }
}
