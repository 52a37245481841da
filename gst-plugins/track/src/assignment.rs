//! Who belongs to whom: pairs with the largest sum of gains (the Hungarian method).

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Gains are compared as whole numbers of this fraction of 1.
const RESOLUTION: f64 = 1e-9;

/// Pairs rows with columns, each at most once, so that the sum of `gain(row, column)` is the largest. A pair without
/// a gain above 0 is not made.
pub fn assign(rows: usize, columns: usize, gain: impl Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Vec::new();
    }
    // The method wants no more rows than columns. The cast brings NaN to 0 and stays in range.
    let weight = |gain: f64| (gain.clamp(0.0, 1.0) / RESOLUTION) as i64;
    let flipped = rows > columns;
    let weights = if flipped {
        Matrix::from_fn(columns, rows, |(column, row)| weight(gain(row, column)))
    } else {
        Matrix::from_fn(rows, columns, |(row, column)| weight(gain(row, column)))
    };
    let (_, partners) = kuhn_munkres(&weights);
    let pairs = partners.into_iter().enumerate();
    let made = pairs.filter(|&pair| weights[pair] > 0);
    made.map(|(a, b)| if flipped { (b, a) } else { (a, b) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The best sum by trying everything.
    fn best(gains: &[Vec<f64>], taken: &mut Vec<bool>) -> f64 {
        let Some((row, rest)) = gains.split_first() else {
            return 0.0;
        };
        let mut most = best(rest, taken);
        for column in 0..taken.len() {
            if !taken[column] && row[column] > 0.0 {
                taken[column] = true;
                most = most.max(row[column] + best(rest, taken));
                taken[column] = false;
            }
        }
        most
    }

    fn gains() -> impl Strategy<Value = Vec<Vec<f64>>> {
        (0_usize..6, 0_usize..6).prop_flat_map(|(rows, columns)| {
            prop::collection::vec(prop::collection::vec(-0.5..1.0, columns), rows)
        })
    }

    proptest! {
        #[test]
        fn no_other_pairs_gain_more(gains in gains()) {
            let columns = gains.first().map_or(0, Vec::len);
            let pairs = assign(gains.len(), columns, |row, column| gains[row][column]);
            let sum: f64 = pairs.iter().map(|&(row, column)| gains[row][column]).sum();
            prop_assert!((sum - best(&gains, &mut vec![false; columns])).abs() < 1e-6);
            prop_assert!(pairs.iter().all(|&(row, column)| gains[row][column] > 0.0));
            for index in 0..gains.len().max(columns) {
                prop_assert!(pairs.iter().filter(|pair| pair.0 == index).count() <= 1);
                prop_assert!(pairs.iter().filter(|pair| pair.1 == index).count() <= 1);
            }
        }
    }

    #[test]
    fn what_is_no_number_gains_nothing() {
        assert!(assign(2, 3, |_, _| f64::NAN).is_empty());
        assert_eq!(assign(1, 2, |_, column| [0.5, f64::INFINITY][column]), [(0, 1)]);
    }
}
