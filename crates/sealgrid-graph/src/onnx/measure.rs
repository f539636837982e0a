//! Counts the messages of a file before they are decoded: a message of two bytes becomes a structure of some
//! hundred, so their number must be bounded first for memory to stay in proportion to the file.

/// Most messages (nodes, attributes, tensors, dimensions, …) of a file.
pub const MESSAGES_MAX: usize = 1 << 18;

/// Whether the file has at most [`MESSAGES_MAX`] messages; `None` when it is not well-formed.
pub fn within_limit(bytes: &[u8]) -> Option<bool> {
    let mut left = MESSAGES_MAX;
    count(bytes, MODEL, &mut left).map(|()| left > 0)
}

/// The fields of a message that are messages themselves.
type Schema = fn(u64) -> Option<Children>;

enum Children {
    Nested(Schema),
    Leaf,
}

const MODEL: Schema = |field| match field {
    7 => Some(Children::Nested(GRAPH)),
    8 => Some(Children::Leaf),
    _ => None,
};
const GRAPH: Schema = |field| match field {
    1 => Some(Children::Nested(NODE)),
    5 => Some(Children::Nested(TENSOR)),
    11 | 12 => Some(Children::Nested(VALUE)),
    15 => Some(Children::Leaf),
    _ => None,
};
const NODE: Schema = |field| match field {
    // Names are strings, but as small as a message of a few bytes.
    1 | 2 => Some(Children::Leaf),
    5 => Some(Children::Nested(ATTRIBUTE)),
    _ => None,
};
const ATTRIBUTE: Schema = |field| match field {
    5 => Some(Children::Nested(TENSOR)),
    6 | 11 | 22 => Some(Children::Leaf),
    _ => None,
};
const TENSOR: Schema = |field| match field {
    3 | 13 => Some(Children::Leaf),
    _ => None,
};
/// Value, its type, its tensor type and its shape: the nested fields of all four are 1 or 2.
const VALUE: Schema = |field| match field {
    2 => Some(Children::Nested(|field| match field {
        1 => Some(Children::Nested(|field| match field {
            2 => Some(Children::Nested(|field| match field {
                1 => Some(Children::Leaf),
                _ => None,
            })),
            _ => None,
        })),
        _ => None,
    })),
    _ => None,
};

/// Takes one from `left` for each message; stops early when none is left.
fn count(mut bytes: &[u8], schema: Schema, left: &mut usize) -> Option<()> {
    while !bytes.is_empty() && *left > 0 {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                match schema(key >> 3) {
                    None => {}
                    Some(Children::Leaf) => *left -= 1,
                    Some(Children::Nested(inner)) => {
                        *left -= 1;
                        count(content, inner, left)?;
                    }
                }
            }
            5 => bytes = bytes.get(4..)?,
            // Groups are not part of the schema.
            _ => return None,
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
