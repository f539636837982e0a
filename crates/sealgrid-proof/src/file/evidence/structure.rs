//! A file as a tree of named fields, down to the last element that the library wrote, so that each can be changed by itself and the whole be
//! written again as the format spells it.

use minicbor::data::Type;
use sealgrid_graph::arbitrary::Random;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::{ELEMENT_BYTES, Element, MAGIC, OPENING_MAGIC, REGISTERED_MAGIC};
use crate::commit::{self, Shown};
use crate::weights::ShownColumns;
use p3_field::PrimeField32 as _;

/// A part of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Unsigned(u64),
    /// As it is spelled: `-1 - number`.
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Node>),
    /// Floats and simple values, as they stand.
    Raw(Vec<u8>),
    /// Elements of the extension field, each five coordinates.
    Elements(Vec<[u32; 5]>),
    /// What the library writes, as it names it, what that is, and its bytes.
    Library(Value, Form, Vec<u8>),
}

/// Which of the library's values stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The opening of a vector.
    Opening,
    /// Columns of a commitment, and their paths.
    Columns,
}

impl Form {
    fn read(self, bytes: &[u8]) -> Value {
        fn value<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Value {
            let read: T = commit::read(bytes).expect("what a prover wrote");
            serde_json::to_value(read).expect("plain data")
        }
        match self {
            Self::Opening => value::<Shown>(bytes),
            Self::Columns => value::<ShownColumns>(bytes),
        }
    }

    /// The bytes of a value, if it is one.
    fn write(self, value: &Value) -> Option<Vec<u8>> {
        fn bytes<T: Serialize + DeserializeOwned>(value: &Value) -> Option<Vec<u8>> {
            Some(postcard::to_allocvec(&T::deserialize(value).ok()?).expect("plain data"))
        }
        match self {
            Self::Opening => bytes::<Shown>(value),
            Self::Columns => bytes::<ShownColumns>(value),
        }
    }
}

/// Names of the fields of the lists that are structures.
fn name(of: &str, index: usize) -> Option<&'static str> {
    let names: &[&str] = match of {
        ".proof" => &["statement", "argument"],
        ".proof statement" => {
            &["version", "model", "nonce", "records", "inputs", "outputs", "weights private", "level"]
        }
        ".proof argument" | ".sgr argument" => &["commitment", "wires", "attached", "last", "opening"],
        ".sgr" => &["version", "public", "registered", "magnitudes", "reaches", "trees", "argument"],
        ".sgr registered" => &["parameters", "openings", "root", "level"],
        ".sgr public" => &["card", "architecture", "parameter root", "registration"],
        ".opening" => &["version", "nonce", "side", "key", "batches"],
        _ => return None,
    };
    names.get(index).copied()
}

/// The fields below this are told apart by their place.
pub(super) fn below(of: &str, index: usize) -> String {
    match name(of, index) {
        Some(name) => format!("{of} {name}"),
        None if of.ends_with(" *") => of.to_owned(),
        None => format!("{of} *"),
    }
}

/// A file as a tree.
#[derive(Clone)]
pub(super) struct Tree {
    magic: [u8; 4],
    pub(super) root: Node,
}

impl Tree {
    /// Of a file that somebody wrote rightly.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (magic, body) = bytes.split_first_chunk::<4>().expect("a file");
        let mut d = minicbor::Decoder::new(body);
        let root = node(&mut d, kind(magic));
        assert!(d.position() == body.len(), "nothing behind it");
        let tree = Self { magic: *magic, root };
        assert!(tree.bytes() == bytes, "one spelling");
        tree
    }

    /// What it is called.
    pub(super) fn kind(&self) -> &'static str {
        kind(&self.magic)
    }

    /// The file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        write(&self.root, &mut bytes);
        bytes
    }

    /// The file with the field at the end of a way changed, and how it was; none where there is no other value of that kind.
    pub(super) fn changed(&mut self, way: &[u32], random: &mut Random) -> Option<(Vec<u8>, &'static str)> {
        let (node, rest) = at(&mut self.root, way);
        if let Node::Library(value, form, bytes) = node {
            let old = within(value, rest).clone();
            let how = change_library(value, rest, random);
            let written = form.write(value);
            *within(value, rest) = old;
            let old = std::mem::replace(bytes, written?);
            let file = self.bytes();
            if let (Node::Library(_, _, bytes), _) = at(&mut self.root, way) {
                *bytes = old;
            }
            return Some((file, how?));
        }
        let old = node.clone();
        let how = change(node, rest, random);
        let file = self.bytes();
        *at(&mut self.root, way).0 = old;
        Some((file, how?))
    }

    /// Files whose library values have the first length spelled with a byte more than it takes.
    pub(super) fn longer(&mut self) -> Vec<Vec<u8>> {
        let mut ways = Vec::new();
        visit_nodes(&self.root, &mut Vec::new(), &mut |node, way| {
            if matches!(node, Node::Library(..)) {
                ways.push(way.clone());
            }
        });
        let longer = |way: Way| {
            let (Node::Library(_, _, bytes), _) = at(&mut self.root, &way) else {
                unreachable!("found above")
            };
            let old = bytes.clone();
            let last = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a length");
            bytes[last] |= 0x80;
            bytes.insert(last + 1, 0);
            let file = self.bytes();
            if let (Node::Library(_, _, bytes), _) = at(&mut self.root, &way) {
                *bytes = old;
            }
            file
        };
        ways.into_iter().map(longer).collect()
    }
}

fn kind(magic: &[u8; 4]) -> &'static str {
    match magic {
        m if m == MAGIC => ".proof",
        m if m == REGISTERED_MAGIC => ".sgr",
        m if m == OPENING_MAGIC => ".opening",
        _ => panic!("no file of this crate"),
    }
}

fn node(d: &mut minicbor::Decoder<'_>, of: &str) -> Node {
    let start = d.position();
    match d.datatype().expect("an item") {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Node::Unsigned(d.u64().expect("a number")),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            let number = i128::from(d.int().expect("a number"));
            Node::Negative(u64::try_from(-1 - number).expect("a negative number"))
        }
        Type::Bytes => {
            let bytes = d.bytes().expect("bytes").to_vec();
            let argument = of.starts_with(".proof argument") || of.starts_with(".sgr argument");
            match of.rsplit(' ').next() {
                Some("wires" | "last") if argument => Node::Elements(elements(&bytes)),
                Some("opening") if argument => {
                    Node::Library(Form::Opening.read(&bytes), Form::Opening, bytes)
                }
                Some("*") if argument => Node::Library(Form::Columns.read(&bytes), Form::Columns, bytes),
                _ => Node::Bytes(bytes),
            }
        }
        Type::String => Node::Text(d.str().expect("text").to_owned()),
        Type::Array => {
            let length = usize::try_from(d.array().expect("a list").expect("its length")).expect("in memory");
            Node::List((0..length).map(|index| node(d, &below(of, index))).collect())
        }
        _ => {
            d.skip().expect("an item");
            Node::Raw(d.input()[start..d.position()].to_vec())
        }
    }
}

fn write(node: &Node, into: &mut Vec<u8>) {
    let mut e = minicbor::Encoder::new(into);
    match node {
        Node::Unsigned(number) => e.u64(*number).map(drop),
        Node::Negative(number) => {
            let number = minicbor::data::Int::try_from(-1 - i128::from(*number)).expect("as it was read");
            e.int(number).map(drop)
        }
        Node::Bytes(bytes) => e.bytes(bytes).map(drop),
        Node::Text(text) => e.str(text).map(drop),
        Node::List(nodes) => {
            e.array(nodes.len() as u64).expect("a Vec");
            return nodes.iter().for_each(|node| write(node, e.writer_mut()));
        }
        Node::Raw(bytes) => {
            e.writer_mut().extend_from_slice(bytes);
            return;
        }
        Node::Elements(elements) => {
            let bytes: Vec<u8> = elements.as_flattened().iter().flat_map(|it| it.to_le_bytes()).collect();
            e.bytes(&bytes).map(drop)
        }
        Node::Library(_, _, bytes) => e.bytes(bytes).map(drop),
    }
    .expect("a Vec");
}

fn elements(bytes: &[u8]) -> Vec<[u32; 5]> {
    let (elements, []) = bytes.as_chunks::<ELEMENT_BYTES>() else { panic!("whole elements") };
    let coordinate = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four"));
    elements.iter().map(|it| std::array::from_fn(|at| coordinate(&it[4 * at..4 * at + 4]))).collect()
}

/// The fields of a file: what each class has, as the ways to it.
pub(super) struct Fields(pub(super) Vec<(String, Vec<Way>)>);

/// The way to a field: indices of lists, and within what the library wrote, of its values in their order.
pub(super) type Way = Vec<u32>;

impl Fields {
    /// All fields of a file.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut fields = std::collections::BTreeMap::<String, Vec<Way>>::new();
        visit(&tree.root, tree.kind(), &mut Vec::new(), &mut |class, way| {
            fields.entry(class.to_owned()).or_default().push(way.clone());
        });
        Self(fields.into_iter().collect())
    }
}

fn visit(node: &Node, class: &str, way: &mut Way, found: &mut dyn FnMut(&str, &Way)) {
    match node {
        Node::List(nodes) => {
            if !nodes.is_empty() {
                found(&format!("{class} (list)"), way);
            }
            for (index, node) in nodes.iter().enumerate() {
                way.push(u32::try_from(index).expect("short"));
                visit(node, &below(class, index), way, found);
                way.pop();
            }
        }
        Node::Elements(elements) => {
            found(&format!("{class} (list)"), way);
            for index in 0..elements.len() {
                way.push(u32::try_from(index).expect("short"));
                found(class, way);
                way.pop();
            }
        }
        Node::Library(value, ..) => visit_library(value, class, way, found),
        _ => found(class, way),
    }
}

fn visit_library(value: &Value, class: &str, way: &mut Way, found: &mut dyn FnMut(&str, &Way)) {
    match value {
        Value::Array(values) => {
            if !values.is_empty() && !is_digest(values) {
                found(&format!("{class} (list)"), way);
            }
            for (index, value) in values.iter().enumerate() {
                way.push(u32::try_from(index).expect("short"));
                visit_library(value, class, way, found);
                way.pop();
            }
        }
        Value::Object(fields) => {
            for (index, (name, value)) in fields.iter().enumerate() {
                way.push(u32::try_from(index).expect("short"));
                visit_library(value, &format!("{class}.{name}"), way, found);
                way.pop();
            }
        }
        // Types that hold nothing.
        Value::Null => {}
        Value::Bool(_) | Value::String(_) => panic!("no such thing in {class}"),
        Value::Number(_) => found(class, way),
    }
}

/// Whether numbers are the bytes of a digest.
fn is_digest(values: &[Value]) -> bool {
    values.len() == 32 && values.iter().all(|value| value.as_u64().is_some_and(|number| number < 256))
}

fn visit_nodes(node: &Node, way: &mut Way, found: &mut impl FnMut(&Node, &Way)) {
    found(node, way);
    if let Node::List(nodes) = node {
        for (index, node) in nodes.iter().enumerate() {
            way.push(u32::try_from(index).expect("short"));
            visit_nodes(node, way, found);
            way.pop();
        }
    }
}

/// The last item of CBOR on a way, and the rest of the way.
fn at<'n, 'w>(node: &'n mut Node, way: &'w [u32]) -> (&'n mut Node, &'w [u32]) {
    match (node, way.split_first()) {
        (Node::List(nodes), Some((index, behind))) => at(&mut nodes[*index as usize], behind),
        (node, _) => (node, way),
    }
}

/// The value at the end of a way within what the library wrote.
fn within<'v>(value: &'v mut Value, way: &[u32]) -> &'v mut Value {
    way.iter().fold(value, |value, index| match value {
        Value::Array(values) => &mut values[*index as usize],
        Value::Object(fields) => fields.values_mut().nth(*index as usize).expect("as it was read"),
        _ => panic!("nothing below a number"),
    })
}

/// Changes a field; says how, or that there is no way to.
fn change(node: &mut Node, rest: &[u32], random: &mut Random) -> Option<&'static str> {
    match (node, rest) {
        (Node::List(nodes), _) => change_list(nodes, random),
        (Node::Elements(elements), []) => change_list(elements, random),
        (Node::Elements(elements), rest) => {
            let coordinate = &mut elements[rest[0] as usize][index_below(5, random)];
            *coordinate = other_element(*coordinate, random);
            Some("element changed")
        }
        (Node::Unsigned(number), _) => {
            let bits = u64::from(64 - number.leading_zeros());
            *number ^= 1 << random.below(bits + 2).min(63);
            Some("number changed")
        }
        (Node::Negative(number), _) => {
            *number ^= 1 << random.below(8);
            Some("number changed")
        }
        (Node::Bytes(bytes) | Node::Raw(bytes), _) => {
            let place = index_below(bytes.len().max(1), random);
            *bytes.get_mut(place)? ^= 1 << random.below(8);
            Some("bit changed")
        }
        (Node::Text(text), _) => {
            if text.pop().is_none() {
                text.push('x');
            }
            Some("text changed")
        }
        (Node::Library(..), _) => unreachable!("changed by itself"),
    }
}

fn change_library(value: &mut Value, way: &[u32], random: &mut Random) -> Option<&'static str> {
    let digest = way
        .split_last()
        .is_some_and(|(_, above)| matches!(within(value, above), Value::Array(values) if is_digest(values)));
    match within(value, way) {
        Value::Array(values) => change_list(values, random),
        number => {
            let old =
                number.as_u64().and_then(|number| u32::try_from(number).ok()).expect("an element, or a byte");
            let new = if digest { old ^ 1 << random.below(8) } else { other_element(old, random) };
            *number = new.into();
            Some(if digest { "digest changed" } else { "element changed" })
        }
    }
}

/// A list with an element too few, or one twice, or two the other way round, or cut, or another element in the place of one.
fn change_list<T: Clone + PartialEq>(list: &mut Vec<T>, random: &mut Random) -> Option<&'static str> {
    if list.is_empty() {
        return None;
    }
    let (one, other) = (index_below(list.len(), random), index_below(list.len(), random));
    match random.below(5) {
        0 => {
            list.remove(one);
            Some("dropped")
        }
        1 => {
            list.insert(one, list[one].clone());
            Some("twice")
        }
        2 if list[one] != list[other] => {
            list.swap(one, other);
            Some("swapped")
        }
        3 if list[one] != list[other] => {
            list[one] = list[other].clone();
            Some("replaced")
        }
        _ => {
            list.truncate(one);
            Some("cut")
        }
    }
}

fn index_below(limit: usize, random: &mut Random) -> usize {
    usize::try_from(random.below(limit as u64)).expect("below a usize")
}

/// Another number below the field's order.
fn other_element(number: u32, random: &mut Random) -> u32 {
    let order = u64::from(Element::ORDER_U32);
    u32::try_from((u64::from(number) + 1 + random.below(order - 1)) % order).expect("below the order")
}
