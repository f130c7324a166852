//! Traces: what some real system asked its cache for, one key after the other.

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// The variable that names the folder of the traces.
const VARIABLE: &str = "DOCACHE_TRACES";
/// Where they are if it does not, beside the checkout.
const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces");

/// A trace.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) keys: Vec<u64>,
}

impl Trace {
    /// How many different keys there are.
    pub(super) fn unique(&self) -> usize {
        self.keys.iter().collect::<HashSet<_>>().len()
    }
}

/// All traces there are, by name.
pub(super) fn all() -> Result<Vec<Trace>, Box<dyn Error>> {
    let folder = env::var_os(VARIABLE).map_or_else(|| PathBuf::from(BESIDE), PathBuf::from);
    read_all(&folder)
}

fn read_all(folder: &Path) -> Result<Vec<Trace>, Box<dyn Error>> {
    let missing = |why: &str| {
        format!(
            "no traces: {} {why}; set {VARIABLE} to a folder of NAME.u64 or NAME.u64.gz, keys as little-endian u64",
            folder.display()
        )
    };
    let files =
        fs::read_dir(folder).map_err(|error| missing(&format!("cannot be read ({error})")))?;
    let mut traces = Vec::new();
    for file in files {
        let path = file?.path();
        if let Some(name) = name(&path) {
            traces.push(read(&path, name).map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    if traces.is_empty() {
        return Err(missing("holds none").into());
    }
    traces.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(traces)
}

/// The name of a trace, if this is one.
fn name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    file.strip_suffix(".u64").or_else(|| file.strip_suffix(".u64.gz")).map(str::to_owned)
}

fn read(path: &Path, name: String) -> Result<Trace, Box<dyn Error>> {
    let mut bytes = fs::read(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        let packed = std::mem::take(&mut bytes);
        GzDecoder::new(&*packed).read_to_end(&mut bytes)?;
    }
    let (keys, rest) = bytes.as_chunks();
    if keys.is_empty() || !rest.is_empty() {
        return Err(
            format!("{} bytes are not a number of keys of 8 bytes each", bytes.len()).into()
        );
    }
    Ok(Trace { name, keys: keys.iter().map(|key| u64::from_le_bytes(*key)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// A folder that is gone at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> std::io::Result<Self> {
            let path = env::temp_dir().join(format!("docache-peers-{}-{name}", std::process::id()));
            fs::create_dir_all(&path)?;
            Ok(Folder(path))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // Left behind in a temporary folder at worst.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn plain_and_packed_traces_are_read_by_name() -> Result<(), Box<dyn Error>> {
        let folder = Folder::new("read")?;
        let bytes: Vec<u8> = [7_u64, 1 << 40, 7].iter().flat_map(|key| key.to_le_bytes()).collect();
        fs::write(folder.0.join("plain.u64"), &bytes)?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&bytes[..16])?;
        fs::write(folder.0.join("a-packed.u64.gz"), packed.finish()?)?;
        fs::write(folder.0.join("README"), "no trace")?;
        let traces = read_all(&folder.0)?;
        assert_eq!(
            traces.iter().map(|trace| &*trace.name).collect::<Vec<_>>(),
            ["a-packed", "plain"]
        );
        assert_eq!(traces[0].keys, [7, 1 << 40]);
        assert_eq!(traces[1].keys, [7, 1 << 40, 7]);
        assert_eq!(traces[1].unique(), 2);
        Ok(())
    }

    #[test]
    fn what_is_missing_is_said() -> Result<(), Box<dyn Error>> {
        let folder = Folder::new("missing")?;
        let said = |outcome: Result<Vec<Trace>, Box<dyn Error>>| {
            outcome.err().map(|error| error.to_string())
        };
        let nothing = said(read_all(&folder.0)).unwrap_or_default();
        assert!(nothing.contains("holds none") && nothing.contains(VARIABLE), "{nothing}");
        let nowhere = said(read_all(&folder.0.join("nowhere"))).unwrap_or_default();
        assert!(nowhere.contains("cannot be read") && nowhere.contains(VARIABLE), "{nowhere}");
        fs::write(folder.0.join("cut.u64"), [0; 12])?;
        let cut = said(read_all(&folder.0)).unwrap_or_default();
        assert!(cut.contains("cut.u64") && cut.contains("12 bytes"), "{cut}");
        Ok(())
    }
}
