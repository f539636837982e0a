//! `sealgrid model import`: ONNX in, a model of this program out, with its verdict.

use std::path::{Path, PathBuf};

use sealgrid_graph::float::Tensor;
use sealgrid_graph::model::Model;
use sealgrid_graph::onnx::{self, Imported};
use sealgrid_graph::quantise::{self, Names};

use super::describe;
use crate::commands::data;
use crate::data::Records;
use crate::engines;
use crate::failure::{Failure, unwritable};
use crate::files::{self, Place};
use crate::home::Home;
use crate::output::{Output, Report};

/// Import an ONNX model: quantise it on your data, measure it, and say what each mode would cost.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// ONNX file, opset 13 to 21.
    file: PathBuf,
    /// Records that show the ranges of the inputs; a sample of the training data, at least some dozens.
    #[arg(long, value_name = "DATA")]
    calibrate: PathBuf,
    /// Labelled records to measure accuracy on [default: the calibration records, when they are labelled].
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Column of the labels: positions of classes.
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    label: String,
    /// Names of the classes, in order, where the model does not state them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Vec<String>,
    /// Name on the model's card [default: the file's].
    #[arg(long)]
    name: Option<String>,
    /// Your version of it.
    #[arg(long, default_value = "1")]
    release: String,
    /// What it does, in a sentence.
    #[arg(long, default_value = "")]
    summary: String,
    /// Where the model goes [default: the home's models].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Largest ONNX file that is read: as long as one may be.
const ONNX_BYTES_MAX: u64 = 2 << 30;

/// What a model is imported from.
pub struct Source<'a> {
    /// ONNX bytes.
    pub onnx: &'a [u8],
    /// Records that show the ranges.
    pub calibration: &'a Records,
    /// Labelled records and what to call them.
    pub test: Option<(&'a Records, &'a str)>,
    /// Column of the labels.
    pub label: &'a str,
    /// Names of the classes, where the model does not state them.
    pub classes: &'a [String],
    /// Name, release, summary.
    pub card: [&'a str; 3],
}

impl Import {
    /// Imports, measures, writes.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("model");
        let name = self.name.as_deref().unwrap_or(stem);
        let out = self.out.unwrap_or_else(|| home.models().join(format!("{name}.sgm")));
        let reads = [Some(&self.file), Some(&self.calibrate), self.test.as_ref()];
        let reads: Vec<&Path> = reads.into_iter().flatten().map(PathBuf::as_path).collect();
        files::apart(&reads, &[&out])?;
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
        let place = Place::secret(&out)?;
        let onnx = files::read_up_to(&self.file, ONNX_BYTES_MAX)?;
        let calibration = data::records(&self.calibrate, None, home, None)?;
        let test = self.test.as_deref().map(|path| data::records(path, None, home, None)).transpose()?;
        let data_name = |path: &Path| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let tested = match (&test, &self.test) {
            (Some(records), Some(path)) => Some((records, data_name(path))),
            _ if calibration.column(&self.label).is_some() => {
                Some((&calibration, data_name(&self.calibrate)))
            }
            _ => None,
        };
        output.say("observing ranges, quantising, proving that no sum can overflow");
        let model = import(&Source {
            onnx: &onnx,
            calibration: &calibration,
            test: tested.as_ref().map(|(records, name)| (*records, name.as_str())),
            label: &self.label,
            classes: &self.classes,
            card: [name, &self.release, &self.summary],
        })?;
        place.put(&model.to_bytes())?;
        let (text, mut json) = describe(&model);
        json["file"] = out.display().to_string().into();
        Ok(Report::new(
            format!(
                "{text}\nwritten to {} (weights in clear: keep it where you keep secrets)",
                out.display()
            ),
            json,
        ))
    }
}

/// Imports a model from bytes and records.
pub fn import(source: &Source<'_>) -> Result<Model, Failure> {
    let imported = onnx::import(source.onnx).map_err(|problems| {
        // What to try is another thing for each code: the error index has it.
        let said = problems.to_string();
        let (what, why) = said.split_once('\n').unwrap_or((&said, ""));
        Failure::new(problems.code(), what).why(why.trim_start())
    })?;
    let [shape] = imported.graph.inputs() else {
        return Err(Failure::new(
            "E-DAT-06",
            format!("the model takes {} inputs", imported.graph.inputs().len()),
        )
        .why("calibration records of a table give one"));
    };
    let (calibration, columns) = features(source.calibration, source.label, shape.count())?;
    let tensors = |rows: Vec<Vec<f64>>| -> Result<Vec<Vec<Tensor>>, Failure> {
        let tensor = |(index, row): (usize, Vec<f64>)| {
            #[expect(clippy::cast_possible_truncation, reason = "models compute in 32-bit floats")]
            let elements: Vec<f32> = row.into_iter().map(|x| x as f32).collect();
            if let Some(at) = elements.iter().position(|element| !element.is_finite()) {
                return Err(too_large_a_value(index, columns.get(at), at));
            }
            Ok(vec![Tensor::new(shape.clone(), elements).expect("the number of columns was checked")])
        };
        rows.into_iter().enumerate().map(tensor).collect()
    };
    let executor = engines::executor();
    let refused = |error: quantise::QuantiseError| {
        Failure::new(error.code(), "the model cannot be made integer")
            .why(error)
            .hint("check that the calibration data is in the unit that the model was trained on")
    };
    let quantised =
        quantise::quantise(&imported.graph, &tensors(calibration)?, executor.as_ref()).map_err(refused)?;
    let accuracy = match source.test {
        None => None,
        Some((records, name)) => {
            let output = scored_output(&imported);
            let classes = imported.graph.shape(imported.graph.outputs()[output]).count();
            let labels = labels(records, source.label, classes)?;
            let (rows, _) = features(records, source.label, shape.count())?;
            let measured = quantise::measure(
                &imported.graph,
                &quantised,
                executor.as_ref(),
                (output, name),
                &tensors(rows)?,
                &labels,
            );
            Some(measured.map_err(refused)?)
        }
    };
    let names = Names {
        name: source.card[0].to_owned(),
        release: source.card[1].to_owned(),
        summary: source.card[2].to_owned(),
        inputs: vec![(imported.inputs[0].clone(), columns)],
        outputs: outputs(&imported, source.classes),
    };
    Model::new(quantised.card(&names, accuracy), quantised.graph.as_ref().clone(), &mut crate::entropy())
        .map_err(|error| {
            Failure::new(error.code(), "the model cannot be stored")
                .why(error)
                .hint("rename it with --name, or export the model with other names of inputs and outputs")
        })
}

/// A number of the table that no 32-bit float comes near.
fn too_large_a_value(index: usize, column: Option<&String>, at: usize) -> Failure {
    let column = column.map_or_else(|| (at + 1).to_string(), |name| format!("`{name}`"));
    Failure::new("E-DAT-02", format!("record {} column {column}: too large a number", index + 1))
        .why("models compute in 32-bit floats, which end at 3.4e38")
        .hint("remove the row, or correct the value")
}

/// The feature columns of a table: all but the labels, and their names.
fn features(records: &Records, label: &str, wanted: usize) -> Result<(Vec<Vec<f64>>, Vec<String>), Failure> {
    let columns: Option<Vec<String>> = records
        .columns
        .as_ref()
        .map(|columns| columns.iter().filter(|column| *column != label).cloned().collect());
    let rows = match &columns {
        Some(columns) => records.select(columns)?.0,
        None => records.rows.clone(),
    };
    let found = rows.first().map_or(0, Vec::len);
    if found == wanted {
        return Ok((rows, columns.unwrap_or_default()));
    }
    let failure = Failure::new("E-DAT-04", format!("{found} columns where the model takes {wanted}"));
    Err(match columns {
        Some(_) => failure
            .why(format!("the column `{label}` counts as the label"))
            .hint("name the label's column with --label, and leave out all others"),
        None => failure
            .why("each entry of the array's first axis is a record")
            .hint("give the array one more axis in front, or leave out what the model does not take"),
    })
}

/// The column of labels. An output of one element says which of two, or the position itself; of several each is a class.
fn labels(records: &Records, label: &str, elements: usize) -> Result<Vec<usize>, Failure> {
    let classes = if elements == 1 { CLASSES_MAX } else { elements as f64 };
    let column = records.column(label).ok_or_else(|| {
        Failure::new("E-DAT-04", format!("missing column: {label}"))
            .why("accuracy needs labels")
            .hint("--label COLUMN")
    })?;
    column
        .iter()
        .enumerate()
        .map(|(row, &value)| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a small whole number"
            )]
            let position = value as usize;
            if (0.0..classes).contains(&value) && value.fract() == 0.0 {
                return Ok(position);
            }
            let what = format!("record {} column {label}: not the position of a class", row + 1);
            Err(Failure::new("E-DAT-02", what)
                .why(format!("positions are whole numbers from 0 to {}", classes - 1.0))
                .hint("--label COLUMN, where another column holds the labels"))
        })
        .collect()
}

/// Most classes of an output that names a position.
const CLASSES_MAX: f64 = 65_536.0;

/// The output that decides: the first with several elements, else the first.
fn scored_output(imported: &Imported) -> usize {
    let outputs = imported.graph.outputs();
    outputs.iter().position(|id| imported.graph.shape(*id).count() > 1).unwrap_or(0)
}

/// For each output its name and the names of its classes.
fn outputs(imported: &Imported, classes: &[String]) -> Vec<(String, Vec<String>)> {
    let stated = imported.labels.clone().unwrap_or_else(|| classes.to_vec());
    let ids = imported.graph.outputs();
    imported
        .outputs
        .iter()
        .zip(ids)
        .map(|(output, id)| {
            let count = imported.graph.shape(*id).count();
            let labels = match &output.labels {
                Some(_) if !classes.is_empty() => classes.to_vec(),
                Some(labels) => labels.clone(),
                None if count == stated.len() && !classes.is_empty() => classes.to_vec(),
                None if count == stated.len() => stated.clone(),
                None => Vec::new(),
            };
            (output.name.clone(), labels)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import_with(csv: &str) -> Result<Model, Failure> {
        let records = Records::parse(csv.as_bytes(), "csv", None)?;
        let onnx = include_bytes!("../../../../../models/breast-cancer-mlp.onnx");
        import(&Source {
            onnx,
            calibration: &records,
            test: Some((&records, "some.csv")),
            label: "label",
            classes: &[],
            card: ["m", "1", ""],
        })
    }

    /// Two records, in one of which a column holds `value`.
    fn with(column: &str, value: &str) -> Result<Model, Failure> {
        let table = include_str!("../../../../../models/data/breast-cancer-calibration.csv");
        let mut rows: Vec<Vec<&str>> = table.lines().take(3).map(|row| row.split(',').collect()).collect();
        let at = rows[0].iter().position(|name| *name == column).expect("a column");
        rows[2][at] = value;
        import_with(&rows.iter().map(|row| row.join(",")).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_record_that_is_none_for_the_model_is_named() {
        let refused = |column, value| {
            let failure = with(column, value).expect_err("refused");
            format!("{} {}", failure.code, failure.what)
        };
        with("mean radius", "17").expect("a record like the others");
        assert_eq!(
            refused("mean radius", "1e39"),
            "E-DAT-02 record 2 column `mean radius`: too large a number"
        );
        for label in ["2", "-1", "0.5", "1e300"] {
            assert_eq!(
                refused("label", label),
                "E-DAT-02 record 2 column label: not the position of a class"
            );
        }
    }

    #[test]
    fn an_array_has_no_column_of_labels_to_leave_out() {
        let records = Records { columns: None, rows: vec![vec![0.0]; 30], ids: None };
        let failure = features(&records, "label", 30).expect_err("one column");
        assert_eq!(failure.code, "E-DAT-04");
        assert!(!failure.to_string().contains("label"), "{failure}");
    }

    #[test]
    fn what_is_no_onnx_is_told_what_to_do_about_that() {
        let records = Records { columns: None, rows: vec![vec![0.0]], ids: None };
        let source = Source {
            onnx: b"no model",
            calibration: &records,
            test: None,
            label: "label",
            classes: &[],
            card: ["m", "1", ""],
        };
        let failure = import(&source).expect_err("no model");
        assert_eq!(
            (failure.code.as_str(), failure.what.as_str()),
            ("E-IMP-01", "the model cannot be imported (1 problem)")
        );
        assert!(failure.to_string().contains("onnx.checker"), "{failure}");
    }
}
