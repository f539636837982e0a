//! What the fuzz targets and the replay of their corpora call: each takes any bytes and must neither panic nor accept
//! what it could not have written.

use std::sync::Arc;

use sealgrid_seal::canonical;

use crate::cost;
use crate::execute::{Batch, Executor};
use crate::fast::FastExecutor;
use crate::float;
use crate::integer::{Graph, ValueType};
use crate::model::{Model, ParameterOpening, PublicModel};
use crate::range;
use crate::reference::Reference;
use crate::tensor::{Data, Shape};

/// Most multiply-adds and elements of a graph that is also run.
const RUN_MAX: u64 = 1 << 14;

/// A graph from bytes: what decodes encodes to the same bytes, can be counted and ranged, and, when it is small, runs
/// alike on the reference and on the fast executor, within its ranges.
///
/// # Panics
/// When one of that does not hold.
pub fn graph(bytes: &[u8]) {
    let Ok(graph) = Graph::from_bytes(bytes) else { return };
    assert_eq!(graph.to_bytes(), bytes, "one spelling");
    let _admitted = range::analyse(&graph);
    let cost = cost::count(&graph);
    if cost.multiply_adds.saturating_add(cost.elements).saturating_add(cost.input_bytes) < RUN_MAX {
        run(&Arc::new(graph));
    }
}

/// A model file, its public part, or the opening of a parameter, from bytes.
///
/// # Panics
/// When something decodes that does not encode to the same bytes, or a model disagrees with its public part.
pub fn model(bytes: &[u8]) {
    if let Ok(model) = Model::from_bytes(bytes) {
        assert_eq!(model.to_bytes(), bytes, "one spelling");
        let public = model.public();
        assert_eq!(public.check(), Ok(()));
        if let Some(opening) = model.open_parameter(0) {
            assert!(public.verify_parameter(&opening), "a model opens its own parameters");
        }
    }
    if let Ok(public) = canonical::decode::<PublicModel>(bytes, 1 << 20) {
        let _fits = public.check();
        let _named = public.commitment();
    }
    let _opening = canonical::decode::<ParameterOpening>(bytes, 1 << 20);
}

/// An ONNX file from bytes: what is imported has the inputs and outputs that it names and, when it is small, runs.
///
/// # Panics
/// When that does not hold.
pub fn onnx(bytes: &[u8]) {
    let Ok(imported) = crate::onnx::import(bytes) else { return };
    let graph = &imported.graph;
    assert_eq!(imported.inputs.len(), graph.inputs().len());
    assert_eq!(imported.outputs.len(), graph.outputs().len());
    let work = graph.work().saturating_add(graph.inputs().iter().map(|shape| shape.count() as u64).sum());
    if work < RUN_MAX {
        let zeros = |shape: &Shape| float::Tensor::zeros(shape.clone());
        let inputs: Vec<float::Tensor> = graph.inputs().iter().map(zeros).collect();
        float::run(graph, &inputs).expect("the inputs fit");
    }
}

fn run(graph: &Arc<Graph>) {
    let elements = |value_type: &ValueType| {
        let (low, high) = value_type.dtype.bounds();
        let count = i32::try_from(2 * value_type.shape.count()).expect("small");
        let spread = (0..count).map(|i| if i % 3 == 0 { low } else { high / (i + 1) });
        let data =
            Data::from_elements(value_type.dtype, &spread.collect::<Vec<_>>()).expect("within the type");
        Batch::new(2, value_type.shape.clone(), data).expect("small")
    };
    let inputs: Vec<Batch> = graph.inputs().iter().map(elements).collect();
    let run = |executor: &dyn Executor| {
        let prepared = executor.prepare(Arc::clone(graph)).expect("every valid graph is prepared");
        prepared.run(&inputs, &mut ()).expect("the inputs fit")
    };
    assert_eq!(run(&Reference), run(&FastExecutor::new()), "executors agree");
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    fn replay(target: &str, parse: fn(&[u8])) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut files = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus is committed") {
            parse(&std::fs::read(entry.expect("readable").path()).expect("readable"));
            files += 1;
        }
        assert!(files >= 20, "{target}: only {files} files");
    }

    #[test]
    fn corpora_are_replayed() {
        replay("graph_decode", super::graph);
        replay("model_decode", super::model);
        replay("onnx_import", super::onnx);
    }
}
