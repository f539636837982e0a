//! Models made by hand.

use crate::onnx::schema::{
    Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};

pub fn value(name: &str, elem_type: i32, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = dims.iter().map(|&dim_value| Dimension { dim_value, dim_param: None }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

pub fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("node {output}"),
        op_type: op_type.to_owned(),
        ..NodeProto::default()
    }
}

pub fn weights(name: &str, dims: &[i64], float_data: Vec<f32>) -> TensorProto {
    let (name, dims, data_type) = (name.to_owned(), dims.to_vec(), data_type::FLOAT);
    TensorProto { name, dims, data_type, float_data, ..TensorProto::default() }
}

pub fn integers(name: &str, int64_data: Vec<i64>) -> TensorProto {
    let dims = vec![crate::float::signed(int64_data.len())];
    TensorProto {
        name: name.to_owned(),
        dims,
        data_type: data_type::INT64,
        int64_data,
        ..TensorProto::default()
    }
}

/// `x` `[batch, 3]` through the nodes to `y`.
pub fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            input: vec![value("x", data_type::FLOAT, &[None, Some(3)])],
            output: vec![value("y", data_type::FLOAT, &[None, Some(2)])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}
