//! Python environments made once below the target folder: one with readers of Parquet that are not ours, one with AWS's tools.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// What an environment has, and what proves that it has it.
struct Packages {
    requirements: &'static str,
    import: &'static str,
}

const READERS: Packages = Packages { requirements: include_str!("../python/requirements.txt"), import: "import duckdb, pyarrow" };

/// awswrangler needs an older pyarrow than the one that reads our files in the other environment.
const AWS: Packages = Packages { requirements: include_str!("../python/aws.txt"), import: "import moto.server, awswrangler" };

const INSTALL_ATTEMPTS: u32 = 3;

/// An engine that `read_table.py` can read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    DuckDb,
    PyArrow,
}

/// The interpreter of a virtual environment with the pinned requirements. The first call of all test processes makes it.
///
/// Panics with what Python or pip printed if it cannot be made: without it a test would pass without having looked.
pub fn python() -> PathBuf {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| environment(&READERS)).clone()
}

/// The interpreter of another one, with the emulator of AWS and its clients.
pub fn aws_python() -> PathBuf {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| environment(&AWS)).clone()
}

fn environment(packages: &Packages) -> PathBuf {
    try_environment(packages).unwrap_or_else(|problem| panic!("no Python environment for tests: {problem}"))
}

/// Reads Parquet files as one table; the document that `tests/it/python/read_table.py` describes. `values` rows come first in the
/// order of the column `order_by`.
pub fn read_table(reader: Reader, files: &[PathBuf], order_by: &str, values: usize) -> serde_json::Value {
    let engine = match reader {
        Reader::DuckDb => "duckdb",
        Reader::PyArrow => "pyarrow",
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/read_table.py");
    let mut command = Command::new(python());
    command.arg(script).args([engine, "--order-by", order_by, "--values", &values.to_string(), "--"]).args(files);
    let printed = run(&mut command).unwrap_or_else(|problem| panic!("{engine} cannot read {files:?}: {problem}"));
    serde_json::from_str(&printed).unwrap_or_else(|e| panic!("read_table.py did not print one JSON document: {e}\n{printed}"))
}

/// What a script of `tests/it/python` printed.
pub fn script(name: &str, arguments: &[&OsStr]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python").join(name);
    run(Command::new(python()).arg(script).args(arguments)).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// `target/lakebed-venv/<hash of the requirements>/`, complete once it holds the file `complete`. The lock goes away with the
/// process that holds it, so a killed test run leaves nothing that blocks the next one.
fn try_environment(packages: &Packages) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("the target folder has no path")?;
    let all = target.join("lakebed-venv");
    let digest = Sha256::digest(packages.requirements);
    let key: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let lock = all.join(format!("{key}.lock"));
    fs::create_dir_all(&all).map_err(|e| format!("{}: {e}", all.display()))?;
    let lock_file = File::create(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    lock_file.lock().map_err(|e| format!("{}: {e}", lock.display()))?;
    let home = all.join(key);
    let interpreter = home.join("bin/python");
    if !is_complete(&home, &interpreter, packages) {
        make(&home, &interpreter, packages)?;
    }
    Ok(interpreter)
}

/// A folder that was left half-made, or whose Python was removed or replaced since, is not.
fn is_complete(home: &Path, interpreter: &Path, packages: &Packages) -> bool {
    home.join("complete").is_file() && run(Command::new(interpreter).args(["-c", packages.import])).is_ok()
}

fn make(home: &Path, interpreter: &Path, packages: &Packages) -> Result<(), String> {
    if home.exists() {
        fs::remove_dir_all(home).map_err(|e| format!("{}: {e}", home.display()))?;
    }
    run(Command::new("python3").args(["-m".as_ref(), "venv".as_ref(), home.as_os_str()]))
        .map_err(|problem| format!("{problem}\nThe tests need Python 3 with the module `venv` (Debian: apt-get install python3-venv)."))?;
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, packages.requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    install(interpreter, &requirements)?;
    run(Command::new(interpreter).args(["-c", packages.import]))?;
    fs::write(home.join("complete"), "").map_err(|e| format!("{}: {e}", home.display()))
}

fn install(interpreter: &Path, requirements: &Path) -> Result<(), String> {
    let options = ["-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:", "-r"].map(OsStr::new);
    let mut attempt = 1;
    loop {
        match run(Command::new(interpreter).args(options).arg(requirements)) {
            Ok(_) => return Ok(()),
            Err(problem) if attempt == INSTALL_ATTEMPTS => return Err(format!("{problem}\npip failed {attempt} times.")),
            Err(_) => std::thread::sleep(Duration::from_secs(5) * attempt),
        }
        attempt += 1;
    }
}

/// What the command printed; if it failed, everything it said.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?} did not start: {e}"))?;
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}\n{printed}\n{said}", output.status));
    }
    Ok(printed.into_owned())
}
