//! Does a score put what was watched above what was only shown? AUC over all, GAUC per user.

use serde::Serialize;

/// How well marks separate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separation {
    /// Impressions judged.
    pub impressions: usize,
    /// The chance that a random right impression is marked above a random wrong one; ties half.
    pub auc: f64,
    /// The same within each user's impressions, weighted by how many there are, over users with
    /// both kinds.
    pub gauc: f64,
}

/// Judges marks; each row is (user, right, mark), rows of one user side by side.
///
/// `None` where there is nothing to separate.
#[must_use]
pub fn separation(rows: &[(u32, bool, f32)]) -> Option<Separation> {
    let all: Vec<(bool, f32)> = rows.iter().map(|row| (row.1, row.2)).collect();
    let auc = auc(all)?;
    let (mut sum, mut weight) = (0.0, 0.0);
    for user in rows.chunk_by(|a, b| a.0 == b.0) {
        let own: Vec<(bool, f32)> = user.iter().map(|row| (row.1, row.2)).collect();
        if let Some(own) = self::auc(own) {
            sum += own * user.len() as f64;
            weight += user.len() as f64;
        }
    }
    Some(Separation {
        impressions: rows.len(),
        auc,
        gauc: if weight > 0.0 { sum / weight } else { 0.5 },
    })
}

/// By ranks, ties sharing theirs (Mann and Whitney); `None` without both kinds.
#[must_use]
pub fn auc(mut rows: Vec<(bool, f32)>) -> Option<f64> {
    rows.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let right = rows.iter().filter(|row| row.0).count() as f64;
    let wrong = rows.len() as f64 - right;
    if right == 0.0 || wrong == 0.0 {
        return None;
    }
    let (mut before, mut ranks) = (0.0, 0.0);
    for tied in rows.chunk_by(|a, b| a.1.total_cmp(&b.1).is_eq()) {
        let own = tied.iter().filter(|row| row.0).count() as f64;
        ranks += own * (before + (tied.len() as f64 + 1.0) / 2.0);
        before += tied.len() as f64;
    }
    Some((ranks - right * (right + 1.0) / 2.0) / (right * wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labelled scores, and the AUC they have.
    type Case = (&'static [(bool, f32)], Option<f64>);

    #[test]
    fn separation_is_what_a_hand_computes() {
        let cases: [Case; 5] = [
            (&[(true, 2.0), (false, 1.0)], Some(1.0)),
            (&[(true, 1.0), (false, 2.0)], Some(0.0)),
            (&[(true, 1.0), (false, 1.0)], Some(0.5)),
            (
                &[(true, 3.0), (false, 2.0), (true, 1.0), (false, 0.0)],
                Some(0.75),
            ),
            (&[(true, 1.0)], None),
        ];
        for (rows, expected) in cases {
            assert_eq!(auc(rows.to_vec()), expected, "{rows:?}");
        }
        // User 1 is all wrong, user 2 all right, user 3 says nothing.
        let rows = [
            (1, true, 0.1),
            (1, false, 0.2),
            (2, true, 0.9),
            (2, false, 0.3),
            (3, true, 0.5),
        ];
        let found = separation(&rows).unwrap();
        assert!((found.gauc - 0.5).abs() < 1e-9, "{found:?}");
        assert!((found.auc - 4.0 / 6.0).abs() < 1e-9, "{found:?}");
    }
}
