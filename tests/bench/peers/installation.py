"""Getting what is measured, by package name, into `target/peers`."""

import glob
import json
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path

from processes import Command, Failure, finish, output_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PLACE = ROOT / "target" / "peers"
LOGS = PLACE / "logs"

# A slow line, and for cargo a slow machine.
FETCH_SECONDS = 600
BUILD_SECONDS = 3600


def say(what):
    print(what, file=sys.stderr, flush=True)


def step(what, arguments, seconds=FETCH_SECONDS, **environment):
    say(f"  {what}")
    finish(what, Command(arguments, environment), fresh(LOGS / "installation.log"), seconds)


def fresh(log):
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    return log


def is_installed(stamp, wanted):
    return stamp.is_file() and stamp.read_text() == wanted


@cache
def python_packages(name):
    """A virtual environment with the packages of `requirements/<name>.txt`; its `bin` directory."""
    requirements, venv = HERE / "requirements" / f"{name}.txt", PLACE / f"venv-{name}"
    stamp, wanted = venv / "installed", requirements.read_text()
    if not is_installed(stamp, wanted):
        shutil.rmtree(venv, ignore_errors=True)
        step(f"virtual environment for {name}", [sys.executable, "-m", "venv", venv])
        pip = [venv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
        step(f"pip install -r {requirements.relative_to(ROOT)}", [*pip, "-r", requirements])
        stamp.write_text(wanted)
    return venv / "bin"


@cache
def node_packages():
    """The packages of `package-lock.json`; their `node_modules`."""
    if not shutil.which("npm"):
        raise Failure("there is no npm: install Node.js 20 or later")
    place = PLACE / "node"
    stamp, wanted = place / "installed", (HERE / "package-lock.json").read_text()
    if not is_installed(stamp, wanted):
        place.mkdir(parents=True, exist_ok=True)
        for name in ["package.json", "package-lock.json"]:
            shutil.copy(HERE / name, place)
        # Not `npm ci`, which wants the lock to name what msgpackr has for other systems, too.
        step("npm install", ["npm", "install", "--prefix", place, "--no-fund", "--no-audit"])
        stamp.write_text(wanted)
    return place / "node_modules"


@cache
def rust_program(name):
    """A binary of the Cargo package here."""
    if not shutil.which("cargo"):
        raise Failure("there is no cargo: install Rust from https://rustup.rs")
    target = PLACE / "cargo"
    manifest = ["--manifest-path", HERE / "Cargo.toml", "--target-dir", target]
    step(f"cargo build {name}", ["cargo", "build", "--release", "--locked", *manifest, "--bin", name], BUILD_SECONDS)
    return target / "release" / name


@cache
def system_program(name, package, *other_directories):
    """A program of the system, installed with apt if there is none and one may."""
    if not (found := find(name, *other_directories)):
        if not shutil.which("apt-get") or os.geteuid() != 0:
            raise Failure(f"there is no {name}: install the package {package}")
        # With RUNLEVEL=1 the package starts no service.
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        step("apt-get update", ["apt-get", "update"], **quiet)
        step(f"apt-get install {package}", ["apt-get", "install", "-y", "--no-install-recommends", package], **quiet)
        found = find(name, *other_directories)
    if not found:
        raise Failure(f"the package {package} has no {name}")
    return found


def find(name, *other_directories):
    places = [os.environ.get("PATH", ""), *(place for other in other_directories for place in glob.glob(other))]
    found = shutil.which(name, path=os.pathsep.join(places))
    return found and Path(found)


@cache
def nats_server():
    """`NATS_SERVER_BIN`, or the release that Saggar's tests use, pinned so that figures can be compared."""
    if named := os.environ.get("NATS_SERVER_BIN"):
        return Path(named)
    return python_packages("nats-server") / "nats-server"


def version(program):
    return output_of(program, "--version").strip().splitlines()[0]


def python_versions(venv, *packages):
    pinned = dict(line.split("==") for line in (HERE / "requirements" / f"{venv}.txt").read_text().splitlines())
    return {package: pinned[package] for package in packages} | {"Python": sys.version.split()[0]}


def node_versions(*packages):
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {package: pinned[package] for package in packages}


def rust_versions(*packages):
    pinned = re.findall(r'name = "(.+)"\nversion = "(.+)"', (HERE / "Cargo.lock").read_text())
    return {name: version for name, version in pinned if name in packages}
