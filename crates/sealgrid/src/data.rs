//! Records in and results out: CSV with a header, NumPy `.npy`, JSON.
//!
//! A file becomes a [`Records`]: named columns of finite numbers. What is wrong with a file is said with
//! its row and column, and nothing is sent anywhere before the whole file is read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::Failure;

/// Most columns of a record.
const COLUMNS_MAX: usize = 1 << 16;

/// Named columns, one row a record, every element finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Column names; `None` where the format has none (`.npy`).
    pub columns: Option<Vec<String>>,
    /// Rows of equal length.
    pub rows: Vec<Vec<f64>>,
    /// Values of the column that identifies records, when one was named; never sent to a node.
    pub ids: Option<Vec<String>>,
}

impl Records {
    /// Reads the bytes of a data file; `extension` names the format.
    pub fn parse(bytes: &[u8], extension: &str, id_column: Option<&str>) -> Result<Self, Failure> {
        let records = match extension {
            "csv" => from_csv(bytes, id_column),
            "npy" => from_npy(bytes),
            "json" => from_json(bytes, id_column),
            other => Err(Failure::new("E-DAT-01", format!("data format `{}` is not known", shown(other)))
                .why("known are .csv (with a header), .npy and .json")),
        }?;
        if records.rows.is_empty() {
            return Err(Failure::new("E-DAT-03", "the file holds no record"));
        }
        Ok(records)
    }

    /// The columns that a model asks for, in its order, and the names of the columns left out.
    ///
    /// A file without column names is taken by position and must have exactly as many columns.
    pub fn select(&self, wanted: &[String]) -> Result<(Vec<Vec<f64>>, Vec<String>), Failure> {
        let Some(columns) = &self.columns else {
            let found = self.rows.first().map_or(0, Vec::len);
            if found != wanted.len() {
                return Err(Failure::new(
                    "E-DAT-04",
                    format!("{found} columns where the model takes {}", wanted.len()),
                ));
            }
            return Ok((self.rows.clone(), Vec::new()));
        };
        let positions: Vec<Option<usize>> =
            wanted.iter().map(|name| columns.iter().position(|column| column == name)).collect();
        let missing: Vec<&str> = wanted
            .iter()
            .zip(&positions)
            .filter(|(_, position)| position.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(Failure::new("E-DAT-04", format!("missing columns: {}", shortened(&missing)))
                .why(format!("the model takes {} columns by name", wanted.len()))
                .hint("sealgrid model inspect MODEL.sgm"));
        }
        let positions: Vec<usize> = positions.into_iter().flatten().collect();
        let rows = self.rows.iter().map(|row| positions.iter().map(|&at| row[at]).collect()).collect();
        let unused = columns.iter().filter(|column| !wanted.contains(column)).cloned().collect();
        Ok((rows, unused))
    }

    /// One column by name.
    pub fn column(&self, name: &str) -> Option<Vec<f64>> {
        let at = self.columns.as_ref()?.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(|row| row[at]).collect())
    }
}

/// A cell of a result: a number, or a text such as a class label.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// A format of results.
#[derive(Debug, Clone, Copy)]
pub enum Format {
    /// With a header.
    Csv,
    /// An array of objects, one a record.
    Json,
    /// The numeric columns.
    Npy,
}

impl Format {
    /// By the extension.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        match extension(path) {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "npy" => Ok(Self::Npy),
            other => Err(Failure::new("E-DAT-01", format!("data format `{}` is not known", shown(other)))
                .why("known are .csv, .npy and .json")
                .hint(format!("name the file {}", path.with_extension("csv").display()))),
        }
    }
}

/// Results with named columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows of equal length.
    pub rows: Vec<Vec<Cell>>,
}

impl Results {
    /// The bytes of a file.
    pub fn to_bytes(&self, format: Format) -> Result<Vec<u8>, Failure> {
        match format {
            Format::Csv => self.to_csv(),
            Format::Json => Ok(format!("{:#}\n", self.to_json()).into_bytes()),
            Format::Npy => self.to_npy(),
        }
    }

    /// An array of objects, one a record.
    pub fn to_json(&self) -> serde_json::Value {
        let object = |row: &Vec<Cell>| {
            self.columns
                .iter()
                .cloned()
                .zip(row.iter().map(Cell::json))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        serde_json::Value::Array(self.rows.iter().map(object).collect())
    }

    fn to_csv(&self) -> Result<Vec<u8>, Failure> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Failure::new("E-STO-01", "cannot write the results").why(error);
        writer.write_record(&self.columns).map_err(failed)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::text)).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Failure::new("E-STO-01", "cannot write the results").why(error))
    }

    fn to_npy(&self) -> Result<Vec<u8>, Failure> {
        use npyz::WriterBuilder as _;
        let failed = |error: std::io::Error| Failure::new("E-STO-01", "cannot write the results").why(error);
        let numeric: Vec<usize> = (0..self.columns.len())
            .filter(|&at| self.rows.iter().all(|row| matches!(row[at], Cell::Number(_))))
            .collect();
        let mut bytes = Vec::new();
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[self.rows.len() as u64, numeric.len() as u64])
            .writer(&mut bytes)
            .begin_nd()
            .map_err(failed)?;
        for row in &self.rows {
            for &at in &numeric {
                if let Cell::Number(number) = row[at] {
                    writer.push(&number).map_err(failed)?;
                }
            }
        }
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => serde_json::json!(number),
            Self::Text(text) => serde_json::json!(text),
        }
    }
}

/// The first few names of a list, and how many there are when that is not all.
fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

/// The extension that names a format.
pub fn extension(path: &Path) -> &str {
    path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or("")
}

/// Most characters of a name from a file that are repeated.
const NAME_SHOWN: usize = 40;

/// A name from a file as it may stand in a message: on one line, and not longer than one.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(NAME_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What a column is called in a message: its name, unless that is a number, and so perhaps a value of a record in a file without a header.
fn called(columns: &[String], at: usize) -> String {
    match &columns[at] {
        name if name.parse::<f64>().is_ok() => format!("number {}", at + 1),
        name => shown(name),
    }
}

fn from_csv(bytes: &[u8], id_column: Option<&str>) -> Result<Records, Failure> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let malformed = |error: csv::Error| Failure::new("E-DAT-05", "not a CSV file").why(csv_reason(&error));
    let header: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
    let id_at = position_of_id(&header, id_column)?;
    let columns: Vec<String> = without(&header, id_at);
    check_header(&columns)?;
    let (mut rows, mut ids) = (Vec::new(), Vec::new());
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(malformed)?;
        let mut row = Vec::with_capacity(columns.len());
        for (at, field) in record.iter().enumerate() {
            if Some(at) == id_at {
                ids.push(field.to_owned());
            } else {
                // header is line 1, so the first record stands in row 2 of a spreadsheet
                row.push(number(field, index + 2, || called(&header, at))?);
            }
        }
        rows.push(row);
    }
    Ok(Records { columns: Some(columns), rows, ids: id_at.map(|_| ids) })
}

/// What is wrong, without the content of the file.
fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "row {} has {len} fields where the header has {expected_len}",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("row {} is not UTF-8", pos.as_ref().map_or(0, csv::Position::line))
        }
        _ => "the file breaks the CSV rules".to_owned(),
    }
}

fn check_header(columns: &[String]) -> Result<(), Failure> {
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(Failure::new(
            "E-DAT-05",
            format!("{} columns, allowed are 1 to {COLUMNS_MAX}", columns.len()),
        ));
    }
    if columns.iter().all(|column| column.parse::<f64>().is_ok()) {
        return Err(Failure::new("E-DAT-05", "the first row holds numbers where column names are expected")
            .hint("add a header row; see `sealgrid model inspect MODEL.sgm` for the names"));
    }
    let mut first = BTreeMap::new();
    for (at, column) in columns.iter().enumerate() {
        if first.insert(column, at).is_some() {
            return Err(Failure::new("E-DAT-05", format!("column `{}` appears twice", called(columns, at))));
        }
    }
    Ok(())
}

fn position_of_id(header: &[String], id_column: Option<&str>) -> Result<Option<usize>, Failure> {
    let Some(name) = id_column else { return Ok(None) };
    match header.iter().position(|column| column == name) {
        Some(at) => Ok(Some(at)),
        None => {
            Err(Failure::new("E-DAT-04", format!("missing column: {name}")).why("it was named with --id-col"))
        }
    }
}

fn without(header: &[String], at: Option<usize>) -> Vec<String> {
    header.iter().enumerate().filter(|(index, _)| Some(*index) != at).map(|(_, name)| name.clone()).collect()
}

fn number(field: &str, row: usize, column: impl Fn() -> String) -> Result<f64, Failure> {
    let wrong = |what| Failure::new("E-DAT-02", format!("row {row} column {}: {what}", column()));
    match field.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => {
            Err(wrong("not a finite number").hint("remove the row or fill in the value; nothing was sent"))
        }
        Err(_) if field.is_empty() => {
            Err(wrong("empty").hint("remove the row or fill in the value; nothing was sent"))
        }
        Err(_) => Err(wrong("not a number")
            .hint("name a text column that identifies records with --id-col; nothing was sent")),
    }
}

fn from_npy(bytes: &[u8]) -> Result<Records, Failure> {
    let malformed = |why: String| Failure::new("E-DAT-05", "not a NumPy file this program reads").why(why);
    // The reader makes room for the header before it reads it, and takes a time for it that doubles with every bracket.
    let header = npy_header_end(bytes).and_then(|end| bytes.get(..end));
    let header = header.ok_or_else(|| malformed("the file is shorter than its header".to_owned()))?;
    let brackets = header.iter().filter(|byte| b"([{".contains(byte)).count();
    if brackets > NPY_BRACKETS_MAX || header.len() > NPY_HEADER_BYTES_MAX {
        return Err(malformed("its header is not that of a plain array".to_owned()));
    }
    let file = npyz::NpyFile::new(bytes).map_err(|error| malformed(error.to_string()))?;
    let shape: Vec<u64> = file.shape().to_vec();
    if file.order() != npyz::Order::C || shape.is_empty() {
        return Err(malformed("the array must be in C order with records on the first axis".to_owned()));
    }
    let each = file.dtype().num_bytes().map_or(1, |each| each.max(1) as u64);
    let length = shape.iter().try_fold(each, |product, &axis| product.checked_mul(axis));
    // a header that claims more elements than the file has bytes is a lie
    if length.is_none_or(|length| length > bytes.len() as u64) {
        return Err(malformed("the header claims more elements than the file holds".to_owned()));
    }
    let held = bytes.len() - header.len();
    if length.is_some_and(|length| length != held as u64) && file.dtype().num_bytes().is_some() {
        return Err(malformed("the file holds more or fewer bytes than its header says".to_owned()));
    }
    let flat = npy_numbers(file).map_err(malformed)?;
    let records = usize::try_from(shape[0]).unwrap_or(0);
    let width = flat.len().checked_div(records).unwrap_or(0);
    for (at, value) in flat.iter().enumerate() {
        if !value.is_finite() {
            return Err(Failure::new(
                "E-DAT-02",
                format!("row {} column {}: not a finite number", at / width, at % width),
            ));
        }
    }
    let rows = if width == 0 { Vec::new() } else { flat.chunks(width).map(<[f64]>::to_vec).collect() };
    Ok(Records { columns: None, rows, ids: None })
}

/// Where the header ends: behind magic, version, its length (2 bytes in version 1, 4 bytes from 2 on) and itself.
fn npy_header_end(bytes: &[u8]) -> Option<usize> {
    match bytes.strip_prefix(b"\x93NUMPY")? {
        [1, _, a, b, ..] => Some(10 + usize::from(u16::from_le_bytes([*a, *b]))),
        [_, _, a, b, c, d, ..] => usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?.checked_add(12),
        _ => None,
    }
}

/// Opening brackets in the header of a plain array: one of the dictionary, one of the shape (NEP 1).
const NPY_BRACKETS_MAX: usize = 2;
/// Bytes of such a header at most, with magic and padding.
const NPY_HEADER_BYTES_MAX: usize = 4096;

fn npy_numbers(file: npyz::NpyFile<&[u8]>) -> Result<Vec<f64>, String> {
    let npyz::DType::Plain(kind) = file.dtype() else { return Err("a record array".to_owned()) };
    let text = |error: std::io::Error| error.to_string();
    match (kind.type_char(), kind.num_bytes()) {
        (npyz::TypeChar::Float, Some(8)) => file.into_vec::<f64>().map_err(text),
        (npyz::TypeChar::Float, Some(4)) => Ok(widen(file.into_vec::<f32>().map_err(text)?)),
        (npyz::TypeChar::Int, Some(4)) => Ok(widen(file.into_vec::<i32>().map_err(text)?)),
        (npyz::TypeChar::Int, Some(2)) => Ok(widen(file.into_vec::<i16>().map_err(text)?)),
        (npyz::TypeChar::Int, Some(1)) => Ok(widen(file.into_vec::<i8>().map_err(text)?)),
        (npyz::TypeChar::Uint, Some(1)) => Ok(widen(file.into_vec::<u8>().map_err(text)?)),
        _ => Err("element type is not f8, f4, i4, i2, i1 or u1".to_owned()),
    }
}

fn widen<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Into::into).collect()
}

fn from_json(bytes: &[u8], id_column: Option<&str>) -> Result<Records, Failure> {
    let malformed = |why: String| Failure::new("E-DAT-05", "not a JSON file of records").why(why);
    let rows: Vec<JsonRow> = serde_json::from_slice(bytes).map_err(|error| {
        let expected = match error.to_string().starts_with(NAMED_TWICE) {
            true => NAMED_TWICE,
            false => "expected [{\"column\": number, …}, …]",
        };
        malformed(format!("{expected}; line {}", error.line()))
    })?;
    let rows: Vec<_> = rows.into_iter().map(|row| row.0).collect();
    let Some(first) = rows.first() else {
        return Err(Failure::new("E-DAT-03", "the file holds no record"));
    };
    let header: Vec<String> = first.keys().cloned().collect();
    let id_at = position_of_id(&header, id_column)?;
    let columns = without(&header, id_at);
    check_header(&columns)?;
    let (mut out, mut ids) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        if row.len() != header.len() {
            return Err(malformed(format!("record {index} has other columns than record 0")));
        }
        if let Some(at) = id_at {
            ids.push(row.get(&header[at]).map(json_text).unwrap_or_default());
        }
        let mut numbers = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            match row.get(column).and_then(serde_json::Value::as_f64) {
                Some(number) if number.is_finite() => numbers.push(number),
                _ => {
                    return Err(Failure::new(
                        "E-DAT-02",
                        format!("record {index} column {}: not a number", called(&columns, at)),
                    ));
                }
            }
        }
        out.push(numbers);
    }
    Ok(Records { columns: Some(columns), rows: out, ids: id_at.map(|_| ids) })
}

/// What a record is refused for that says a thing twice; which of the two would count is anybody's guess.
const NAMED_TWICE: &str = "a record names a column twice";

/// A record as it stands, with every name once.
struct JsonRow(serde_json::Map<String, serde_json::Value>);

impl<'de> serde::Deserialize<'de> for JsonRow {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> serde::de::Visitor<'de> for Row {
            type Value = JsonRow;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<JsonRow, A::Error> {
                let mut row = serde_json::Map::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if row.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom(NAMED_TWICE));
                    }
                }
                Ok(JsonRow(row))
            }
        }
        from.deserialize_map(Row)
    }
}

fn json_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Failure {
    /// Names the file a data error was found in.
    pub fn context(mut self, path: &Path) -> Self {
        self.what = format!("{}: {}", path.display(), self.what);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(csv: &str, expected: &str) {
        let failure = from_csv(csv.as_bytes(), None).expect_err("the file is wrong");
        assert_eq!(format!("{} {}", failure.code, failure.what), expected);
    }

    #[test]
    fn a_wrong_cell_is_named_by_row_and_column() {
        check("a,b\n1,2\n3,NaN\n", "E-DAT-02 row 3 column b: not a finite number");
        check("a,b\n1,inf\n", "E-DAT-02 row 2 column b: not a finite number");
        check("a,b\n1,\n", "E-DAT-02 row 2 column b: empty");
        check("a,b\nx,1\n", "E-DAT-02 row 2 column a: not a number");
    }

    #[test]
    fn a_wrong_file_is_refused_as_a_whole() {
        check("a,b\n1,2,3\n", "E-DAT-05 not a CSV file");
        check("a,a\n1,2\n", "E-DAT-05 column `a` appears twice");
        check("1,2\n3,4\n", "E-DAT-05 the first row holds numbers where column names are expected");
        // Without a header the first row holds values, which no message repeats.
        check("7,7\n3,4\n", "E-DAT-05 the first row holds numbers where column names are expected");
        check("a,7,7\n3,4,5\n", "E-DAT-05 column `number 3` appears twice");
        check("a,7\n3,x\n", "E-DAT-02 row 2 column number 2: not a number");
        // A name cannot clear the screen, nor fill it.
        check("a,\u{1b}[2J\n1,x\n", "E-DAT-02 row 2 column \\u{1b}[2J: not a number");
        let long = format!("{}\nx\n", "b".repeat(99));
        check(&long, &format!("E-DAT-02 row 2 column {}…: not a number", "b".repeat(40)));
        let json = from_json(b"{", None).expect_err("not JSON");
        assert_eq!(json.code, "E-DAT-05");
        for twice in ["[{\"a\":1,\"a\":2}]", "[{\"a\":1},{\"a\":1,\"a\":2}]"] {
            let why = from_json(twice.as_bytes(), None).expect_err("which one?").why.expect("a reason");
            assert!(why.starts_with(NAMED_TWICE), "{why}");
        }
        assert_eq!(from_json(b"[]", None).expect_err("no record").code, "E-DAT-03");
        let npy = from_npy(b"\x93NUMPY").expect_err("truncated");
        assert_eq!(npy.code, "E-DAT-05");
        // Headers that claim more than there is, in all three versions, are refused before room is made for them.
        for claim in [&b"\x01\x00\xff\xff"[..], b"\x02\x00\xff\xff\xff\xff", b"\x03\x00\x00\x00\x00\xff"] {
            let npy = from_npy(&[b"\x93NUMPY", claim, b"{"].concat()).expect_err("short");
            assert_eq!(npy.why.as_deref(), Some("the file is shorter than its header"));
        }
    }

    #[test]
    fn columns_are_chosen_by_name_and_the_rest_is_left_behind() {
        let records = from_csv(b"id,b,a,label\np1,2,1,0\n", Some("id")).expect("a good file");
        assert_eq!(records.ids, Some(vec!["p1".to_owned()]));
        let (rows, unused) = records.select(&["a".to_owned(), "b".to_owned()]).expect("both are there");
        assert_eq!((rows, unused), (vec![vec![1.0, 2.0]], vec!["label".to_owned()]));
        let failure = records.select(&["a".to_owned(), "lactate".to_owned()]).expect_err("one is missing");
        assert_eq!((failure.code.as_str(), failure.what.as_str()), ("E-DAT-04", "missing columns: lactate"));
    }

    #[test]
    fn results_survive_each_format() {
        let results = Results {
            columns: vec!["class".to_owned(), "score".to_owned()],
            rows: vec![vec![Cell::Text("benign, mild".to_owned()), Cell::Number(0.25)]],
        };
        assert_eq!(
            String::from_utf8(results.to_csv().expect("in memory")).expect("text"),
            "class,score\n\"benign, mild\",0.25\n"
        );
        let bytes = results.to_npy().expect("in memory");
        assert_eq!(from_npy(&bytes).expect("our own file").rows, vec![vec![0.25]]);
        for other in [&bytes[..bytes.len() - 1], &[&bytes[..], b"x"].concat()] {
            assert_eq!(from_npy(other).expect_err("cut, or with more").code, "E-DAT-05");
        }
        assert_eq!(results.to_json().to_string(), r#"[{"class":"benign, mild","score":0.25}]"#);
    }

    #[test]
    fn the_corpus_is_replayed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/data");
        for entry in std::fs::read_dir(folder).expect("a committed corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("an input");
            for (format, id) in
                [("csv", None), ("csv", Some("id")), ("npy", None), ("json", None), ("json", Some("id"))]
            {
                let Ok(records) = Records::parse(&bytes, format, id) else { continue };
                let width = records.rows[0].len();
                assert!(records.rows.iter().all(|row| row.len() == width));
                assert!(records.rows.iter().flatten().all(|cell| cell.is_finite()));
            }
        }
    }
}
