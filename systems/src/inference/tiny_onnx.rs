//! ONNX files of a few bytes, made on the spot: just enough of the format (onnx.proto3) to test with.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    /// 0 leaves it open: the file then gives it a name.
    #[prost(int64, tag = "1")]
    dim_value: i64,
    #[prost(string, tag = "2")]
    dim_param: String,
}

/// Type of an element.
const FLOAT: i32 = 1;
/// Types of an attribute.
const INT: i32 = 2;
const INTS: i32 = 7;

fn tensor(name: &str, dims: &[i64], float_data: Vec<f32>) -> Tensor {
    Tensor { dims: dims.to_vec(), data_type: FLOAT, float_data, name: name.into() }
}

fn attribute(name: &str, r#type: i32, i: i64, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), i, ints: ints.to_vec(), r#type }
}

/// A value; a size of 0 is left open.
fn value(name: &str, dims: &[i64]) -> ValueInfo {
    let dim = |&size: &i64| match size {
        0 => Dim { dim_value: 0, dim_param: "open".into() },
        _ => Dim { dim_value: size, dim_param: String::new() },
    };
    let shape = Some(Shape { dim: dims.iter().map(dim).collect() });
    let r#type = Some(Type { tensor_type: Some(TensorType { elem_type: FLOAT, shape }) });
    ValueInfo { name: name.into(), r#type }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> Node {
    let input = inputs.iter().map(|&name| name.into()).collect();
    Node { input, output: vec![output.into()], op_type: op_type.into(), attribute: Vec::new() }
}

fn model(node: Vec<Node>, initializer: Vec<Tensor>, input: ValueInfo, output: Vec<ValueInfo>) -> Vec<u8> {
    let graph = Graph { node, name: "tiny".into(), initializer, input: vec![input], output };
    let opset_import = vec![OperatorSet { domain: String::new(), version: 13 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph) }.encode_to_vec()
}

/// Two masks, as TwinLiteNet gives them: drivable is what is more red than 0.5, lines what is more green than 0.5.
/// With `last` another operator is put behind the second.
pub(crate) fn segmentation(width: i64, height: i64, last: &str) -> Vec<u8> {
    let weights = |channel: usize| {
        let mut weights = vec![0.0; 6];
        weights[3 + channel] = 1.0;
        weights
    };
    let conv = |weights, output| Node {
        attribute: vec![
            attribute("strides", INTS, 0, &[1, 1]),
            attribute("dilations", INTS, 0, &[1, 1]),
            attribute("pads", INTS, 0, &[0; 4]),
        ],
        ..node("Conv", &["images", weights, "b"], output)
    };
    let nodes = vec![conv("w_da", "da"), conv("w_ll", "raw"), node(last, &["raw"], "ll")];
    let constants = vec![
        tensor("w_da", &[2, 3, 1, 1], weights(0)),
        tensor("w_ll", &[2, 3, 1, 1], weights(1)),
        tensor("b", &[2], vec![0.0, -0.5]),
    ];
    let shape = [1, 2, height, width];
    model(nodes, constants, value("images", &[1, 3, height, width]), vec![value("da", &shape), value("ll", &shape)])
}

/// Boxes, as YOLOX gives them, for 64x32 pixels: one car in the middle, as likely as the picture is bright.
/// `columns` is how many numbers a cell has; the file says so only if `declared`.
pub(crate) fn detection(columns: usize, declared: bool) -> Vec<u8> {
    let mut car = vec![0.0; 42 * columns];
    let cell = 40 * columns; // the first of stride 32
    car[cell..cell + 8].copy_from_slice(&[1.0, 0.5, -0.5, -0.5, 1.0, 0.0, 0.0, 1.0]);
    let nodes = vec![
        Node { attribute: vec![attribute("keepdims", INT, 0, &[])], ..node("ReduceMean", &["images"], "brightness") },
        node("Mul", &["brightness", "car"], "output"),
    ];
    let columns = columns as i64;
    let output = value("output", &if declared { [1, 42, columns] } else { [0, 0, 0] });
    model(nodes, vec![tensor("car", &[1, 42, columns], car)], value("images", &[1, 3, 32, 64]), vec![output])
}
