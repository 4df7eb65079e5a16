//! The rules of the source tree, enforced: layers, lengths, module sentences, words that must not appear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

/// Modules by layer, lowest first. A module may use its own layer and those below.
const LAYERS: &[(&str, &[&str])] = &[
    ("values", &["error", "hour", "clock", "deadline", "words"]),
    (
        "pure",
        &[
            "layout",
            "schema",
            "config",
            "landing",
            "ledger",
            "standardize",
            "generate",
            "catalog",
            "status",
            "events",
            "failing",
            "scatter::intake",
            "scatter::moves",
            "scatter::place",
            "scatter::plan",
        ],
    ),
    (
        "adapters",
        &[
            "store",
            "catalog::local",
            "catalog::reconcile",
            "ledger::store",
            "failing::store",
            "landing::discover",
            "engine",
            "query",
            "generate::write",
            "events::bridge",
            "events::outbox",
            "scatter::moves::log",
            "scatter::store",
        ],
    ),
    (
        "drivers",
        &[
            "merge",
            "queue",
            "migrate",
            "named",
            "pipeline",
            "redrive",
            "repair",
            "retry",
            "rollback",
            "summary",
            "scatter",
            "scatter::moves::end",
            "sweep",
            "announce",
        ],
    ),
    ("app", &["app"]),
    ("faces", &["cli", "commands", "main", "lib"]),
];

/// Exceptions to the order, each with its reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("merge::plan", "", "the plan of a merge is a pure value; status reads it"),
    ("config", "catalog", "names of tables are values that live beside the port"),
    ("pipeline", "app", "a run works on the wired program"),
    ("retry", "app", "a run works on the wired program"),
    ("redrive", "app", "a redrive works on the wired program"),
    ("repair", "app", "a repair works on the wired program"),
    ("scatter", "app", "a run works on the wired program"),
    ("named", "app", "it looks into the ledgers of the wired program"),
    ("rollback", "app", "it works on the wired program"),
    ("sweep", "app", "it works on the wired program"),
    ("announce", "app", "a run works on the wired program"),
];

/// Pure modules: no `async`, no store, no clock.
const PURE: &[&str] = &[
    "hour",
    "words",
    "deadline",
    "error",
    "error::aws",
    "layout",
    "layout::redriven",
    "ledger",
    "schema",
    "schema::ddl",
    "schema::hive",
    "schema::infer",
    "landing::prefix",
    "landing::arrival",
    "landing::matching",
    "landing::path_time",
    "landing::timestamp",
    "standardize",
    "standardize::cloudwatch",
    "standardize::codec",
    "standardize::codec::gzip",
    "standardize::codec::inflate",
    "standardize::codec::input",
    "standardize::codec::sniff",
    "standardize::codec::snappy",
    "standardize::codec::spare",
    "standardize::codec::zip",
    "standardize::codec::zstd",
    "standardize::columnar",
    "standardize::columnar::json",
    "standardize::columnar::limits",
    "standardize::columnar::links",
    "standardize::columns",
    "standardize::decode",
    "standardize::decode::columnar",
    "standardize::errors",
    "standardize::firehose_error",
    "standardize::frame",
    "standardize::frame::skim",
    "standardize::frame::unwrap",
    "standardize::kept",
    "standardize::lines",
    "standardize::members",
    "standardize::plan",
    "standardize::privacy",
    "standardize::reject",
    "standardize::resync",
    "standardize::rows",
    "standardize::rows::again",
    "standardize::rules",
    "standardize::scalar",
    "standardize::scan",
    "standardize::window",
    "standardize::snowplow",
    "standardize::snowplow::columns",
    "standardize::snowplow::entities",
    "failing",
    "catalog::drift",
    "catalog::filter",
    "catalog::glue::again",
    "catalog::glue::refusal",
    "catalog::glue::shape",
    "catalog::limits",
    "catalog::reconcile::change",
    "catalog::reconcile::outcome",
    "merge::append::plan",
    "merge::plan",
    "merge::runs",
    "merge::reader::batch",
    "merge::dedupe",
    "query::filters",
    "rollback::history",
    "rollback::plan",
    "merge::encode::bounds",
    "merge::encode::chunk",
    "merge::encode::codec",
    "merge::encode::columns",
    "merge::encode::dictionary",
    "merge::encode::leaf::arrays",
    "merge::encode::ends",
    "merge::encode::hybrid",
    "merge::encode::levels",
    "merge::encode::out",
    "merge::encode::span",
    "merge::encode::stored",
    "merge::encode::leaf",
    "merge::encode::leaf::woven",
    "merge::encode::weave",
    "redrive::plan",
    "redrive::summary",
    "repair::plan",
    "repair::summary",
    "status",
    "status::text",
    "store::refusal",
    "scatter::intake",
    "scatter::moves",
    "scatter::place",
    "scatter::plan",
    "sweep::plan",
];

struct Source {
    module: String,
    path: PathBuf,
    text: String,
}

impl Source {
    /// The text up to the file's unit tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&self.text)
    }
}

fn sources(folder: &Path) -> Vec<Source> {
    super::support::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|(path, bytes)| {
            let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().with_extension("");
            let parts: Vec<_> = relative.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod").collect();
            Source { module: parts.join("::"), path, text: String::from_utf8(bytes).unwrap() }
        })
        .collect()
}

fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let all = sources(Path::new("src")).into_iter().chain(sources(Path::new("tests")));
    let silent = all.filter(|source| !source.text.starts_with("//! "));
    check(silent.map(|source| format!("{}: begin with one `//!` sentence on what the module is for", source.path.display())).collect());
}

#[test]
fn files_are_short() {
    let long = sources(Path::new("src"))
        .into_iter()
        .map(|source| (source.code().lines().count(), source))
        .filter(|(lines, _)| *lines > FILE_LINES);
    check(
        long.map(|(lines, source)| {
            format!("{}: {lines} lines without tests, at most {FILE_LINES}; split it by what its parts are for", source.path.display())
        })
        .collect(),
    );
}

#[test]
fn functions_are_short() {
    let mut problems = Vec::new();
    for source in sources(Path::new("src")).into_iter().chain(sources(Path::new("tests"))) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let body = line.trim_start();
            let indent = line.len() - body.len();
            let is_function = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(super) fn "]
                .iter()
                .any(|begin| body.starts_with(begin));
            if !is_function {
                continue;
            }
            let end = lines[start..].iter().position(|line| *line == format!("{}}}", " ".repeat(indent)));
            let length = end.map_or(1, |end| end + 1);
            if length > FUNCTION_LINES && !lines[start].ends_with(';') {
                problems.push(format!(
                    "{}:{}: {length} lines, at most {FUNCTION_LINES}; give its parts names of their own",
                    source.path.display(),
                    start + 1
                ));
            }
        }
    }
    check(problems);
}

/// The layer of a module: that of the longest entry that names it or a parent.
fn layer(module: &str) -> Option<usize> {
    let entries = LAYERS.iter().enumerate().flat_map(|(level, (_, modules))| modules.iter().map(move |entry| (level, *entry)));
    let fitting = entries.filter(|(_, entry)| module == *entry || module.starts_with(&format!("{entry}::")));
    fitting.max_by_key(|(_, entry)| entry.len()).map(|(level, _)| level)
}

fn is_allowed(from: &str, to: &str) -> bool {
    ALLOWED.iter().any(|(user, used, _)| {
        let user_fits = from == *user || from.starts_with(&format!("{user}::"));
        (user_fits && to.starts_with(used)) || (used.is_empty() && to.starts_with(user))
    })
}

#[test]
fn imports_only_go_down() {
    let mut problems = Vec::new();
    let all = sources(Path::new("src"));
    let modules: BTreeMap<&str, ()> = all.iter().map(|source| (source.module.as_str(), ())).collect();
    for source in &all {
        let Some(own) = layer(&source.module) else {
            problems.push(format!("{}: give the module a layer in tests/it/tidy.rs", source.path.display()));
            continue;
        };
        for used in imports(source.code()) {
            let target = modules
                .keys()
                .filter(|module| used == **module || used.starts_with(&format!("{module}::")))
                .max_by_key(|module| module.len());
            let Some(level) = target.and_then(|module| layer(module)) else { continue };
            if level > own && !is_allowed(&source.module, &used) {
                problems.push(format!(
                    "{}: uses crate::{used}, which is in the layer `{}` above its own, `{}`; pass a value down instead",
                    source.path.display(),
                    LAYERS[level].0,
                    LAYERS[own].0
                ));
            }
        }
    }
    check(problems);
}

/// Paths behind `crate::`, those in braces spelled out one by one.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with("pub(") || code[..at].lines().next_back().is_some_and(|line| line.trim_start().starts_with("//")) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let path: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        if let Some(list) = rest[path.len()..].strip_prefix('{') {
            let inner = list.split('}').next().unwrap_or_default();
            found.extend(inner.split(',').map(|name| format!("{path}{}", name.trim())));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn pure_modules_do_no_io() {
    let mut problems = Vec::new();
    for source in sources(Path::new("src")).iter().filter(|source| PURE.contains(&source.module.as_str())) {
        for word in ["async ", ".await", "object_store::", "tokio::", "std::fs", "dyn Clock"] {
            for (number, line) in
                source.code().lines().enumerate().filter(|(_, line)| line.contains(word) && !line.trim_start().starts_with("//"))
            {
                problems.push(format!(
                    "{}:{}: `{}` in a pure module: {}; fetch first, then decide",
                    source.path.display(),
                    number + 1,
                    word.trim(),
                    line.trim()
                ));
            }
        }
    }
    check(problems);
    let known: Vec<String> = sources(Path::new("src")).into_iter().map(|source| source.module).collect();
    check(
        PURE.iter()
            .filter(|module| !known.iter().any(|name| name == *module))
            .map(|module| format!("PURE names {module}, which does not exist"))
            .collect(),
    );
}

#[test]
fn words_that_must_not_appear() {
    let banned = [
        ("dbg!(", "remove it"),
        (concat!("TO", "DO"), "do it, or write it into an issue"),
        (concat!("FIX", "ME"), "fix it"),
        ("#[ignore", "a test runs or does not exist"),
        ("allow(dead_code)", "remove the code"),
        ("_v2", "replace the old way instead of adding a second"),
        ("/root/", "no path of one machine"),
        ("/work/main", "no path of one machine"),
    ];
    let mut problems = Vec::new();
    for source in sources(Path::new("src")).into_iter().chain(sources(Path::new("tests"))).filter(|source| source.module != "it::tidy") {
        for (word, instead) in banned {
            // This name is S3's.
            let lines = source.text.lines().map(|line| line.replace("list_objects_v2", ""));
            for (number, _) in lines.enumerate().filter(|(_, line)| line.contains(word)) {
                problems.push(format!("{}:{}: `{word}`: {instead}", source.path.display(), number + 1));
            }
        }
    }
    check(problems);
}

#[test]
fn every_promise_has_a_test_and_a_line_in_the_document() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md")).unwrap();
    let tests: String = sources(Path::new("tests")).into_iter().chain(sources(Path::new("src"))).map(|source| source.text).collect();
    let mut problems = Vec::new();
    let named: Vec<&str> = document.split('`').filter(|word| word.contains("::")).collect();
    for name in &named {
        let function = name.rsplit("::").next().unwrap_or_default();
        if !tests.contains(&format!("fn {function}(")) {
            problems.push(format!("docs/semantics.md names the test {name}, which does not exist"));
        }
    }
    for number in 1..=12 {
        if !document.contains(&format!("**P{number} ")) {
            problems.push(format!("docs/semantics.md lacks promise P{number}"));
        }
    }
    check(problems);
}

/// Firehose labels what it lands with `Content-Encoding: gzip`. A client that undoes it hands out other bytes than the ranges that it is asked for.
#[test]
fn the_client_of_buckets_undoes_no_content_encoding() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = ["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"];
    let tree = std::process::Command::new(cargo).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let clients: Vec<&str> = tree.lines().filter(|line| line.starts_with("reqwest v")).collect();
    assert!(!clients.is_empty(), "no reqwest among what is built in: look at what reads buckets now\n{tree}");
    let undoes = |client: &&str| client.split([' ', ',']).any(|feature| ["gzip", "brotli", "deflate", "zstd"].contains(&feature));
    let problems = clients.into_iter().filter(undoes).map(|client| format!("{client}: find out who wants that feature, and do without"));
    check(problems.collect());
}
