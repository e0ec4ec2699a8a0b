//! `saggar test`: runs the cases of a plugin in this process, under real limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use owo_colors::{OwoColorize, Style};
use saggar_model::config::{CaseFile, PluginFile};
use saggar_model::{PluginId, TaskResult, escape, format_duration};
use saggar_sandbox::Plugin;
use serde::Serialize;
use serde_json::json;

use crate::case::{Case, differences};
use crate::component;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::local::Local;
use crate::report::{short_digest, style};
use crate::watcher::Kept;
use crate::{manifest, report};

const EXAMPLES: &str = "\
A case is a file `cases/NAME.toml`:

  [input]
  text = '{\"name\":\"Ada\"}'        # or: file = \"photo.jpg\", beside the case
  content_type = \"application/json\"
  headers = { \"X-Size\" = \"200x200\" }
  [limits]
  fuel = 100_000_000
  [expect]
  outcome = \"succeeded\"
  output = \"Hello, Ada!\"          # or output_contains, output_file, content_type, reason_contains

Examples:
  cargo build --release --target wasm32-wasip2 && saggar test
  saggar test plugins/thumbnail
  saggar test plugins/thumbnail --plugin thumbnail.wasm --only bomb";

/// The arguments of `saggar test`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Directory with `plugin.toml` and `cases/`.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// The component to test [default: what cargo built last, in `target/wasm32-wasip2/release`].
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,

    /// Run only cases whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// A case that was run.
#[derive(Debug, Serialize)]
struct Row {
    case: String,
    passed: bool,
    outcome: saggar_model::Outcome,
    duration_ms: f64,
    fuel: u64,
    peak_memory: u64,
    differences: Vec<String>,
    reason: Option<String>,
}

/// Runs the cases.
///
/// # Errors
/// The directory holds no plugin or no cases, the component is missing or none, or a case has mistakes.
pub async fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let manifest = manifest::read_in(&arguments.directory)?;
    let cases = read_cases(&arguments.directory.join("cases"), arguments.only.as_deref())?;
    let file = match &arguments.plugin {
        Some(file) => file.clone(),
        None => manifest::newest_built(&arguments.directory, &manifest.name)?,
    };
    let component = component::read(&file)?;
    let local = Local::new(console)?;
    let plugin = local.prepare(&component).await?;
    let PluginFile { name, version, .. } = manifest;
    let digest = short_digest(&component.inspection.digest);
    console.note(format!("{name}@{version} {}", format!("{digest} {}", file.display()).dimmed()));

    let widest = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or_default();
    let id = PluginId { name, version: Some(version) };
    let mut rows = Vec::with_capacity(cases.len());
    for case in cases {
        let kept = Arc::new(Kept::default());
        let result = run(&local, &plugin, &id, &case, kept.clone()).await;
        let differences = differences(&case, &result);
        console.line(shown(&case.name, widest, &result, &differences, &kept.take()))?;
        rows.push(row(case.name, &result, differences));
    }
    finish(console, &id, &rows)
}

async fn run(local: &Local, plugin: &Plugin, id: &PluginId, case: &Case, kept: Arc<Kept>) -> TaskResult {
    local.attempt(plugin, Some(id.clone()), case.task(), kept, std::future::pending()).await
}

fn finish(console: Console, plugin: &PluginId, rows: &[Row]) -> Result<Exit, Failure> {
    let failed = rows.iter().filter(|row| !row.passed).count();
    let passed = rows.len() - failed;
    let meta =
        json!({ "plugin": plugin.to_string(), "passed": passed, "failed": failed, "count": rows.len() });
    console.object(json!({ "rows": rows }), &meta)?;
    if failed == 0 {
        console.line(format!("{passed} passed").green().to_string())?;
        return Ok(Exit::Success);
    }
    console.line(format!("{passed} passed, {}", format!("{failed} failed").red().bold()))?;
    Ok(Exit::TaskFailed)
}

fn read_cases(directory: &Path, only: Option<&str>) -> Result<Vec<Case>, Failure> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Failure::file(directory, "read", &error).advice(NO_CASES))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).map_err(|error| Failure::file(&file, "read", &error))?;
        match CaseFile::parse(&file.display().to_string(), &text) {
            Ok(parsed) => cases.push(Case::load(name, directory, parsed)?),
            Err(problems) => mistakes.push(problems),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::mistakes(mistakes));
    }
    if cases.is_empty() {
        let which = only.map(|only| format!(" named like `{only}`")).unwrap_or_default();
        let text = format!("{} holds no case{which}", directory.display());
        return Err(Failure::new(Kind::NotFound, text).advice(NO_CASES));
    }
    Ok(cases)
}

const NO_CASES: &str = "A case is a file `cases/NAME.toml`; `saggar test --help` shows one.";

fn row(case: String, result: &TaskResult, differences: Vec<String>) -> Row {
    Row {
        case,
        passed: differences.is_empty(),
        outcome: result.outcome,
        duration_ms: report::millis(result.receipt.duration),
        fuel: result.receipt.fuel,
        peak_memory: result.receipt.peak_memory,
        differences,
        reason: result.reason(),
    }
}

fn shown(name: &str, widest: usize, result: &TaskResult, differences: &[String], log: &[String]) -> String {
    let blank = " ".repeat(widest.saturating_sub(name.chars().count()));
    let passed = differences.is_empty();
    let mark =
        if passed { "ok  ".style(Style::new().green()) } else { "FAIL".style(Style::new().red().bold()) };
    let outcome = format!("{:<16}", result.outcome);
    let outcome = if passed { outcome.style(Style::new()) } else { outcome.style(style(result.outcome)) };
    let cost = format!(
        "{:>7}  fuel {}",
        format_duration(result.receipt.duration),
        report::count(result.receipt.fuel)
    );
    let mut lines = vec![format!("{mark} {}{blank}  {outcome} {}", escape(name), cost.dimmed())];
    if !passed {
        lines.extend(
            differences.iter().flat_map(|difference| difference.lines()).map(|line| format!("       {line}")),
        );
        if let Some(reason) = result.reason() {
            lines.push(format!("       {}", format!("reason: {}", escape(&reason)).dimmed()));
        }
        lines.extend(log.iter().map(|line| format!("       {}", line.dimmed())));
    }
    lines.join("\n")
}
