//! Dense integer tensors with a shape that cannot be wrong.

use std::borrow::Cow;

use minicbor::{Decode, Encode};

use crate::integer::ValueType;

/// Most axes a shape may have.
pub const RANK_MAX: usize = 8;
/// Most elements a tensor may have: 2^28, so that no byte count in this crate can overflow.
pub const ELEMENTS_MAX: usize = 1 << 28;

/// Element types of the integer graph. Everything is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum DType {
    /// 8 bits: activations and weights.
    #[n(0)]
    I8,
    /// 16 bits: wide activations (model inputs, probabilities).
    #[n(1)]
    I16,
    /// 32 bits: accumulators, biases, scores.
    #[n(2)]
    I32,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
        }
    }

    /// The smallest and the largest value.
    #[must_use]
    pub const fn bounds(self) -> (i32, i32) {
        match self {
            Self::I8 => (i8::MIN as i32, i8::MAX as i32),
            Self::I16 => (i16::MIN as i32, i16::MAX as i32),
            Self::I32 => (i32::MIN, i32::MAX),
        }
    }
}

/// Axis lengths, outermost first; row-major. At most [`RANK_MAX`] axes and [`ELEMENTS_MAX`] elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

/// A shape or a tensor that does not fit the limits or itself.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    /// More than [`RANK_MAX`] axes.
    #[error("{0} axes where at most {RANK_MAX} are allowed")]
    Rank(usize),
    /// More than [`ELEMENTS_MAX`] elements.
    #[error("more than {ELEMENTS_MAX} elements")]
    Elements,
    /// The number of elements is not the product of the axes.
    #[error("{found} elements where the shape has {expected}")]
    Count {
        /// Product of the axes.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// An element does not fit the element type.
    #[error("an element does not fit {0:?}")]
    Element(DType),
}

impl Shape {
    /// A shape within the limits.
    ///
    /// # Errors
    /// [`ShapeError`] when the limits are exceeded.
    pub fn new(axes: &[usize]) -> Result<Self, ShapeError> {
        if axes.len() > RANK_MAX {
            return Err(ShapeError::Rank(axes.len()));
        }
        let count = axes.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        match count {
            Some(count) if count <= ELEMENTS_MAX && axes.iter().all(|&axis| axis <= ELEMENTS_MAX) => {
                Ok(Self(axes.to_vec()))
            }
            _ => Err(ShapeError::Elements),
        }
    }

    /// Axis lengths, outermost first.
    #[must_use]
    pub fn axes(&self) -> &[usize] {
        &self.0
    }

    /// Number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().product()
    }
}

impl<C> Encode<C> for Shape {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for &axis in &self.0 {
            e.u64(axis as u64)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Shape {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let rank = d.array()?.ok_or_else(|| minicbor::decode::Error::message("indefinite shape"))?;
        if rank > RANK_MAX as u64 {
            return Err(minicbor::decode::Error::message("shape has too many axes"));
        }
        let mut axes = Vec::with_capacity(RANK_MAX);
        for _ in 0..rank {
            axes.push(
                usize::try_from(d.u64()?).map_err(|_| minicbor::decode::Error::message("axis too long"))?,
            );
        }
        Self::new(&axes).map_err(|_| minicbor::decode::Error::message("shape exceeds the limits"))
    }
}

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// 8-bit elements.
    I8(Vec<i8>),
    /// 16-bit elements.
    I16(Vec<i16>),
    /// 32-bit elements.
    I32(Vec<i32>),
}

/// Elements with a shape; the counts agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// Joins elements and shape.
    ///
    /// # Errors
    /// [`ShapeError::Count`] when they do not fit.
    pub fn new(shape: Shape, data: Data) -> Result<Self, ShapeError> {
        let found = data.len();
        if found != shape.count() {
            return Err(ShapeError::Count { expected: shape.count(), found });
        }
        Ok(Self { shape, data })
    }

    /// Axis lengths.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The element at a row-major position, widened.
    ///
    /// # Panics
    /// When `position` is not below the number of elements.
    #[must_use]
    pub fn at(&self, position: usize) -> i32 {
        self.data.view().at(position)
    }

    /// Little-endian bytes of the elements in row-major order: what is hashed and sent.
    #[must_use]
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.data.view().le_bytes().into_owned()
    }

    /// Element type and shape.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        ValueType { dtype: self.dtype(), shape: self.shape.clone() }
    }

    /// A tensor of the given type from row-major elements.
    ///
    /// # Errors
    /// [`ShapeError`] when their number is not the shape's or one lies outside the element type.
    pub fn from_elements(value_type: &ValueType, elements: &[i32]) -> Result<Self, ShapeError> {
        Self::new(value_type.shape.clone(), Data::from_elements(value_type.dtype, elements)?)
    }
}

impl Data {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.view().dtype()
    }

    /// The elements, borrowed.
    #[must_use]
    pub fn view(&self) -> DataRef<'_> {
        match self {
            Self::I8(v) => DataRef::I8(v),
            Self::I16(v) => DataRef::I16(v),
            Self::I32(v) => DataRef::I32(v),
        }
    }

    /// Elements of the given type.
    ///
    /// # Errors
    /// [`ShapeError::Element`] when one does not fit the type.
    pub fn from_elements(dtype: DType, elements: &[i32]) -> Result<Self, ShapeError> {
        let outside = |_| ShapeError::Element(dtype);
        Ok(match dtype {
            DType::I8 => Self::I8(narrowed(elements).map_err(outside)?),
            DType::I16 => Self::I16(narrowed(elements).map_err(outside)?),
            DType::I32 => Self::I32(elements.to_vec()),
        })
    }

    /// Elements of the given type from their little-endian bytes; `None` when the bytes end inside one.
    #[must_use]
    pub fn from_le_bytes(dtype: DType, bytes: &[u8]) -> Option<Self> {
        Some(match dtype {
            DType::I8 => Self::I8(bytes.iter().map(|&byte| i8::from_le_bytes([byte])).collect()),
            DType::I16 => match bytes.as_chunks() {
                (chunks, []) => Self::I16(chunks.iter().map(|&chunk| i16::from_le_bytes(chunk)).collect()),
                _ => return None,
            },
            DType::I32 => match bytes.as_chunks() {
                (chunks, []) => Self::I32(chunks.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect()),
                _ => return None,
            },
        })
    }
}

fn narrowed<T: TryFrom<i32>>(elements: &[i32]) -> Result<Vec<T>, T::Error> {
    elements.iter().map(|&element| T::try_from(element)).collect()
}

/// Borrowed elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataRef<'a> {
    /// 8-bit elements.
    I8(&'a [i8]),
    /// 16-bit elements.
    I16(&'a [i16]),
    /// 32-bit elements.
    I32(&'a [i32]),
}

impl<'a> DataRef<'a> {
    /// Number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Element type.
    #[must_use]
    pub fn dtype(self) -> DType {
        match self {
            Self::I8(_) => DType::I8,
            Self::I16(_) => DType::I16,
            Self::I32(_) => DType::I32,
        }
    }

    /// The element at a position, widened.
    ///
    /// # Panics
    /// When `position` is not below the number of elements.
    #[must_use]
    pub fn at(self, position: usize) -> i32 {
        match self {
            Self::I8(v) => v[position].into(),
            Self::I16(v) => v[position].into(),
            Self::I32(v) => v[position],
        }
    }

    /// The elements of a range, owned.
    ///
    /// # Panics
    /// When the range exceeds the elements.
    #[must_use]
    pub fn part(self, range: std::ops::Range<usize>) -> Data {
        match self {
            Self::I8(v) => Data::I8(v[range].to_vec()),
            Self::I16(v) => Data::I16(v[range].to_vec()),
            Self::I32(v) => Data::I32(v[range].to_vec()),
        }
    }

    /// Little-endian bytes: borrowed where the machine stores them so.
    #[must_use]
    pub fn le_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::I8(v) => Cow::Borrowed(bytemuck::cast_slice(v)),
            Self::I16(v) if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(v)),
            Self::I32(v) if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(v)),
            Self::I16(v) => Cow::Owned(v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Self::I32(v) => Cow::Owned(v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        }
    }
}

/// `[element type, shape, little-endian bytes]`.
impl<C> Encode<C> for Tensor {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.encode_with(self.dtype(), ctx)?.encode_with(&self.shape, ctx)?;
        e.bytes(&self.data.view().le_bytes())?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Tensor {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let malformed = minicbor::decode::Error::message;
        if d.array()? != Some(3) {
            return Err(malformed("a tensor has three parts"));
        }
        let (dtype, shape): (DType, Shape) = (d.decode_with(ctx)?, d.decode_with(ctx)?);
        let bytes = d.bytes()?;
        if bytes.len() != shape.count() * dtype.bytes() {
            return Err(malformed("a tensor's bytes fill its shape"));
        }
        let data =
            Data::from_le_bytes(dtype, bytes).ok_or_else(|| malformed("bytes end inside an element"))?;
        Self::new(shape, data).map_err(|_| malformed("a tensor's elements fill its shape"))
    }
}
