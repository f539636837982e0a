//! Integer tensors back to numbers and classes.

use super::card::{Decision, OutputCard};
use crate::execute::Batch;

/// What one output says about one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `q · scale` per element.
    pub values: Vec<f64>,
    /// The decided class; `None` where the output holds values only.
    pub class: Option<usize>,
    /// The class's name, where the card has names.
    pub label: Option<String>,
}

impl OutputCard {
    /// Reads a batch of this output, one answer per record. Classes are decided on the integers.
    #[must_use]
    pub fn decode(&self, batch: &Batch) -> Vec<Answer> {
        let width = batch.shape().count();
        let data = batch.data().view();
        (0..batch.records())
            .map(|record| {
                let elements: Vec<i32> = (0..width).map(|index| data.at(record * width + index)).collect();
                self.answer(&elements)
            })
            .collect()
    }

    fn answer(&self, elements: &[i32]) -> Answer {
        let scale = |index: usize| if self.scales.len() == 1 { self.scales[0] } else { self.scales[index] };
        let values: Vec<f64> =
            elements.iter().enumerate().map(|(index, &q)| f64::from(q) * scale(index)).collect();
        let class = match self.decision {
            Decision::None => None,
            Decision::Largest => largest(elements),
            Decision::Index => elements.first().and_then(|&index| usize::try_from(index).ok()),
            Decision::Threshold { above } => values.first().map(|&value| usize::from(value > above)),
        };
        let label = class.and_then(|class| self.labels.get(class).cloned());
        Answer { values, class, label }
    }
}

/// The position of the first largest element.
fn largest(elements: &[i32]) -> Option<usize> {
    let highest = elements.iter().max()?;
    elements.iter().position(|element| element == highest)
}
