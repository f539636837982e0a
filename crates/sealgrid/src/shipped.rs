//! The models and data that ship inside the binary, so that `demo` and `bench` run from anywhere. Provenance:
//! models/README.md.

use sealgrid_graph::model::Model;

use crate::commands::model::{Source, import};
use crate::data::Records;
use crate::failure::Failure;

/// One shipped model with its data.
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    onnx: &'static [u8],
    calibration: &'static [u8],
    test: &'static [u8],
    classes: &'static [&'static str],
    summary: &'static str,
}

macro_rules! shipped {
    ($name:literal, $data:literal, $classes:expr, $summary:literal) => {
        Shipped {
            name: $name,
            onnx: include_bytes!(concat!("../../../models/", $name, ".onnx")),
            calibration: include_bytes!(concat!("../../../models/data/", $data, "-calibration.csv")),
            test: include_bytes!(concat!("../../../models/data/", $data, "-test.csv")),
            classes: $classes,
            summary: $summary,
        }
    };
}

/// Classes of the tumour models, as scikit-learn numbers them.
const TUMOURS: &[&str] = &["malignant", "benign"];
/// Classes of the digit models.
const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Every shipped model with CSV data.
pub const MODELS: &[Shipped] = &[
    shipped!(
        "breast-cancer-mlp",
        "breast-cancer",
        TUMOURS,
        "Perceptron 30-16-2 on breast-tumour measurements"
    ),
    shipped!(
        "breast-cancer-logreg",
        "breast-cancer",
        TUMOURS,
        "Logistic regression on breast-tumour measurements"
    ),
    shipped!("breast-cancer-gbt", "breast-cancer", TUMOURS, "Boosted trees on breast-tumour measurements"),
    shipped!("digits-mlp", "digits", DIGITS, "Perceptron 64-32-10 on 8x8 digits"),
    shipped!("digits-cnn", "digits", DIGITS, "Convolutional network on 8x8 digits"),
];

impl Shipped {
    /// The shipped model of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// Imports it and measures it on its test records.
    pub fn import(&self) -> Result<Model, Failure> {
        let calibration = Records::from_csv(self.calibration)?;
        let test = self.test()?;
        let classes: Vec<String> = self.classes.iter().map(|&class| class.to_owned()).collect();
        import(&Source {
            onnx: self.onnx,
            calibration: &calibration,
            test: Some((&test, "the shipped test records")),
            label: "label",
            classes: &classes,
            card: [self.name, "1", self.summary],
        })
    }

    /// Its labelled test records.
    pub fn test(&self) -> Result<Records, Failure> {
        Records::from_csv(self.test)
    }
}
