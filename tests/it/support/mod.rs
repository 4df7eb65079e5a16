//! What the tests share: a lake in a temporary folder, driven through the built binary.

pub mod moto;
pub mod outcome;
pub mod python;
pub mod seeded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lakebed::generate::{self, Settings, Summary};
use serde_json::Value;

/// The binary under test.
pub const LAKEBED: &str = env!("CARGO_BIN_EXE_lakebed");

/// A time at which every hour that tests generate has closed.
pub const AT: &str = "2026-11-19T20:00:00Z";

/// Starts its arguments and says on standard error, last, how many bytes of memory they had at most.
const PEAK: &str = "import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak if sys.platform == 'darwin' else peak * 1024, file=sys.stderr)
sys.exit(done.returncode)";

/// What the binary answered.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The document on standard output; the command must have ended with `code`.
    pub fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// A configuration, a landing and a lake, all below one temporary folder.
pub struct Lake {
    pub folder: tempfile::TempDir,
}

impl Lake {
    /// The example table, with the settings that tests want in place of `extra`.
    pub fn new(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Self { folder };
        lake.configure(extra);
        lake.migration(&std::fs::read_to_string(example("migrations/shop.clicks/0001_create.sql")).unwrap());
        std::fs::create_dir_all(lake.path("landing")).unwrap();
        lake
    }

    /// Writes `lakebed.toml`: the table `shop.clicks`, then `extra`, which may go on with the table's settings.
    pub fn configure(&self, extra: &str) {
        let table = "[[table]]\nname = \"shop.clicks\"\nlanding = \"landing\"\nlocation = \"lake\"\n";
        std::fs::write(self.path("lakebed.toml"), format!("[lake]\nthreads = 2\n\n{table}{extra}\n")).unwrap();
    }

    /// Sets `[lake] memory`, such as `256MiB`.
    pub fn limit_memory(&self, most: &str) {
        self.set("memory", most);
    }

    /// Adds a setting of `[lake]`.
    pub fn set(&self, key: &str, value: &str) {
        let file = self.path("lakebed.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replacen("[lake]\n", &format!("[lake]\n{key} = \"{value}\"\n"), 1)).unwrap();
    }

    /// Writes the table's first migration.
    pub fn migration(&self, text: &str) {
        std::fs::create_dir_all(self.path("migrations/shop.clicks")).unwrap();
        std::fs::write(self.path("migrations/shop.clicks/0001_create.sql"), text).unwrap();
    }

    /// A small table: `id string, n bigint`, and `rescued`.
    pub fn small(extra: &str) -> Self {
        let lake = Self::new(extra);
        lake.migration(
            "CREATE EXTERNAL TABLE ${table} (id string, n bigint, rescued map<string,string>) \
             PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'",
        );
        lake
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Lands a generated clickstream.
    pub fn generate(&self, settings: &Settings) -> Summary {
        generate::write_to(&self.path("landing"), settings).unwrap()
    }

    /// Lands one object in hour 2026-11-19T`hour`.
    pub fn land(&self, hour: &str, name: &str, body: &[u8]) -> PathBuf {
        let folder = self.path(&format!("landing/2026/11/19/{hour}"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, body).unwrap();
        file
    }

    /// The binary, with this lake's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(LAKEBED);
        command.args(arguments).arg("--config").arg(self.path("lakebed.toml")).env_remove("RUST_BACKTRACE");
        command
    }

    pub fn lakebed(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// `run --at AT --output json`, which must end with `code`.
    pub fn run(&self, code: i32) -> Value {
        self.lakebed(&["run", "--at", AT, "--output", "json"]).json(code)
    }

    /// As [`Self::run`], and the most bytes of memory that the process had.
    pub fn measured_run(&self, code: i32) -> (Value, u64) {
        self.measured(&["run", "--at", AT, "--output", "json"], code)
    }

    /// The document that a command answers with, and the most bytes of memory that the process had.
    pub fn measured(&self, arguments: &[&str], code: i32) -> (Value, u64) {
        let run = self.command(arguments);
        let mut command = Command::new("/usr/bin/env");
        command.args(["python3", "-c", PEAK]).arg(run.get_program()).args(run.get_args());
        let answer = Answer::of(command.output().unwrap());
        let peak = answer.stderr.lines().last().unwrap_or_default().parse().unwrap_or_else(|_| panic!("{}", answer.stderr));
        (answer.json(code), peak)
    }

    /// The rows of a query, as JSON objects.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        match self.lakebed(&["query", sql, "--format", "json"]).json(0) {
            Value::Array(rows) => rows,
            other => panic!("not rows: {other}"),
        }
    }

    /// What `lakebed partitions` says.
    pub fn partitions(&self) -> Vec<Value> {
        match self.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0) {
            Value::Array(partitions) => partitions,
            other => panic!("not partitions: {other}"),
        }
    }

    /// The files of the live generations, in the order of partitions.
    pub fn live_files(&self) -> Vec<PathBuf> {
        let folder = |partition: &Value| PathBuf::from(partition["location"].as_str().unwrap().strip_prefix("file://").unwrap());
        self.partitions().iter().flat_map(|partition| files(&folder(partition)).into_keys().collect::<Vec<_>>()).collect()
    }

    /// All rows of the table as text, ordered: equal for two lakes exactly if their tables hold the same.
    pub fn rows(&self) -> Vec<String> {
        let rows = self.query("SELECT * FROM shop.clicks ORDER BY event_id, collector_tstamp, sequence");
        rows.iter().map(Value::to_string).collect()
    }
}

/// A file of the example.
pub fn example(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clicks").join(relative)
}

/// All files below a folder, with their content.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            match std::fs::read(&path) {
                Ok(bytes) => drop(found.insert(path, bytes)),
                // What was on its way when its writer died in this process may get there meanwhile, and leaves its name on the way.
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "{}: {e}", path.display()),
            }
        }
    }
    found
}
