//! What calibration sees: for every value of the float graph how large its elements are, and a sample of them.

use super::fixed::integer;
use crate::float::{Tensor, ValueId};
use crate::tensor::DType;

/// Elements kept of each value; beyond it every n-th is taken, so that all records count.
const SAMPLES_MAX: usize = 1 << 14;

/// The elements of one value over all calibration records.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Least element.
    pub low: f64,
    /// Greatest element.
    pub high: f64,
    samples: Vec<f32>,
    seen: usize,
    stride: usize,
}

/// How the step of a value is chosen from its statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clipping {
    /// The largest element fills the type.
    Largest,
    /// A few large elements may saturate where that lessens the mean square error.
    LeastSquares,
}

impl Statistics {
    /// Takes in one tensor.
    pub fn observe(&mut self, elements: &[f32]) {
        self.stride = self.stride.max(1);
        for &element in elements {
            let wide = f64::from(element);
            if self.seen == 0 {
                (self.low, self.high) = (wide, wide);
            }
            (self.low, self.high) = (self.low.min(wide), self.high.max(wide));
            if self.seen.is_multiple_of(self.stride) {
                self.samples.push(element);
            }
            self.seen += 1;
            if self.samples.len() > SAMPLES_MAX {
                self.thin_out();
            }
        }
    }

    /// Keeps every second sample.
    fn thin_out(&mut self) {
        let mut keep = false;
        self.samples.retain(|_| {
            keep = !keep;
            keep
        });
        self.stride *= 2;
    }

    /// Largest magnitude.
    #[must_use]
    pub fn magnitude(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// Whether everything seen is a finite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && !self.samples.iter().any(|x| x.is_nan())
    }

    /// The sampled elements.
    pub fn samples(&self) -> impl Iterator<Item = f64> + '_ {
        self.samples.iter().map(|&x| x.into())
    }

    /// The magnitude that is to fill `dtype`, for elements between `low` and `high`.
    #[must_use]
    pub fn filling(&self, clipping: Clipping, dtype: DType, low: f64, high: f64) -> f64 {
        let magnitude = self.low.clamp(low, high).abs().max(self.high.clamp(low, high).abs());
        match clipping {
            Clipping::Largest => magnitude,
            // Wider types have room for the largest element and for all others.
            Clipping::LeastSquares if dtype != DType::I8 => magnitude,
            Clipping::LeastSquares => self.least_squares(magnitude, dtype, low, high),
        }
    }

    fn least_squares(&self, magnitude: f64, dtype: DType, low: f64, high: f64) -> f64 {
        let error = |filling: f64| {
            let step = filling / f64::from(dtype.bounds().1);
            let square = |x: f64| (f64::from(integer(x, step, dtype.bounds())) * step - x).powi(2);
            self.samples().map(|x| square(x.clamp(low, high))).sum::<f64>()
        };
        let candidates = (4..=20).map(|twentieth| magnitude * f64::from(twentieth) / 20.0);
        let ranked = candidates.map(|filling| (error(filling), filling));
        ranked.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(magnitude, |(_, filling)| filling)
    }
}

/// Statistics of all values of a graph, by [`ValueId`], and of what some operations compute inside.
#[derive(Clone, Debug)]
pub struct Observed {
    values: Vec<Statistics>,
    /// For each operation: deviations from the mean, and reciprocal deviations, of layer normalisations.
    pub inner: Vec<[Statistics; 2]>,
}

impl Observed {
    /// Nothing seen of `values` values and `operations` operations.
    #[must_use]
    pub fn new(values: usize, operations: usize) -> Self {
        Self { values: vec![Statistics::default(); values], inner: vec![Default::default(); operations] }
    }

    /// Takes in a value.
    pub fn observe(&mut self, id: ValueId, tensor: &Tensor) {
        self.values[id.0 as usize].observe(tensor.elements());
    }

    /// Statistics of a value.
    #[must_use]
    pub fn of(&self, id: ValueId) -> &Statistics {
        &self.values[id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_among_thousands_is_clipped_only_by_least_squares() {
        let mut statistics = Statistics::default();
        let ordinary: Vec<f32> = (0..10_000).map(|i| ((i % 200) as f32 - 100.0) / 100.0).collect();
        statistics.observe(&ordinary);
        statistics.observe(&[10.0]);
        let filling = |clipping, dtype| statistics.filling(clipping, dtype, f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(filling(Clipping::Largest, DType::I8), 10.0);
        assert_eq!(filling(Clipping::LeastSquares, DType::I16), 10.0);
        assert!(filling(Clipping::LeastSquares, DType::I8) < 10.0);
        assert_eq!(statistics.filling(Clipping::Largest, DType::I8, 0.0, 6.0), 6.0);
    }

    #[test]
    fn samples_are_bounded_and_spread_over_everything_seen() {
        let mut statistics = Statistics::default();
        for record in 0..100 {
            statistics.observe(&vec![record as f32; 1000]);
        }
        let samples: Vec<f64> = statistics.samples().collect();
        assert!(samples.len() <= SAMPLES_MAX);
        assert!(samples.contains(&0.0) && samples.contains(&99.0));
        assert_eq!((statistics.low, statistics.high), (0.0, 99.0));
    }
}
