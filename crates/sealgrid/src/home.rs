//! Where a person's keys, models, trust roots and receipts are kept.

use std::path::{Path, PathBuf};

/// `$SEALGRID_HOME`, else `$HOME/.sealgrid`, else `.sealgrid` here.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The folder asked for, or the default one. Nothing is created yet.
    pub fn new(asked: Option<PathBuf>) -> Self {
        Self(asked.unwrap_or_else(|| {
            std::env::var_os("HOME")
                .map_or_else(|| PathBuf::from(".sealgrid"), |home| Path::new(&home).join(".sealgrid"))
        }))
    }

    /// Owner-held keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The grid that commands talk to when none is named.
    pub fn grid(&self) -> PathBuf {
        self.0.join("grid")
    }

    /// Imported models.
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// Trust roots for `verify`.
    pub fn roots(&self) -> PathBuf {
        self.0.join("roots")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
}
