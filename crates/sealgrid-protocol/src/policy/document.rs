//! A policy as a person writes it: TOML, every key optional but `version`, no key unknown.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::{Table, Value};

use super::{DEADLINE_MS_MAX, Limits, OnDispute, Policy, REGIONS_MAX, Referee, VERSION};
use crate::claims::RECORDS_MAX;
use crate::directory::{NodeRule, Region, WITNESSES_MAX};
use crate::names::UnknownWord;

/// Most bytes of a policy document.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;

const TOP: &[&str] =
    &["version", "protection", "verification", "on_dispute", "referee", "witnesses_min", "nodes", "limits"];
const NODES: &[&str] = &["regions_allowed", "regions_denied", "operators_distinct", "hardware_required"];
const LIMITS: &[&str] = &["deadline_ms", "records_max", "bytes_max", "node_ms_max"];

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `limits.deadline_ms`, `--verify`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// Why a document is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error("policy has {0} bytes where at most {DOCUMENT_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not TOML.
    #[error("policy is not TOML at line {line}: {what}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// TOML, but not a policy: all that is wrong.
    #[error("policy is refused: {}", list(.0))]
    Problems(Vec<Problem>),
}

impl PolicyError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::Syntax { .. } => "E-POL-01",
            Self::Problems(_) => "E-POL-03",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.key, self.what, self.hint)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

pub(super) fn from_flags(protect: Option<&str>, verify: Option<&str>) -> Result<Policy, PolicyError> {
    let mut policy = Policy::default();
    let mut problems = Vec::new();
    if let Some(word) = protect {
        read_word("--protect", word, &mut policy.protection, &mut problems);
    }
    if let Some(word) = verify {
        read_word("--verify", word, &mut policy.verification, &mut problems);
    }
    if problems.is_empty() { Ok(policy) } else { Err(PolicyError::Problems(problems)) }
}

pub(super) fn from_toml(text: &str) -> Result<Policy, PolicyError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(PolicyError::TooLong(text.len()));
    }
    let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
    let mut problems = Vec::new();
    let policy = read(&table, &mut problems);
    if problems.is_empty() { Ok(policy) } else { Err(PolicyError::Problems(problems)) }
}

fn syntax(text: &str, error: &toml::de::Error) -> PolicyError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
    PolicyError::Syntax { line, what: error.message().to_owned() }
}

fn read(table: &Table, problems: &mut Vec<Problem>) -> Policy {
    let empty = Table::new();
    let nodes = sub_table(table, "nodes", &empty, problems);
    let limits = sub_table(table, "limits", &empty, problems);
    let default = Policy::default();
    let mut top = Reader { table, path: "", problems };
    top.refuse_unknown(TOP);
    top.require_version();
    let mut policy = Policy {
        version: VERSION,
        protection: top.word("protection", default.protection),
        verification: top.word("verification", default.verification),
        on_dispute: top.word("on_dispute", default.on_dispute),
        referee: top.word("referee", default.referee),
        witnesses_min: top
            .integer("witnesses_min", 0..=WITNESSES_MAX as u64)
            .map_or(default.witnesses_min, |count| u8::try_from(count).expect("at most 16")),
        ..default
    };
    let mut reader = Reader { table: nodes, path: "nodes.", problems };
    policy.nodes = read_nodes(&mut reader, &policy.nodes);
    let mut reader = Reader { table: limits, path: "limits.", problems };
    policy.limits = read_limits(&mut reader, policy.limits);
    policy
}

fn read_nodes(reader: &mut Reader<'_>, default: &NodeRule) -> NodeRule {
    reader.refuse_unknown(NODES);
    NodeRule {
        regions_allowed: reader.regions("regions_allowed"),
        regions_denied: reader.regions("regions_denied"),
        operators_distinct: reader.flag("operators_distinct", default.operators_distinct),
        hardware_required: reader.flag("hardware_required", default.hardware_required),
    }
}

fn read_limits(reader: &mut Reader<'_>, default: Limits) -> Limits {
    let whole = 1..=i64::MAX.unsigned_abs();
    reader.refuse_unknown(LIMITS);
    Limits {
        deadline_ms: reader.integer("deadline_ms", 1..=DEADLINE_MS_MAX).unwrap_or(default.deadline_ms),
        records_max: reader
            .integer("records_max", 1..=u64::from(RECORDS_MAX))
            .map_or(default.records_max, |count| u32::try_from(count).expect("at most 2^24")),
        bytes_max: reader.integer("bytes_max", whole.clone()),
        node_ms_max: reader.integer("node_ms_max", whole),
    }
}

fn sub_table<'a>(table: &'a Table, key: &str, empty: &'a Table, problems: &mut Vec<Problem>) -> &'a Table {
    match table.get(key) {
        None => empty,
        Some(Value::Table(inner)) => inner,
        Some(_) => {
            problems.push(problem(key, "is not a table", &format!("write [{key}] on a line of its own")));
            empty
        }
    }
}

/// Reads one table and notes what is wrong instead of stopping: a person sees all problems at once.
struct Reader<'a> {
    table: &'a Table,
    path: &'static str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let nearest = known.iter().min_by_key(|candidate| strsim::damerau_levenshtein(key, candidate));
            let hint = match nearest {
                Some(nearest) if strsim::damerau_levenshtein(key, nearest) <= 3 => {
                    format!("did you mean {nearest}?")
                }
                _ => format!("known are {}", known.join(", ")),
            };
            self.problems.push(problem(&format!("{}{}", self.path, printable(key)), "is unknown", &hint));
        }
    }

    fn require_version(&mut self) {
        if self.table.get("version").and_then(Value::as_integer) != Some(i64::from(VERSION)) {
            self.note("version", "is absent or not 1", "write version = 1 as the first line");
        }
    }

    fn word<T: FromStr<Err = UnknownWord>>(&mut self, key: &'static str, default: T) -> T {
        let mut value = default;
        match self.table.get(key) {
            None => {}
            Some(Value::String(word)) => read_word(key, word, &mut value, self.problems),
            Some(_) => self.note(key, "is not a text", "put it in quotes"),
        }
        value
    }

    fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.table.get(key)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let hint = format!("a whole number from {} to {}", range.start(), range.end());
            self.note(key, "is no number within its bounds", &hint);
        }
        number
    }

    fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.table.get(key) {
            None => default,
            Some(Value::Boolean(flag)) => *flag,
            Some(_) => {
                self.note(key, "is neither true nor false", "write it without quotes");
                default
            }
        }
    }

    fn regions(&mut self, key: &'static str) -> Vec<Region> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let texts = value.as_array().filter(|array| array.len() <= REGIONS_MAX);
        let regions = texts.and_then(|array| {
            array.iter().map(|item| Region::new(item.as_str()?).ok()).collect::<Option<Vec<_>>>()
        });
        let Some(mut regions) = regions else {
            let hint = "at most 64 such as [\"EU\", \"US-CA\"], in capital letters";
            self.note(key, "is not a list of regions", hint);
            return Vec::new();
        };
        regions.sort_unstable();
        regions.dedup();
        regions
    }

    fn note(&mut self, key: &str, what: &str, hint: &str) {
        self.problems.push(problem(&format!("{}{key}", self.path), what, hint));
    }
}

fn read_word<T: FromStr<Err = UnknownWord>>(
    key: &str,
    word: &str,
    into: &mut T,
    problems: &mut Vec<Problem>,
) {
    match word.parse() {
        Ok(value) => *into = value,
        Err(unknown) => {
            let what = format!("does not know \"{}\"", printable(word));
            problems.push(problem(key, &what, &unknown.to_string()));
        }
    }
}

fn problem(key: &str, what: &str, hint: &str) -> Problem {
    Problem { key: key.to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

/// The first letters of what somebody wrote, safe to print.
fn printable(text: &str) -> String {
    text.chars().take(32).flat_map(char::escape_debug).collect()
}

impl FromStr for OnDispute {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "majority" => Ok(Self::Majority),
            "refuse" => Ok(Self::Refuse),
            _ => Err(UnknownWord { expected: "majority or refuse" }),
        }
    }
}

impl FromStr for Referee {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "either" => Ok(Self::Either),
            "client" => Ok(Self::Client),
            "reserve" => Ok(Self::Reserve),
            _ => Err(UnknownWord { expected: "either, client or reserve" }),
        }
    }
}

/// Reads any bytes as a document and as canonical bytes: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(policy) =
        std::str::from_utf8(bytes).map_err(|_| ()).and_then(|text| from_toml(text).map_err(|_| ()))
    {
        assert_eq!(Policy::decode(&policy.encode()), Ok(policy), "what a person wrote has a canonical form");
    }
    if let Ok(policy) = Policy::decode(bytes) {
        assert_eq!(policy.encode(), bytes, "a policy has one spelling");
    }
}
