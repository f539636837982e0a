//! Trust roots on disk: two small text files in a folder, written by whoever runs a grid and carried to whoever
//! verifies.

use std::path::Path;

use sealgrid_verify::TrustRoots;

use crate::failure::{Failure, unreadable, unwritable};

/// Reads the roots in a folder.
pub fn read(dir: &Path) -> Result<TrustRoots, Failure> {
    let file = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            unreadable(&path, &error)
                .hint("name the folder that holds the grid's trust roots with --roots DIR")
        })
    };
    let (authority, log) = (file(TrustRoots::AUTHORITY_FILE)?, file(TrustRoots::LOG_FILE)?);
    TrustRoots::from_files(&authority, &log).map_err(|error| {
        Failure::new(error.code(), format!("{} holds no trust roots", dir.display())).why(error)
    })
}

/// Writes roots into a folder.
pub fn write(dir: &Path, roots: &TrustRoots) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    let (authority, log) = roots.to_files();
    for (name, text) in [(TrustRoots::AUTHORITY_FILE, authority), (TrustRoots::LOG_FILE, log)] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}
