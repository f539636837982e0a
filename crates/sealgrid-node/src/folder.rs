//! The data folder: private to the operator's account, owned by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data folder that this process owns until the value is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why a folder cannot be owned.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process owns it.
    #[error("another process uses {0}")]
    Taken(PathBuf),
    /// It cannot be made or read.
    #[error("cannot use {path}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl FolderError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "E-STO-43",
            Self::Unusable { .. } => "E-STO-44",
        }
    }
}

impl DataFolder {
    /// Makes the folder if need be (mode 0700) and takes it. The lock is the kernel's: it is gone with the process,
    /// so a killed node leaves nothing to clean up.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
        make_private(path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::Taken(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// The state of machines.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path.join("state.redb")
    }

    /// Keys, encrypted.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// Parts of models that are on their way in; emptied at every start.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.path.join("incoming")
    }

    /// Evidence against a log that forked.
    #[must_use]
    pub fn forks(&self) -> PathBuf {
        self.path.join("forks")
    }

    /// The transparency log's tiles, for the node that writes it.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

/// Makes a folder and its parents, the last one readable by its owner only.
///
/// # Errors
/// What the system says.
pub fn make_private(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Writes a file so that a crash leaves the old one or the new one: beside it, synced, renamed, folder synced.
///
/// # Errors
/// What the system says.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_is_private() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("a/node");
        let first = DataFolder::take(&path).expect("free");
        assert_eq!(DataFolder::take(&path).expect_err("taken").code(), "E-STO-43");
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o077, 0);
        drop(first);
        DataFolder::take(&path).expect("free again");
    }

    #[test]
    fn a_file_in_the_way_has_its_code() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("file");
        std::fs::write(&path, b"").expect("written");
        assert_eq!(DataFolder::take(&path).expect_err("a file").code(), "E-STO-44");
    }

    #[test]
    fn a_durable_write_replaces_the_whole_file() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("file");
        write_durably(&path, b"first, and longer").expect("written");
        write_durably(&path, b"second").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"second");
        assert_eq!(std::fs::read_dir(parent.path()).expect("listed").count(), 1);
    }
}
