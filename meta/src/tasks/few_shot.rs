//! N-way K-shot classification: what is asked, whether it can be had, and how it is laid out.

use super::random::Random;
use super::{DataError, Episode, EpisodeShape, TargetKind};

/// The most classes a task may have, and the most drawings of one class: their numbers are chosen
/// on the stack, so that sampling allocates nothing.
const MOST: usize = 2048;

/// An N-way K-shot task: `ways` classes, each with `shots` support rows and `queries` query rows.
///
/// Rows are in class order: support row `c · shots + s` and query row `c · queries + q` have label c.
/// Which class of the data set gets which label is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewShot {
    /// Classes in a task (N).
    pub ways: usize,
    /// Support rows a class (K).
    pub shots: usize,
    /// Query rows a class.
    pub queries: usize,
}

impl FewShot {
    /// The rows, with `height` × `width` images of one channel.
    pub(super) fn shape(&self, height: usize, width: usize) -> EpisodeShape {
        EpisodeShape {
            support: self.ways * self.shots,
            query: self.ways * self.queries,
            x: vec![height, width, 1],
            target: TargetKind::Classes(self.ways),
        }
    }

    /// Refuses what no data set could give.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let FewShot { ways, shots, queries } = *self;
        let request = |what: String| Err(DataError::Request(what));
        if ways < 2 {
            return request(format!("{ways} ways asked: a classifier needs at least 2"));
        }
        if shots == 0 || queries == 0 {
            return request(format!("{shots} shots and {queries} queries asked: each must be at least 1"));
        }
        if ways > MOST || shots > MOST || queries > MOST || shots + queries > MOST {
            return request(format!(
                "{ways} ways, {shots} shots and {queries} queries asked: ways, and shots + queries, \
                 are at most {MOST}"
            ));
        }
        Ok(())
    }

    /// Chooses the classes out of `classes`, labels the rows, and has `draw` write them:
    /// `draw(class, rng, support rows, query rows)`, where rows are `row_len` numbers each.
    pub(super) fn fill(
        &self,
        mut rng: Random,
        classes: u32,
        row_len: usize,
        out: &mut Episode,
        mut draw: impl FnMut(u32, &mut Random, &mut [f32], &mut [f32]),
    ) {
        let mut chosen = [0; MOST];
        let chosen = &mut chosen[..self.ways];
        rng.distinct(classes, chosen);

        let (support, query) = (&mut out.support, &mut out.query);
        support.x.resize(self.ways * self.shots * row_len, 0.0);
        query.x.resize(self.ways * self.queries * row_len, 0.0);
        for (batch, rows) in [(&mut *support, self.shots), (&mut *query, self.queries)] {
            let labels = batch.y.classes_mut();
            labels.clear();
            labels.extend((0..self.ways * rows).map(|row| (row / rows) as u32));
        }
        let support = support.x.chunks_exact_mut(self.shots * row_len);
        let query = query.x.chunks_exact_mut(self.queries * row_len);
        for ((class, support), query) in chosen.iter().zip(support).zip(query) {
            draw(*class, &mut rng, support, query);
        }
    }

    /// Chooses `shots + queries` distinct drawings out of `drawings` and hands each to `copy` with
    /// its place: the support rows first.
    pub(super) fn pick_drawings(
        &self,
        rng: &mut Random,
        drawings: u32,
        row_len: usize,
        support: &mut [f32],
        query: &mut [f32],
        mut copy: impl FnMut(u32, &mut [f32]),
    ) {
        let mut chosen = [0; MOST];
        let chosen = &mut chosen[..self.shots + self.queries];
        rng.distinct(drawings, chosen);
        let rows = support.chunks_exact_mut(row_len).chain(query.chunks_exact_mut(row_len));
        for (drawing, row) in chosen.iter().zip(rows) {
            copy(*drawing, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_requests_are_refused_in_one_line() {
        for (ways, shots, queries) in
            [(0, 1, 1), (1, 1, 1), (5, 0, 1), (5, 1, 0), (5000, 1, 1), (5, usize::MAX, usize::MAX)]
        {
            let asked = FewShot { ways, shots, queries };
            let line = asked.check().unwrap_err().to_string();
            assert!(!line.contains('\n') && line.contains("asked"), "{line}");
        }
    }
}
