//! The motion of a box: ByteTrack's Kalman filter of constant velocity, one step a frame.
//!
//! The state is that of SORT's successors: centre x and y, aspect ratio (width / height) and height, each with its
//! velocity. Noise is in proportion to the box's height. Start, model and noise couple no two of the four
//! coordinates, so the filter of eight dimensions is four filters of two.

use crate::place::Place;

/// Standard deviation of a position, in heights of the box.
const POSITION: f64 = 1.0 / 20.0;
/// Standard deviation of a velocity, in heights of the box per frame.
const VELOCITY: f64 = 1.0 / 160.0;
/// Standard deviations of the aspect ratio, which has no unit: of its change, of a measurement, of its velocity.
const ASPECT: f64 = 1e-2;
const ASPECT_MEASURED: f64 = 1e-1;
const ASPECT_VELOCITY: f64 = 1e-5;

const WHICH_ASPECT: usize = 2;
const WHICH_HEIGHT: usize = 3;

/// A coordinate, its velocity, and the covariance of the two.
#[derive(Debug, Clone, Copy)]
struct Coordinate {
    value: f64,
    velocity: f64,
    variance: f64,
    covariance: f64,
    velocity_variance: f64,
}

impl Coordinate {
    fn new(value: f64, deviation: f64, velocity_deviation: f64) -> Self {
        Self {
            value,
            velocity: 0.0,
            variance: deviation.powi(2),
            covariance: 0.0,
            velocity_variance: velocity_deviation.powi(2),
        }
    }

    fn predict(&mut self, deviation: f64, velocity_deviation: f64) {
        self.value += self.velocity;
        self.variance += 2.0 * self.covariance + self.velocity_variance + deviation.powi(2);
        self.covariance += self.velocity_variance;
        self.velocity_variance += velocity_deviation.powi(2);
    }

    fn correct(&mut self, measured: f64, deviation: f64) {
        let total = self.variance + deviation.powi(2);
        let (gain, velocity_gain) = (self.variance / total, self.covariance / total);
        let error = measured - self.value;
        self.value += gain * error;
        self.velocity += velocity_gain * error;
        self.velocity_variance -= velocity_gain * self.covariance;
        self.covariance -= gain * self.covariance;
        self.variance -= gain * self.variance;
    }
}

/// Where a box is, and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Motion([Coordinate; 4]);

impl Motion {
    /// A box at rest.
    pub fn new(place: Place) -> Self {
        let xyah = place.to_xyah();
        let deviations = deviations(xyah[WHICH_HEIGHT], ASPECT);
        Self(std::array::from_fn(|index| {
            let (position, velocity) = deviations[index];
            match index {
                WHICH_ASPECT => Coordinate::new(xyah[index], position, velocity),
                _ => Coordinate::new(xyah[index], 2.0 * position, 10.0 * velocity),
            }
        }))
    }

    /// One frame on.
    pub fn predict(&mut self) {
        let deviations = deviations(self.0[WHICH_HEIGHT].value, ASPECT);
        for (coordinate, (position, velocity)) in self.0.iter_mut().zip(deviations) {
            coordinate.predict(position, velocity);
        }
    }

    /// The box was seen.
    pub fn correct(&mut self, place: Place) {
        let deviations = deviations(self.0[WHICH_HEIGHT].value, ASPECT_MEASURED);
        for ((coordinate, measured), (position, _)) in self.0.iter_mut().zip(place.to_xyah()).zip(deviations)
        {
            coordinate.correct(measured, position);
        }
    }

    /// An unseen box grows no more.
    pub fn stop_growth(&mut self) {
        self.0[WHICH_HEIGHT].velocity = 0.0;
    }

    pub fn place(&self) -> Place {
        Place::from_xyah(self.xyah())
    }

    /// The box `seen` when the motion was as `then`, moved along since.
    ///
    /// Nearer to what a detector would say than [`Self::place`]: the filter hardly believes a change of the aspect
    /// ratio, and smooths the rest.
    pub fn moved(&self, seen: Place, then: &Self) -> Place {
        let (seen, then, now) = (seen.to_xyah(), then.xyah(), self.xyah());
        Place::from_xyah(std::array::from_fn(|index| {
            seen[index] + now[index] - then[index]
        }))
    }

    fn xyah(&self) -> [f64; 4] {
        self.0.map(|coordinate| coordinate.value)
    }
}

/// Standard deviations of each coordinate and of its velocity.
fn deviations(height: f64, aspect: f64) -> [(f64, f64); 4] {
    let length = (POSITION * height, VELOCITY * height);
    [length, length, (aspect, ASPECT_VELOCITY), length]
}

#[cfg(test)]
mod tests;
