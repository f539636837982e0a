//! Files that commands read and write: read up to a limit, written whole or not at all.
//!
//! A command asks for the [`Place`] of what it will write before it works, so that a folder that is not there, or a name that is also read from, costs
//! neither an hour nor an opening of a registration. What is written is written beside its place, durable, and moved there: a full disk or a killed process
//! leaves what was there before. Files that belong together are moved when all of them are whole ([`put`]).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{Failure, unreadable, unwritable};

/// Largest file that is read: 1 GiB.
pub const BYTES_MAX: u64 = 1 << 30;

/// Reads a file of at most [`BYTES_MAX`].
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, BYTES_MAX)
}

/// Reads a file of so many bytes at most. One that says it is longer is not read, and one that never ends is read no further.
pub fn read_up_to(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| unreadable(path, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.len() > bytes_max {
        return Err(too_large(path, bytes_max));
    }
    // As long as the file: what is secret is not copied while the buffer grows.
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(bytes_max) + 1).unwrap_or(0));
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(path, bytes_max));
    }
    Ok(bytes)
}

/// A file that is longer than any that is read.
pub fn too_large(path: &Path, bytes_max: u64) -> Failure {
    let most = match bytes_max >> 20 {
        mebibytes if mebibytes < 1024 => format!("{mebibytes} MiB"),
        mebibytes => format!("{} GiB", mebibytes >> 10),
    };
    Failure::new("E-RES-01", format!("{} is larger than {most}", path.display()))
        .why("nothing that this command reads is as long")
        .hint(format!("ls -l {}", path.display()))
}

/// Refuses outputs that would take the place of what is read, or of each other.
pub fn apart(reads: &[&Path], writes: &[&Path]) -> Result<(), Failure> {
    let refused = |path: &Path, why| {
        let what = format!("{} is named for two things", path.display());
        Failure::new("E-USE-07", what).why(why).hint("name another file for the output")
    };
    let read: Vec<PathBuf> = reads.iter().filter_map(|path| standing(path)).collect();
    let mut written: Vec<PathBuf> = Vec::new();
    for path in writes {
        let Some(standing) = standing(path) else { continue };
        if read.contains(&standing) {
            return Err(refused(path, "it is read from, and the output would take its place"));
        }
        if written.contains(&standing) {
            return Err(refused(path, "one output would take the place of another"));
        }
        written.push(standing);
    }
    Ok(())
}

/// Where a regular file stands, or would: the same for all names of one place. `None` for what nothing takes the place of, such as a pipe.
fn standing(path: &Path) -> Option<PathBuf> {
    match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_file().then(|| path.canonicalize().ok())?,
        Err(_) => Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?)),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file will be put, and may be.
#[derive(Debug)]
pub struct Place {
    /// As it was named.
    path: PathBuf,
    /// Behind links; `None` for a pipe, a terminal or another device, which is written to as it is.
    target: Option<PathBuf>,
    permissions: u32,
    /// Whether it may take the place of a file that is there.
    replaces: bool,
}

/// What only the owner may read.
const SECRET: u32 = 0o600;
/// What anybody may whom the process's mask lets.
const OPEN: u32 = 0o666;

impl Place {
    /// A place for what others may read. A file that is there keeps its permissions.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::new(path, |there| there.map_or(OPEN, |there| there.permissions().mode() & 0o777))
    }

    /// A place for what its owner alone may read.
    pub fn secret(path: &Path) -> Result<Self, Failure> {
        Self::new(path, |_| SECRET)
    }

    /// A place for a secret that cannot be made again: a file that is there is kept, also when it comes there meanwhile.
    pub fn new_secret(path: &Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Err(taken(path));
        }
        Ok(Self { replaces: false, ..Self::secret(path)? })
    }

    fn new(path: &Path, permissions: impl Fn(Option<&Metadata>) -> u32) -> Result<Self, Failure> {
        let failed = |error: io::Error| unwritable(path, &error);
        let there = match std::fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if there.as_ref().is_some_and(Metadata::is_dir) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let permissions = permissions(there.as_ref());
        let target = match &there {
            Some(there) if !there.is_file() => None,
            Some(_) => {
                // Who may not write to it shall not replace it either.
                OpenOptions::new().append(true).open(path).map_err(failed)?;
                Some(path.canonicalize().map_err(failed)?)
            }
            None => {
                folder_of(path).metadata().map_err(failed)?;
                Some(path.to_owned())
            }
        };
        let place = Self { path: path.to_owned(), target, permissions, replaces: true };
        // Made and removed: the folder takes a file.
        drop(place.beside()?);
        Ok(place)
    }

    /// Writes the whole file.
    pub fn put(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.put_by(|file| file.write_all(bytes).map_err(|error| unwritable(&self.path, &error)))
    }

    /// Lets the whole file be written, piece by piece.
    pub fn put_by(
        &self,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.stage(write)?.keep()
    }

    fn stage(
        &self,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure>,
    ) -> Result<Staged<'_>, Failure> {
        let Some((target, mut beside)) = self.beside()? else {
            let mut bytes = Vec::new();
            write(&mut bytes)?;
            return Ok(Staged::Sent { to: &self.path, bytes });
        };
        write(beside.as_file_mut())?;
        beside.as_file().sync_all().map_err(|error| unwritable(&self.path, &error))?;
        Ok(Staged::Moved { to: target, beside, replaces: self.replaces })
    }

    /// Where a file is moved to, and a new one in the same folder, which is gone when it is dropped.
    fn beside(&self) -> Result<Option<(&Path, NamedTempFile)>, Failure> {
        let Some(target) = &self.target else { return Ok(None) };
        let permissions = std::fs::Permissions::from_mode(self.permissions);
        let mut new = tempfile::Builder::new();
        let made = new.prefix(".sealgrid-").permissions(permissions).tempfile_in(folder_of(target));
        let made = made.map_err(|error| unwritable(&self.path, &plain(&error)))?;
        Ok(Some((target, made)))
    }
}

/// A secret would take the place of another file.
fn taken(path: &Path) -> Failure {
    Failure::new("E-USE-09", format!("{} is there already", path.display()))
        .why("a new key does not take the place of a file: what an old one opens could be opened by nobody")
        .hint("name another file for the new key")
}

/// Puts all files or none: they are moved when the last of them is whole.
pub fn put(files: &[(&Place, &[u8])]) -> Result<(), Failure> {
    let mut staged = Vec::new();
    for (place, bytes) in files {
        let write =
            |file: &mut dyn io::Write| file.write_all(bytes).map_err(|error| unwritable(&place.path, &error));
        staged.push(place.stage(write)?);
    }
    staged.into_iter().try_for_each(Staged::keep)
}

/// What is written and has to get to its place yet.
enum Staged<'p> {
    Moved { to: &'p Path, beside: NamedTempFile, replaces: bool },
    Sent { to: &'p Path, bytes: Vec<u8> },
}

impl Staged<'_> {
    fn keep(self) -> Result<(), Failure> {
        match self {
            Self::Moved { to, beside, replaces } => {
                let moved = if replaces { beside.persist(to) } else { beside.persist_noclobber(to) };
                moved.map_err(|error| match error.error.kind() {
                    io::ErrorKind::AlreadyExists if !replaces => taken(to),
                    _ => unwritable(to, &plain(&error.error)),
                })?;
                let folder = File::open(folder_of(to)).and_then(|folder| folder.sync_all());
                folder.map_err(|error| unwritable(to, &error))
            }
            Self::Sent { to, bytes } => {
                let out = OpenOptions::new().write(true).open(to).and_then(|mut out| out.write_all(&bytes));
                out.map_err(|error| unwritable(to, &error))
            }
        }
    }
}

/// The system's error without the temporary file's name, which nobody has heard of.
fn plain(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_takes_the_place_of_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        let place = Place::new_secret(&path).expect("nothing is there");
        place.put(b"one").expect("room");
        assert_eq!(mode(&path), 0o600);
        // Asked before the file came there, written after.
        assert_eq!(place.put(b"two").expect_err("taken").code, "E-USE-09");
        assert_eq!(Place::new_secret(&path).expect_err("taken").code, "E-USE-09");
        assert_eq!(std::fs::read(&path).expect("kept"), b"one");
        let dangling = folder.path().join("b.key");
        std::os::unix::fs::symlink("nowhere", &dangling).expect("a link");
        assert_eq!(Place::new_secret(&dangling).expect_err("taken").code, "E-USE-09");
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    /// The names in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_refused_before_the_work() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in [dir.path().to_owned(), dir.path().join("none/a.csv")] {
            let failure = Place::open(&path).expect_err("no place");
            assert_eq!((failure.code.as_str(), failure.exit_status()), ("E-STO-01", 5));
            assert!(!failure.to_string().contains(".sealgrid-"), "{failure}");
        }
        let _place = Place::open(&dir.path().join("a.csv")).expect("a place");
        assert!(names(dir.path()).is_empty(), "nothing is there before it is put");
    }

    #[test]
    fn what_fails_half_way_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
        std::fs::write(&old, "what was there").expect("written");
        let place = Place::open(&old).expect("a place");
        let failed = place.put_by(|file| {
            file.write_all(b"half").expect("room");
            Err(Failure::new("E-STO-01", "the disk is full"))
        });
        assert_eq!(failed.expect_err("failed").what, "the disk is full");
        // Of two that belong together the second does not get there: neither does the first.
        let (first, second) = (Place::open(&new).expect("a place"), Place::open(&dir.path().join("x/y")));
        assert!(second.is_err());
        let folder = dir.path().join("gone");
        std::fs::create_dir(&folder).expect("made");
        let second = Place::open(&folder.join("b")).expect("a place");
        std::fs::remove_dir(&folder).expect("empty");
        assert_eq!(put(&[(&first, b"a"), (&second, b"b")]).expect_err("no folder").code, "E-STO-01");
        assert_eq!(std::fs::read(&old).expect("kept"), b"what was there");
        assert_eq!(names(dir.path()), ["old"]);
    }

    #[test]
    fn permissions_are_those_of_a_secret_or_of_what_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        Place::secret(&path).and_then(|place| place.put(b"a")).expect("written");
        assert_eq!(mode(&path), 0o600);
        Place::open(&path).and_then(|place| place.put(b"b")).expect("written");
        assert_eq!(mode(&path), 0o600, "what its owner hid stays hidden");
        let other = dir.path().join("b");
        Place::open(&other).and_then(|place| place.put(b"b")).expect("written");
        std::fs::write(dir.path().join("c"), "c").expect("written");
        assert_eq!(mode(&other), mode(&dir.path().join("c")), "as any program makes a file");
        Place::secret(&other).and_then(|place| place.put(b"b")).expect("written");
        assert_eq!(mode(&other), 0o600);
    }

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().expect("a folder");
        let [real, link] = ["real", "link"].map(|name| dir.path().join(name));
        std::fs::write(&real, "a").expect("written");
        std::os::unix::fs::symlink("real", &link).expect("made");
        Place::open(&link).and_then(|place| place.put(b"b")).expect("written");
        assert_eq!(std::fs::read(&real).expect("there"), b"b");
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
        let null = Path::new("/dev/null");
        Place::secret(null).and_then(|place| place.put(b"b")).expect("written");
        assert!(!std::fs::metadata(null).expect("there").is_file());
    }

    #[test]
    fn one_file_is_not_read_and_written_nor_written_twice() {
        let dir = tempfile::tempdir().expect("a folder");
        let [a, b, link] = ["a", "b", "link"].map(|name| dir.path().join(name));
        std::fs::write(&a, "a").expect("written");
        std::os::unix::fs::symlink("a", &link).expect("made");
        let dotted = dir.path().join(".").join("b");
        assert_eq!(apart(&[&a], &[&b]), Ok(()));
        assert_eq!(apart(&[&a, &link], &[]), Ok(()));
        for (reads, writes) in
            [(vec![&*a], vec![&*a]), (vec![&*a], vec![&*b, &*link]), (vec![], vec![&*b, &*dotted])]
        {
            let failure = apart(&reads, &writes).expect_err("named twice");
            assert_eq!((failure.code.as_str(), failure.exit_status()), ("E-USE-07", 2));
        }
        let null = Path::new("/dev/null");
        assert_eq!(apart(&[null], &[null, null]), Ok(()));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        std::fs::write(&path, [7; 9]).expect("written");
        assert_eq!(read_up_to(&path, 9).expect("as long"), [7; 9]);
        assert_eq!(read_up_to(&path, 8).expect_err("longer").code, "E-RES-01");
        // One that never ends, and does not say so.
        assert_eq!(read_up_to(Path::new("/dev/zero"), 8).expect_err("longer").code, "E-RES-01");
        assert_eq!(read_up_to(dir.path(), 8).expect_err("a folder").code, "E-USE-01");
    }
}
