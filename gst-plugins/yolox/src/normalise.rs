//! The input of models that YOLOX up to 0.1.0 exported (`ValTransform` with `legacy` in `yolox/data/data_augment.py`):
//! red, green, blue instead of blue, green, red; scaled to 0..1, less the mean, by the deviation of ImageNet.

/// Of red, green and blue.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Turns planes of blue, green and red, 0 to 255, into what legacy models take.
pub fn legacy(bgr: &[f32], rgb: &mut [f32]) {
    let plane = bgr.len() / 3;
    let planes = bgr.chunks_exact(plane).rev().zip(rgb.chunks_exact_mut(plane));
    for ((from, to), (mean, deviation)) in planes.zip(MEAN.into_iter().zip(DEVIATION)) {
        for (from, to) in from.iter().zip(to) {
            *to = (from / 255.0 - mean) / deviation;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_yolox_did_it() {
        // blue 0 and 255, green 51 and 102, red 114 (the padding) and 1
        let bgr = [0.0, 255.0, 51.0, 102.0, 114.0, 1.0];
        let mut rgb = [0.0; 6];
        legacy(&bgr, &mut rgb);
        // From numpy: (x / 255 - mean) / std
        let expected = [-0.165_682, -2.100_779, -1.142_857, -0.25, -1.804_444, 2.64];
        for (value, expected) in rgb.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{rgb:?}");
        }
    }
}
