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
    /// Extension of the format of its data.
    format: &'static str,
    calibration: &'static [u8],
    /// Labelled; absent where they would make half a megabyte of every binary.
    test: Option<&'static [u8]>,
    classes: &'static [&'static str],
    summary: &'static str,
}

macro_rules! shipped {
    ($name:literal, $data:literal, $classes:expr, $summary:literal) => {
        Shipped {
            name: $name,
            onnx: include_bytes!(concat!("../../../models/", $name, ".onnx")),
            format: "csv",
            calibration: include_bytes!(concat!("../../../models/data/", $data, "-calibration.csv")),
            test: Some(include_bytes!(concat!("../../../models/data/", $data, "-test.csv"))),
            classes: $classes,
            summary: $summary,
        }
    };
}

/// Classes of the tumour models, as scikit-learn numbers them.
const TUMOURS: &[&str] = &["malignant", "benign"];
/// Classes of the digit models.
const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Every shipped model.
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
    Shipped {
        name: "lenet5",
        onnx: include_bytes!("../../../models/lenet5.onnx"),
        format: "npy",
        calibration: include_bytes!("../../../models/data/digits28-calibration.npy"),
        test: None,
        classes: DIGITS,
        summary: "LeNet-5 layer sizes on the digits upscaled to 28x28",
    },
];

impl Shipped {
    /// The shipped model of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// Imports it, and measures it on its test records where they ship.
    pub fn import(&self) -> Result<Model, Failure> {
        let calibration = self.read(self.calibration)?;
        let test = self.test.map(|test| self.read(test)).transpose()?;
        let classes: Vec<String> = self.classes.iter().map(|&class| class.to_owned()).collect();
        import(&Source {
            onnx: self.onnx,
            calibration: &calibration,
            test: test.as_ref().map(|test| (test, "the shipped test records")),
            label: "label",
            classes: &classes,
            card: [self.name, "1", self.summary],
        })
    }

    /// Records to run it on: its labelled test records where they ship, otherwise those that it is calibrated with.
    pub fn records(&self) -> Result<Records, Failure> {
        self.read(self.test.unwrap_or(self.calibration))
    }

    fn read(&self, data: &[u8]) -> Result<Records, Failure> {
        Records::parse(data, self.format, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_model_is_imported_and_takes_its_own_records() {
        for shipped in MODELS {
            let model = shipped.import().unwrap_or_else(|failure| panic!("{}: {failure:?}", shipped.name));
            let mut records = shipped.records().expect("shipped");
            records.rows.truncate(2);
            let (inputs, _) = crate::asking::encode(&records, &model.public()).expect("they fit");
            assert_eq!(inputs[0].records(), 2, "{}", shipped.name);
        }
    }
}
