use super::*;
use proptest::prelude::*;

/// The same filter as textbooks write it: one state of eight dimensions, and matrices.
mod textbook {
    pub type Matrix = Vec<Vec<f64>>;

    pub struct Filter {
        pub mean: Matrix,
        pub covariance: Matrix,
    }

    fn diagonal(deviations: &[f64]) -> Matrix {
        let square = |row: usize, column: usize| f64::from(u8::from(row == column)) * deviations[row].powi(2);
        let row = |row| (0..deviations.len()).map(|column| square(row, column)).collect();
        (0..deviations.len()).map(row).collect()
    }

    fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
        let cell = |row: &Vec<f64>, column| {
            row.iter()
                .zip(b)
                .map(|(x, other): (_, &Vec<f64>)| x * other[column])
                .sum()
        };
        a.iter()
            .map(|row| (0..b[0].len()).map(|column| cell(row, column)).collect())
            .collect()
    }

    fn transpose(a: &Matrix) -> Matrix {
        (0..a[0].len())
            .map(|column| a.iter().map(|row| row[column]).collect())
            .collect()
    }

    fn add(a: &Matrix, b: &Matrix, sign: f64) -> Matrix {
        let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + sign * b).collect();
        a.iter().zip(b).map(row).collect()
    }

    /// By Gauss and Jordan.
    fn inverse(a: &Matrix) -> Matrix {
        let size = a.len();
        let one = diagonal(&vec![1.0; size]);
        let mut rows: Matrix = a
            .iter()
            .zip(&one)
            .map(|(a, one)| [&a[..], one].concat())
            .collect();
        for pivot in 0..size {
            let scale = rows[pivot][pivot];
            rows[pivot].iter_mut().for_each(|value| *value /= scale);
            let base = rows[pivot].clone();
            for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != pivot) {
                let factor = row[pivot];
                assert!(index != pivot);
                row.iter_mut()
                    .zip(&base)
                    .for_each(|(value, base)| *value -= factor * base);
            }
        }
        rows.iter().map(|row| row[size..].to_vec()).collect()
    }

    fn observe() -> Matrix {
        (0..4)
            .map(|row| (0..8).map(|column| f64::from(u8::from(row == column))).collect())
            .collect()
    }

    impl Filter {
        pub fn new(xyah: [f64; 4]) -> Self {
            let (position, velocity) = (2.0 / 20.0 * xyah[3], 10.0 / 160.0 * xyah[3]);
            let mut mean: Matrix = xyah.iter().map(|value| vec![*value]).collect();
            mean.extend(vec![vec![0.0]; 4]);
            Self {
                mean,
                covariance: diagonal(&[
                    position, position, 1e-2, position, velocity, velocity, 1e-5, velocity,
                ]),
            }
        }

        pub fn predict(&mut self) {
            let (position, velocity) = (self.mean[3][0] / 20.0, self.mean[3][0] / 160.0);
            let mut model = diagonal(&[1.0; 8]);
            (0..4).for_each(|row| model[row][row + 4] = 1.0);
            self.mean = multiply(&model, &self.mean);
            let moved = multiply(&multiply(&model, &self.covariance), &transpose(&model));
            let noise = diagonal(&[
                position, position, 1e-2, position, velocity, velocity, 1e-5, velocity,
            ]);
            self.covariance = add(&moved, &noise, 1.0);
        }

        pub fn correct(&mut self, xyah: [f64; 4]) {
            let position = self.mean[3][0] / 20.0;
            let (observe, noise) = (observe(), diagonal(&[position, position, 1e-1, position]));
            let seen = multiply(&multiply(&observe, &self.covariance), &transpose(&observe));
            let total = add(&seen, &noise, 1.0);
            let gain = multiply(
                &multiply(&self.covariance, &transpose(&observe)),
                &inverse(&total),
            );
            let measured: Matrix = xyah.iter().map(|value| vec![*value]).collect();
            let error = add(&measured, &multiply(&observe, &self.mean), -1.0);
            self.mean = add(&self.mean, &multiply(&gain, &error), 1.0);
            let known = multiply(&multiply(&gain, &total), &transpose(&gain));
            self.covariance = add(&self.covariance, &known, -1.0);
        }
    }
}

fn place() -> impl Strategy<Value = Place> {
    [0.0..1.0, 0.0..1.0, 0.05..1.0, 0.05..1.0].prop_map(|bbox| Place::from_bbox(bbox, 16.0 / 9.0).unwrap())
}

proptest! {
    #[test]
    fn four_small_filters_are_the_large_one(
        first in place(), rest in prop::collection::vec(prop::option::of(place()), 1..12),
    ) {
        let (mut motion, mut textbook) = (Motion::new(first), textbook::Filter::new(first.to_xyah()));
        for seen in rest {
            motion.predict();
            textbook.predict();
            if let Some(place) = seen {
                motion.correct(place);
                textbook.correct(place.to_xyah());
            }
            for (index, coordinate) in motion.0.iter().enumerate() {
                prop_assert!((coordinate.value - textbook.mean[index][0]).abs() < 1e-6);
                prop_assert!((coordinate.velocity - textbook.mean[index + 4][0]).abs() < 1e-6);
                prop_assert!((coordinate.covariance - textbook.covariance[index][index + 4]).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn a_moving_box_is_foreseen() {
    let at = |frame: u32| Place::from_bbox([0.1 + 0.02 * f64::from(frame), 0.3, 0.2, 0.3], 1.0).unwrap();
    let mut motion = Motion::new(at(0));
    for frame in 1..20 {
        motion.predict();
        motion.correct(at(frame));
    }
    motion.predict();
    motion.predict();
    let overlap = motion.place().iou(&at(21));
    assert!(overlap > 0.9, "{overlap}");
}
