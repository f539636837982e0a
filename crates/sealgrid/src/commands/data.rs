//! `sealgrid data`: files at rest, sealed to keys that only their owners hold (docs/spec/seal.md, objects at rest).
//!
//! Whatever is written is written whole or not at all ([`Place`]), so that a full disk or a killed process leaves either the
//! old file or the new one. Content passes through in pieces; a file of any size needs little memory.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use sealgrid_node::keys::has_store;
use sealgrid_seal::envelope::{JobKeyPair, JobPublicKey};
use sealgrid_seal::keystore::{KeyStore, PublicKey, Purpose};
use sealgrid_seal::rest::{Reader, RestError, Writer, rewrap};
use sealgrid_seal::secret::SecretBytes;

use super::key;
use crate::data::{Format, Records, Results, extension};
use crate::failure::{Failure, unreadable, unwritable};
use crate::files::{self, BYTES_MAX, Place, too_large};
use crate::home::Home;
use crate::output::{Output, Report};
use crate::passphrase;

/// Bytes that are read, sealed or opened at a time.
const PIECE: u64 = 1 << 20;
/// A public key in hexadecimal, and a line's end.
const PUBLIC_LENGTH_MAX: u64 = 2 * JobPublicKey::LENGTH as u64 + 2;

/// Seal files at rest to keys that only you hold, and open them.
#[derive(Debug, clap::Args)]
pub struct DataCommand {
    /// File whose first line is the passphrase; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    action: DataAction,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum DataAction {
    /// Seal a file; the file itself stays.
    Seal {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        to: Recipients,
        /// The sealed file [default: the file's name and `.sealed`].
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Open a sealed file with whichever of your keys it is sealed to.
    Open {
        /// The sealed file.
        file: PathBuf,
        /// The file in the clear.
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// Seal a sealed file to other keys, without touching its content. Who could open it before keeps what was read
    /// before.
    Rewrap {
        /// The sealed file.
        file: PathBuf,
        #[command(flatten)]
        to: Recipients,
    },
}

/// Who may open.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Recipients {
    /// Name or identifier of a storage key of yours; again for more.
    #[arg(long = "to", value_name = "KEY")]
    keys: Vec<String>,
    /// File with somebody's public storage key, as `sealgrid key show` prints it; again for more.
    #[arg(long = "to-public", value_name = "FILE")]
    public: Vec<PathBuf>,
}

impl DataCommand {
    /// Carries out the command.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let folder = home.keys();
        let opens = !matches!(self.action, DataAction::Seal { .. });
        let needs_store = match &self.action {
            DataAction::Seal { to, .. } => !to.keys.is_empty(),
            DataAction::Open { .. } | DataAction::Rewrap { .. } => true,
        };
        if needs_store && !has_store(&folder) {
            return Err(Failure::new("E-KEY-90", format!("there are no keys in {}", folder.display()))
                .hint("sealgrid key new NAME --for storage"));
        }
        let store = needs_store
            .then(|| key::open(&folder, passphrase::obtain(self.passphrase_file.as_deref(), false)?))
            .transpose()?;
        let store = store.as_ref().map(|store| store as &dyn KeyStore);
        let own = store.filter(|_| opens).map_or(Ok(Vec::new()), key::own_storage)?;
        match self.action {
            DataAction::Seal { file, to, out } => {
                let out = out.unwrap_or_else(|| beside(&file, ".sealed"));
                seal(&file, &to.resolve(store)?, &out, output)
            }
            DataAction::Open { file, out } => open(&file, &own, &out, output),
            DataAction::Rewrap { file, to } => rewrapped(&file, &own, &to.resolve(store)?),
        }
    }
}

impl Recipients {
    fn resolve(&self, store: Option<&dyn KeyStore>) -> Result<Vec<JobPublicKey>, Failure> {
        let mut keys = Vec::new();
        for name in &self.keys {
            let store = store.ok_or_else(|| Failure::new("E-KEY-90", "there are no keys"))?;
            let info = key::find(store, name)?;
            match (info.purpose, info.public) {
                (Purpose::Storage, PublicKey::XWing(public)) => keys.push(public),
                _ => {
                    return Err(Failure::new("E-KEY-25", format!("{name} is not for data at rest"))
                        .hint("sealgrid key new NAME --for storage"));
                }
            }
        }
        for path in &self.public {
            keys.push(read_public(path)?);
        }
        Ok(keys)
    }
}

fn read_public(path: &Path) -> Result<JobPublicKey, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(PUBLIC_LENGTH_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(path, &error))?;
    let bytes = hex::decode(text.trim()).unwrap_or_default();
    JobPublicKey::from_bytes(&bytes).map_err(|error| {
        Failure::new(error.code(), format!("{} holds no public storage key", path.display()))
            .why(error)
            .hint("sealgrid key show NAME --json, member `public`")
    })
}

fn seal(file: &Path, to: &[JobPublicKey], out: &Path, output: Output) -> Result<Report, Failure> {
    let mut content = File::open(file).map_err(|error| unreadable(file, &error))?;
    let length = content.metadata().map_err(|error| unreadable(file, &error))?.len();
    let mut progress = output.progress("sealing", length);
    let mut done = 0;
    Place::secret(out)?.put_by(|sealed| {
        let mut writer =
            Writer::new(&mut crate::entropy(), to, length, sealed).map_err(|error| rest(file, &error))?;
        let mut piece =
            SecretBytes::zeroed(usize::try_from(PIECE.min(length.max(1))).expect("a megabyte at most"));
        loop {
            let read = content.read(piece.expose_mut()).map_err(|error| unreadable(file, &error))?;
            if read == 0 {
                break;
            }
            writer.write(&piece.expose()[..read]).map_err(|error| rest(file, &error))?;
            done += read as u64;
            progress.at(done, "sealing");
        }
        writer.finish().map_err(|error| rest(file, &error))?;
        Ok(())
    })?;
    let text = format!("{} bytes sealed to {} keys in {}", length, to.len(), out.display());
    Ok(Report::new(
        text,
        serde_json::json!({ "file": out.display().to_string(), "bytes": length, "keys": to.len() }),
    ))
}

fn open(file: &Path, own: &[JobKeyPair], out: &Path, output: Output) -> Result<Report, Failure> {
    let mut reader = reader(file, own)?;
    let length = reader.length();
    let mut progress = output.progress("opening", length);
    Place::secret(out)?.put_by(|clear| {
        let mut at = 0;
        // An empty object has one chunk too; reading it whole is what checks it.
        if length == 0 {
            reader.read_all().map_err(|error| rest(file, &error))?;
        }
        while at < length {
            let next = (at + PIECE).min(length);
            let piece = reader.read(at..next).map_err(|error| rest(file, &error))?;
            clear.write_all(piece.expose()).map_err(|error| unwritable(out, &error))?;
            progress.at(next, "opening");
            at = next;
        }
        Ok(())
    })?;
    let text = format!("{length} bytes opened in {}", out.display());
    Ok(Report::new(text, serde_json::json!({ "file": out.display().to_string(), "bytes": length })))
}

/// Reads the records of a data file, also of one that `sealgrid data seal` made of it (`x.csv.sealed`): that is opened in
/// memory with the storage keys of `home`, and nothing of it is written.
pub fn records(
    path: &Path,
    id_column: Option<&str>,
    home: &Home,
    passphrase_file: Option<&Path>,
) -> Result<Records, Failure> {
    if path.extension().is_none_or(|extension| extension != "sealed") {
        let bytes = files::read(path).map_err(in_parts)?;
        return Records::parse(&bytes, extension(path), id_column).map_err(|failure| failure.context(path));
    }
    let mut reader = reader(path, &key::storage(home, None, passphrase_file)?)?;
    if reader.length() > BYTES_MAX {
        return Err(in_parts(too_large(path, BYTES_MAX)));
    }
    let content = reader.read_all().map_err(|error| rest(path, &error))?;
    let inner = path.with_extension("");
    Records::parse(content.expose(), extension(&inner), id_column).map_err(|failure| failure.context(path))
}

/// A data file that is too long, or whose content is.
fn in_parts(failure: Failure) -> Failure {
    match &*failure.code {
        "E-RES-01" => failure
            .why("it is read as a whole before anything is sent")
            .hint("split the file and run the parts one after the other"),
        _ => failure,
    }
}

/// Where results go, and in which format.
#[derive(Debug)]
pub struct Destination {
    place: Place,
    format: Format,
}

impl Destination {
    /// The place; the format follows the extension.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let format = Format::of(path)?;
        Ok(Self { place: Place::open(path)?, format })
    }

    /// Writes the results.
    pub fn put(&self, results: &Results) -> Result<(), Failure> {
        self.place.put(&results.to_bytes(self.format)?)
    }
}

/// The sealed file, opened with the first of the keys that it is sealed to.
fn reader(file: &Path, own: &[JobKeyPair]) -> Result<Reader<BufReader<File>>, Failure> {
    for key in own {
        let input = File::open(file).map_err(|error| unreadable(file, &error))?;
        match Reader::open(BufReader::new(input), key) {
            Ok(reader) => return Ok(reader),
            Err(RestError::NotARecipient) => {}
            Err(error) => return Err(rest(file, &error)),
        }
    }
    Err(not_yours(file))
}

fn rewrapped(file: &Path, own: &[JobKeyPair], to: &[JobPublicKey]) -> Result<Report, Failure> {
    let mut input = File::open(file).map_err(|error| unreadable(file, &error))?;
    for key in own {
        input.seek(SeekFrom::Start(0)).map_err(|error| unreadable(file, &error))?;
        let new = match rewrap(&mut crate::entropy(), &mut input, key, to) {
            Err(RestError::NotARecipient) => continue,
            new => new.map_err(|error| rest(file, &error))?,
        };
        input.seek(SeekFrom::Start(new.replaced)).map_err(|error| unreadable(file, &error))?;
        Place::secret(file)?.put_by(|out| {
            out.write_all(&new.header)
                .and_then(|()| std::io::copy(&mut input, out).map(|_| ()))
                .map_err(|error| unwritable(file, &error))
        })?;
        let text = format!("{} is now sealed to {} keys", file.display(), to.len());
        return Ok(Report::new(
            text,
            serde_json::json!({ "file": file.display().to_string(), "keys": to.len() }),
        ));
    }
    Err(not_yours(file))
}

fn not_yours(file: &Path) -> Failure {
    let error = RestError::NotARecipient;
    Failure::new(error.code(), format!("{} is sealed to none of your storage keys", file.display()))
        .why("it was sealed to somebody else, or the key was destroyed")
        .hint("sealgrid key list")
}

fn rest(file: &Path, error: &RestError) -> Failure {
    Failure::new(error.code(), format!("{}: {error}", file.display()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::secret::Secret;

    use super::*;

    const QUIET: Output = Output { json: true, quiet: true };

    fn pair(seed: u8) -> JobKeyPair {
        JobKeyPair::from_seed(Secret::new([seed; 32]))
    }

    fn code<T>(outcome: Result<T, Failure>) -> Option<String> {
        outcome.err().map(|failure| failure.code)
    }

    #[test]
    fn files_of_every_size_come_back_and_only_to_their_recipients() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        for length in [0, 1, (64 << 10) - 1, 64 << 10, (2 << 20) + 7] {
            let content: Vec<u8> =
                (0..length).map(|index| u8::try_from(index % 251).expect("small")).collect();
            std::fs::write(at("records.csv"), &content).expect("written");
            let to = [pair(1).public().clone(), pair(2).public().clone()];
            seal(&at("records.csv"), &to, &at("records.sealed"), QUIET).expect("sealed");
            open(&at("records.sealed"), &[pair(3), pair(2)], &at("again.csv"), QUIET).expect("a recipient");
            assert_eq!(std::fs::read(at("again.csv")).expect("written"), content);
            assert_eq!(
                code(open(&at("records.sealed"), &[pair(3)], &at("no"), QUIET)).as_deref(),
                Some("E-KEY-14")
            );
        }
        // Sealed to another key: the old one opens it no more, the content is the same.
        rewrapped(&at("records.sealed"), &[pair(1)], &[pair(3).public().clone()]).expect("a recipient");
        assert_eq!(
            code(open(&at("records.sealed"), &[pair(1)], &at("no"), QUIET)).as_deref(),
            Some("E-KEY-14")
        );
        open(&at("records.sealed"), &[pair(3)], &at("again.csv"), QUIET).expect("the new recipient");
        assert!(!at("no").exists());
    }

    #[test]
    fn files_that_do_not_exist_or_are_of_another_kind_are_refused() {
        let home = Home::new(None);
        let read = |path: &Path| records(path, None, &home, None);
        assert_eq!(read(Path::new("/nowhere/a.csv")).expect_err("absent").code, "E-USE-01");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.xls");
        std::fs::write(&path, "x").expect("written");
        assert_eq!(read(&path).expect_err("unknown").code, "E-DAT-01");
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "a,b\n").expect("written");
        assert_eq!(read(&path).expect_err("empty").code, "E-DAT-03");
    }

    #[test]
    fn results_go_to_a_known_format_or_nothing_is_begun() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let code = |name: &str| Destination::new(&dir.path().join(name)).err().map(|failure| failure.code);
        assert_eq!(code("r.csv"), None);
        assert_eq!(code("r.txt").as_deref(), Some("E-DAT-01"));
        assert_eq!(code("none/r.csv").as_deref(), Some("E-STO-01"));
    }

    #[test]
    fn sealed_records_are_read_without_a_plain_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::new(Some(dir.path().join("home")));
        let passphrase = dir.path().join("passphrase");
        std::fs::write(&passphrase, "of a test\n").expect("written");
        let store = key::open(&home.keys(), SecretBytes::new(b"of a test".to_vec())).expect("made");
        let info = store.create(&mut crate::entropy(), 1, Purpose::Storage, "shelf").expect("made");
        let PublicKey::XWing(public) = info.public else { panic!("a storage key opens") };
        let file = dir.path().join("records.csv.sealed");
        let seal = |content: &str| {
            let sealed = sealgrid_seal::rest::seal(
                &mut crate::entropy(),
                std::slice::from_ref(&public),
                content.as_bytes(),
            );
            std::fs::write(&file, sealed.expect("a good key")).expect("written");
            records(&file, Some("id"), &home, Some(&passphrase))
        };
        let read = seal("id,radius\na,17.5\nb,12\n").expect("records");
        assert_eq!((read.rows.len(), read.ids), (2, Some(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(code(seal("id,radius\na,wide\n")).as_deref(), Some("E-DAT-02"));
        let other = dir.path().join("records.sealed");
        std::fs::rename(&file, &other).expect("renamed");
        assert_eq!(code(records(&other, None, &home, Some(&passphrase))).as_deref(), Some("E-DAT-01"));
    }

    #[test]
    fn a_damaged_file_opens_to_nothing_and_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("records.csv"), vec![7; 3 << 20]).expect("written");
        seal(&at("records.csv"), &[pair(1).public().clone()], &at("records.sealed"), QUIET).expect("sealed");
        let whole = std::fs::read(at("records.sealed")).expect("written");
        std::fs::write(at("out"), "what was there").expect("written");
        let opened = |bytes: &[u8]| {
            std::fs::write(at("records.sealed"), bytes).expect("written");
            code(open(&at("records.sealed"), &[pair(1)], &at("out"), QUIET))
        };
        let mut changed = whole.clone();
        *changed.last_mut().expect("a byte") ^= 1; // in the last chunk: the first megabytes were already written
        assert_eq!(opened(&changed).as_deref(), Some("E-KEY-17"));
        assert_eq!(opened(&whole[..whole.len() - 1]).as_deref(), Some("E-KEY-16"));
        let mut changed = whole.clone();
        changed[60] ^= 1; // in the header
        assert!(matches!(opened(&changed).as_deref(), Some("E-KEY-13" | "E-KEY-14" | "E-KEY-15")));
        assert_eq!(opened(b"id,radius\n1,17.99\n").as_deref(), Some("E-KEY-13"));
        assert_eq!(std::fs::read(at("out")).expect("kept"), b"what was there");
        assert_eq!(opened(&whole), None);
        // Nothing else is left behind.
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 3);
        assert_eq!(code(read_public(&at("none"))).as_deref(), Some("E-USE-01"));
        for wrong in ["", "00ff", "no key"] {
            std::fs::write(at("public"), wrong).expect("written");
            assert_eq!(code(read_public(&at("public"))).as_deref(), Some("E-KEY-01"), "{wrong}");
        }
        std::fs::write(at("public"), format!("{}\n", hex::encode(pair(1).public().as_bytes())))
            .expect("written");
        assert_eq!(read_public(&at("public")).expect("a key"), *pair(1).public());
    }
}
