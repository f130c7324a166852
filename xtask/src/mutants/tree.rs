//! A copy of the tree that may be changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cmd::Cmd;

/// Copies what is under version control, as it is now, and what could be; returns the absolute
/// path. Files that are the same already keep their times, so that they are not compiled again.
pub(super) fn copy(to: PathBuf) -> Result<PathBuf> {
    let listing = Cmd::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .read()?;
    let files: BTreeSet<&Path> =
        listing.split('\0').map(Path::new).filter(|file| file.is_file()).collect();
    fs::create_dir_all(&to)?;
    for file in &files {
        copy_file(file, &to.join(file))
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    remove_others(&to, &to, &files)?;
    Ok(fs::canonicalize(to)?)
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
    Ok(fs::write(to, bytes)?)
}

/// Removes the files below `folder` that are not in the tree any more.
fn remove_others(root: &Path, folder: &Path, files: &BTreeSet<&Path>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.contains(path.strip_prefix(root)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
