"""Starting processes and ending them, by id, with whatever they started themselves."""

import json
import os
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent

# How long a process may take to end after it was told to.
PATIENCE = 10


class Failure(Exception):
    """Something that ends one measurement, and not the run."""


@dataclass
class Command:
    arguments: list
    environment: dict = field(default_factory=dict)
    # Whom to run as, if not as oneself: PostgreSQL refuses to be run by root.
    user: str | None = None
    # What tells it to end in an orderly way.
    end: signal.Signals = signal.SIGTERM


class Process:
    """A running process in a group of its own, which ends with the `with` block."""

    def __init__(self, name, command, log, stdin=None, stdout=None):
        self.name, self.log, self.end = name, Path(log), command.end
        with open(log, "ab") as output:
            try:
                self.popen = subprocess.Popen(
                    [str(argument) for argument in command.arguments],
                    env=os.environ | {key: str(value) for key, value in command.environment.items()},
                    # From here upwards rustup finds the repository's rust-toolchain.toml.
                    cwd=HERE,
                    user=command.user,
                    stdin=stdin or subprocess.DEVNULL,
                    stdout=stdout or output,
                    stderr=output,
                    # A group of its own: Ctrl-C reaches only this script, which then ends everything in order.
                    start_new_session=True,
                )
            except OSError as error:
                raise Failure(f"{name} does not start: {error}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def has_ended(self):
        """Without reaping it: as long as it is not reaped, its id cannot become another's."""
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.popen.returncode is not None or os.waitid(os.P_PID, self.popen.pid, ended) is not None

    def ends_within(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def stop(self):
        """Ends it and what it started, and returns its exit code."""
        if self.popen.returncode is None:
            if not self.has_ended():
                self.popen.send_signal(self.end)
                self.ends_within(PATIENCE)
            kill_group(self.popen.pid)
            self.popen.wait()
        return self.popen.returncode

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip()[:300] for line in lines[-3:]) or "it said nothing"


class Conversation(Process):
    """A process that answers each line of JSON with one."""

    def __init__(self, name, command, log):
        super().__init__(name, command, log, subprocess.PIPE, subprocess.PIPE)
        self.unread = b""

    def ask(self, order, seconds):
        try:
            self.popen.stdin.write(json.dumps(order).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{self.name} has ended: {self.last_words()}") from None
        return self.answer(seconds)

    def answer(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise Failure(f"{self.name} did not answer within {seconds} s: {self.last_words()}")
            if not (more := os.read(self.popen.stdout.fileno(), 65536)):
                raise Failure(f"{self.name} has ended: {self.last_words()}")
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing of it is left, or nothing that is ours.
        pass


def finish(name, command, log, seconds, stdout=None):
    """Runs a command to its end."""
    with Process(name, command, log, stdout=stdout) as process:
        if not process.ends_within(seconds):
            raise Failure(f"{name} was not done within {seconds} s")
        if (code := process.stop()) != 0:
            raise Failure(f"{name} ended with {code}: {process.last_words()}")


def output_of(*arguments, seconds=30):
    """What a command prints, such as its version."""
    try:
        done = subprocess.run([str(it) for it in arguments], capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{arguments[0]}: {error}") from None
    if done.returncode != 0:
        raise Failure(f"{arguments[0]}: {done.stderr.strip()[-300:] or done.returncode}")
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, seconds, is_so):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.01)
