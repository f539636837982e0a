//! The table of calls: number, name, limits and deadline of each. No macros: a service is a match on the number.

use std::time::Duration;

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Number on the wire; never reused for another meaning.
    pub id: u16,
    /// Label in metrics and logs.
    pub name: &'static str,
    /// Most bytes of a request's body.
    pub request_bytes_max: u32,
    /// Most bytes of a response's body.
    pub response_bytes_max: u32,
    /// Longest time from the call to the answer, queueing and connecting included.
    pub deadline: Duration,
}

/// The method of a number, if the table has it.
#[must_use]
pub fn find(table: &'static [Method], id: u16) -> Option<&'static Method> {
    table.iter().find(|method| method.id == id)
}
