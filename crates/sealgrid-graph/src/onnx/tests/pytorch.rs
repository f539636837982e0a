//! A transformer encoder as both of PyTorch's exporters write it, against what PyTorch answers (vectors/encoder).

use std::path::PathBuf;

use crate::float::{Function, Primitive, Tensor, run};
use crate::onnx::{Imported, import};
use crate::tensor::Shape;

const EXPORTS: [&str; 2] = ["encoder-torchscript", "encoder-dynamo"];
const TOKENS: usize = 16;
const WIDTH: usize = 64;

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/encoder");
    std::fs::read(folder.join(name)).expect("a file of vectors/encoder")
}

fn exported(name: &str) -> Imported {
    import(&file(&format!("{name}.onnx"))).unwrap_or_else(|problems| panic!("{name}: {problems}"))
}

/// Records of 16 tokens, as `numpy.save` writes float32: a header of a stated length, then the elements.
fn records(name: &str) -> Vec<Tensor> {
    let bytes = file(name);
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (elements, rest) = bytes[10 + header..].as_chunks();
    assert!(rest.is_empty());
    let elements: Vec<f32> = elements.iter().map(|&element| f32::from_le_bytes(element)).collect();
    let shape = Shape::new(&[1, TOKENS, WIDTH]).expect("small");
    elements
        .chunks(TOKENS * WIDTH)
        .map(|record| Tensor::new(shape.clone(), record.to_vec()).expect("a whole record"))
        .collect()
}

#[test]
fn both_exports_answer_what_pytorch_answers() {
    let (records, answers) = (records("records.npy"), records("answers.npy"));
    assert_eq!((records.len(), answers.len()), (16, 16));
    for name in EXPORTS {
        let imported = exported(name);
        for (record, answer) in records.iter().zip(&answers) {
            let found = run(&imported.graph, std::slice::from_ref(record)).expect("the record fits");
            let pairs = found[0].elements().iter().zip(answer.elements());
            let worst = pairs.map(|(found, answer)| (found - answer).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}: off by {worst}");
        }
    }
}

#[test]
fn what_pytorch_spells_out_is_recognised_and_shapes_are_computed_at_import() {
    for name in EXPORTS {
        let graph = exported(name).graph;
        let count = |is: fn(&Primitive) -> bool| {
            graph.operations().iter().filter(|operation| is(&operation.primitive)).count()
        };
        assert_eq!(count(|primitive| matches!(primitive, Primitive::Unary(Function::Gelu))), 2, "{name}");
        assert_eq!(
            count(|primitive| matches!(primitive, Primitive::Unary(_))),
            2,
            "{name}: no other function"
        );
        assert_eq!(count(|primitive| matches!(primitive, Primitive::LayerNormalization { .. })), 4, "{name}");
        assert_eq!(count(|primitive| matches!(primitive, Primitive::Softmax { .. })), 2, "{name}");
        // Of each layer: queries, keys and values in one, what attention yields, and both of the part behind it.
        assert_eq!(count(|primitive| matches!(primitive, Primitive::Linear { .. })), 8, "{name}");
        assert_eq!(count(|primitive| matches!(primitive, Primitive::Constant { .. })), 0, "{name}");
    }
}
