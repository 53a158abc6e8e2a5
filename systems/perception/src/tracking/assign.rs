//! Which box belongs to which track: the assignment with the greatest overlap in all.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Steps between no likeness and all of it: likeness is compared in whole numbers, whose sums are exact.
const STEPS: f64 = 1e6;

/// Pairs of `rows` and `columns`, each in at most one pair, such that the sum of what their likeness (0 to 1) exceeds
/// `least` by is the greatest; in order of rows. A likeness below `least`, or none, is no pair.
pub(super) fn best_pairs(
    rows: usize,
    columns: usize,
    least: f64,
    likeness: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Vec::new();
    }
    let worth = |row: usize, column: usize| match likeness(row, column) {
        Some(like) if like >= least && like > 0.0 => ((like - least) * STEPS) as i64 + 1,
        _ => 0,
    };
    // The library wants no more rows than columns.
    let lying = rows <= columns;
    let (short, long) = if lying { (rows, columns) } else { (columns, rows) };
    let turned = |a: usize, b: usize| if lying { (a, b) } else { (b, a) };
    let weights = Matrix::from_fn(short, long, |(a, b)| {
        let (row, column) = turned(a, b);
        worth(row, column)
    });
    let (_, chosen) = kuhn_munkres(&weights);
    let mut pairs: Vec<_> = chosen
        .into_iter()
        .enumerate()
        .map(|(a, b)| turned(a, b))
        .filter(|&(row, column)| worth(row, column) > 0)
        .collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(table: &[&[f64]], least: f64) -> Vec<(usize, usize)> {
        best_pairs(table.len(), table[0].len(), least, |row, column| Some(table[row][column]))
    }

    #[test]
    fn all_together_count_not_the_first() {
        assert_eq!(pairs(&[&[0.8, 0.7], &[0.7, 0.1]], 0.05), [(0, 1), (1, 0)]);
    }

    #[test]
    fn it_stands_upright_too() {
        assert_eq!(pairs(&[&[0.2], &[0.9], &[0.3]], 0.1), [(1, 0)]);
        assert_eq!(pairs(&[&[0.2, 0.9, 0.3]], 0.1), [(0, 1)]);
    }

    #[test]
    fn what_is_too_unlike_is_no_pair() {
        assert_eq!(pairs(&[&[0.2, 0.9], &[0.25, 0.0]], 0.3), [(0, 1)]);
        assert_eq!(pairs(&[&[0.0, f64::NAN]], 0.0), []);
        assert_eq!(best_pairs(0, 3, 0.1, |_, _| Some(1.0)), []);
        assert_eq!(best_pairs(2, 2, 0.1, |_, _| None), []);
    }
}
