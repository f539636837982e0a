//! Functions of one number.

/// A function of each element, the same at every element: what becomes a lookup table, or the bounds of an output
/// stage, in the integer graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// `x` above 0, else `slope·x`.
    LeakyRelu {
        /// Slope below 0.
        slope: f32,
    },
    /// `min(max(x, low), high)`.
    Clip {
        /// Lowest result.
        low: f32,
        /// Highest result.
        high: f32,
    },
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x·Φ(x)`, with the normal distribution's `Φ` by the error function.
    Gelu,
    /// The same with `Φ` approximated by a hyperbolic tangent (Hendrycks and Gimpel 2016).
    GeluTanh,
    /// Error function.
    Erf,
    /// `clamp(slope·x + offset, 0, 1)`.
    HardSigmoid {
        /// Slope.
        slope: f32,
        /// Value at 0.
        offset: f32,
    },
    /// `x·clamp(x/6 + 1/2, 0, 1)`.
    HardSwish,
    /// `x` above 0, else `scale·(exp(x) − 1)`.
    Elu {
        /// Limit below.
        scale: f32,
    },
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `exp(x)`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    /// `−x`.
    Negate,
    /// `|x|`.
    Absolute,
    /// Largest whole number not above `x`.
    Floor,
    /// Smallest whole number not below `x`.
    Ceil,
    /// The whole number next to `x` towards 0.
    Truncate,
}

impl Function {
    /// The function's value, computed in 64 bits and rounded once.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        self.apply_wide(f64::from(x)) as f32
    }

    /// The function's value in 64 bits.
    #[must_use]
    pub fn apply_wide(self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    f64::from(slope) * x
                } else {
                    x
                }
            }
            // Not `clamp`, which panics where low > high; ONNX then yields high.
            Self::Clip { low, high } => x.max(low.into()).min(high.into()),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
            Self::Gelu => x * phi(x),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Erf => libm::erf(x),
            Self::HardSigmoid { slope, offset } => (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Elu { scale } => {
                if x < 0.0 {
                    f64::from(scale) * x.exp_m1()
                } else {
                    x
                }
            }
            // Stable for large x, where exp(x) overflows.
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Negate => -x,
            Self::Absolute => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Truncate => x.trunc(),
        }
    }
}

/// The standard normal distribution function.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}
