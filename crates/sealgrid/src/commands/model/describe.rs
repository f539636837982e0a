//! A model in a table: what goes in and out, what it does, what each mode would cost.

use std::collections::BTreeMap;
use std::time::Duration;

use sealgrid_graph::cost::{self, Calibration, Mode};
use sealgrid_graph::model::Model;

use crate::output::{duration, facts, table, thousands};

/// The modes that can run a job today, with the words of the command line.
const MODES: [(&str, Mode); 3] = [
    ("plain, on this machine", Mode::Plain),
    ("sealed, signed", Mode::Sealed),
    ("sealed, quorum:3", Mode::Quorum { members: 3 }),
];

/// Text for people and JSON for machines.
pub fn describe(model: &Model) -> (String, serde_json::Value) {
    let (card, graph) = (model.card(), model.graph());
    let cost = cost::count(graph);
    let mut operators: BTreeMap<&'static str, u32> = BTreeMap::new();
    for operation in graph.operations() {
        *operators.entry(operation.primitive.word()).or_default() += 1;
    }
    let listed =
        operators.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ");

    let mut about = facts();
    about.add_row(["model", &format!("{} {}", card.name, card.release)]);
    about.add_row(["commitment", &model.commitment().to_string()]);
    for input in &card.inputs {
        let columns = match input.columns.len() {
            0 => "by position".to_owned(),
            count => format!("{count} columns, first `{}`", input.columns[0]),
        };
        about.add_row(["input", &format!("{}: {:?}, {columns}", input.name, input.value_type.shape.axes())]);
    }
    for output in &card.outputs {
        let labels =
            if output.labels.is_empty() { String::new() } else { format!(" ({})", output.labels.join(", ")) };
        about.add_row(["output", &format!("{}: {:?}{labels}", output.name, output.value_type.shape.axes())]);
    }
    about.add_row(["operations", &listed]);
    about.add_row(["parameters", &thousands(cost.parameters)]);
    about.add_row(["multiply-adds", &format!("{} a record", thousands(cost.multiply_adds))]);
    about.add_row([
        "memory",
        &format!("{} bytes a record at the peak, beside the parameters", thousands(cost.peak_bytes)),
    ]);
    if let Some(accuracy) = &card.accuracy {
        let percent = |correct: u32| 100.0 * f64::from(correct) / f64::from(accuracy.records.max(1));
        about.add_row([
            "accuracy",
            &format!(
                "float {:.2} %, integer {:.2} % ({:+.2} points), same decision on {} of {} records of {}",
                percent(accuracy.clear_correct),
                percent(accuracy.integer_correct),
                0.0 - accuracy.points_lost(),
                accuracy.agreeing,
                accuracy.records,
                accuracy.data,
            ),
        ]);
    }

    let calibration = Calibration::default();
    let mut modes = table(["mode", "estimated for 1 record", "for 1,000 records"]);
    let mut modes_json = serde_json::Map::new();
    for (word, mode) in MODES {
        let of = |records: u64| cost.estimate_ns(mode, records, &calibration);
        modes.add_row([word.to_owned(), nanoseconds(of(1)), nanoseconds(of(1000))]);
        modes_json.insert(word.to_owned(), serde_json::json!({ "ns_1": of(1), "ns_1000": of(1000) }));
    }
    let text =
        format!("{about}\n{modes}\nestimates assume nodes on this machine; measure with: sealgrid bench");
    let json = serde_json::json!({
        "name": card.name,
        "release": card.release,
        "commitment": model.commitment().to_string(),
        "inputs": card.inputs.iter().map(|input| serde_json::json!({
            "name": input.name, "shape": input.value_type.shape.axes(), "columns": input.columns,
        })).collect::<Vec<_>>(),
        "outputs": card.outputs.iter().map(|output| serde_json::json!({
            "name": output.name, "shape": output.value_type.shape.axes(), "labels": output.labels,
        })).collect::<Vec<_>>(),
        "operations": operators,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "peak_bytes": cost.peak_bytes,
        "accuracy": card.accuracy.as_ref().map(|accuracy| serde_json::json!({
            "data": accuracy.data, "records": accuracy.records, "clear_correct": accuracy.clear_correct,
            "integer_correct": accuracy.integer_correct, "agreeing": accuracy.agreeing,
        })),
        "estimates": modes_json,
    });
    (text, json)
}

fn nanoseconds(ns: f64) -> String {
    duration(Duration::from_secs_f64(ns / 1e9))
}
