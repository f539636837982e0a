//! Rows of numbers to integer tensors: the only floating point on the way in, done by the owner of the data before
//! anything is hashed.

use super::card::InputCard;
use crate::execute::{Batch, RECORDS_MAX};
use crate::tensor::{Data, ELEMENTS_MAX};

/// Why rows cannot be encoded. Names columns of the public card and rows by number, never content.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum InputError {
    /// A row has the wrong number of elements.
    #[error("row {row} has {found} values where the model takes {expected}")]
    Width {
        /// The row, counted from 1.
        row: usize,
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {column} is not a finite number")]
    NotFinite {
        /// The row, counted from 1.
        row: usize,
        /// The column's name, or its number counted from 1.
        column: String,
    },
    /// There are no rows.
    #[error("there are no rows")]
    Empty,
    /// There are more rows than one job may have.
    #[error("{found} rows where one job may have {limit}")]
    TooMany {
        /// Rows given.
        found: usize,
        /// Rows allowed.
        limit: usize,
    },
    /// The header lacks columns of the model.
    #[error("the data lacks {} of the model's columns, first {first}", count)]
    MissingColumns {
        /// How many are missing.
        count: usize,
        /// The first that is missing.
        first: String,
    },
    /// The header names a column of the model more than once.
    #[error("the data has column {column} more than once")]
    RepeatedColumn {
        /// The column.
        column: String,
    },
}

impl InputError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Width { .. } => "E-DAT-51",
            Self::NotFinite { .. } => "E-DAT-52",
            Self::Empty => "E-DAT-53",
            Self::TooMany { .. } => "E-RES-35",
            Self::MissingColumns { .. } => "E-DAT-54",
            Self::RepeatedColumn { .. } => "E-DAT-55",
        }
    }
}

impl InputCard {
    /// Encodes rows, one record each: `clamp(round_half_even((x − offset) / scale))` per element, in 64-bit floats
    /// (IEEE 754, so every machine encodes alike). Values beyond the calibrated range saturate.
    ///
    /// # Errors
    /// [`InputError`] naming the first row that does not fit.
    pub fn encode<R: AsRef<[f64]>>(&self, rows: &[R]) -> Result<Batch, InputError> {
        let width = self.value_type.shape.count();
        let limit = RECORDS_MAX.min(ELEMENTS_MAX / width.max(1));
        if rows.is_empty() {
            return Err(InputError::Empty);
        }
        if rows.len() > limit {
            return Err(InputError::TooMany { found: rows.len(), limit });
        }
        let mut elements = Vec::with_capacity(rows.len() * width);
        for (index, row) in rows.iter().enumerate() {
            self.encode_row(index + 1, row.as_ref(), &mut elements)?;
        }
        let data =
            Data::from_elements(self.value_type.dtype, &elements).expect("clamped to the element type");
        Ok(Batch::new(rows.len(), self.value_type.shape.clone(), data).expect("within the limits"))
    }

    /// For each element of the model, in order, the position of its column in a header.
    ///
    /// # Errors
    /// [`InputError`] when a column is missing or repeated.
    pub fn locate_columns<S: AsRef<str>>(&self, header: &[S]) -> Result<Vec<usize>, InputError> {
        let mut positions = std::collections::HashMap::new();
        for (position, name) in header.iter().enumerate() {
            positions.entry(name.as_ref()).or_insert_with(Vec::new).push(position);
        }
        let mut missing = self.columns.iter().filter(|column| !positions.contains_key(column.as_str()));
        if let Some(first) = missing.next() {
            return Err(InputError::MissingColumns { count: 1 + missing.count(), first: first.clone() });
        }
        self.columns
            .iter()
            .map(|column| match positions[column.as_str()].as_slice() {
                [position] => Ok(*position),
                _ => Err(InputError::RepeatedColumn { column: column.clone() }),
            })
            .collect()
    }

    fn encode_row(&self, row: usize, values: &[f64], into: &mut Vec<i32>) -> Result<(), InputError> {
        let expected = self.value_type.shape.count();
        if values.len() != expected {
            return Err(InputError::Width { row, expected, found: values.len() });
        }
        for (index, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                return Err(InputError::NotFinite { row, column: self.column_name(index) });
            }
            into.push(self.encode_element(index, value));
        }
        Ok(())
    }

    fn encode_element(&self, index: usize, value: f64) -> i32 {
        let of = |list: &[f64]| if list.len() == 1 { list[0] } else { list[index] };
        let (low, high) = self.value_type.dtype.bounds();
        let steps = ((value - of(&self.offsets)) / of(&self.scales)).round_ties_even();
        // A float-to-integer cast saturates, and infinities that the division may yield with it.
        (steps.clamp(f64::from(low), f64::from(high))) as i32
    }

    fn column_name(&self, index: usize) -> String {
        self.columns.get(index).cloned().unwrap_or_else(|| (index + 1).to_string())
    }
}
