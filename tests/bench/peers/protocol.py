"""What is measured, and how, the same for every peer.

A session is a server with an empty store, a client, and later a worker. The client obeys orders, each a line of JSON
on its standard input, answered by a line:

    it has connected                                                 {"ready": true}
    {"fill": {"queue": "bulk", "jobs": 20000}}                       {"filled": 20000}
    {"count": {}}                                                    {"done": 17}         results kept so far
    {"check": {}}                                                    {"failed": 0}        of these, or of a sample
    {"call": {"queue": "quiet", "jobs": 100, "every": 0.05}}         {"seconds": [...]}   enqueued until result seen

A job carries 256 bytes and gives them back. Workers serve two queues, `bulk` and `quiet`.
"""

import contextlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import installation
from processes import Conversation, Failure, Process

# Bounds of what may take long, generous: they only catch what hangs.
START_SECONDS = 60
FILL_SECONDS = 300
DRAIN_SECONDS = 300
CALL_SECONDS = 120

# How often results are counted: often enough for a drain of a second, and no load.
POLL_SECONDS = 0.02

# A rate is taken from here on, so that it says nothing about the start.
WARM = 0.05

# What may be queued at most, to keep filling bounded.
MOST_JOBS = 300_000


@dataclass
class Size:
    """How much is done."""

    jobs: int
    # With every write synced, everything is slower by an order of magnitude.
    synced_jobs: int
    alone_calls: int
    quiet_calls: int
    quiet_every: float


FULL = Size(jobs=20_000, synced_jobs=4_000, alone_calls=300, quiet_calls=100, quiet_every=0.05)
QUICK = Size(jobs=2_000, synced_jobs=400, alone_calls=50, quiet_calls=20, quiet_every=0.05)


class Session:
    """Server, client and worker of one measurement, which end with the `with` block."""

    def __init__(self, peer, configuration, synced):
        self.peer, self.configuration, self.synced = peer, configuration, synced
        self.workers = []

    def __enter__(self):
        with contextlib.ExitStack() as opening:
            # On the disk of the repository: a system's directory for temporary files is often in memory.
            stores = installation.PLACE / "stores"
            stores.mkdir(parents=True, exist_ok=True)
            self.directory = Path(tempfile.mkdtemp(prefix=f"{self.peer.name}-", dir=stores))
            opening.callback(shutil.rmtree, self.directory, ignore_errors=True)
            # The server may be run by somebody else, who has to get to its store.
            self.directory.chmod(0o755)
            store = self.directory / "store"
            store.mkdir()
            server, self.url = self.peer.server.start(store, self.synced, self.log("server"))
            opening.enter_context(server)
            self.peer.prepare(self)
            self.client = Conversation("the client", self.peer.client(self), self.log("client"))
            opening.enter_context(self.client)
            self.client.answer(START_SECONDS)
            self.processes = opening.pop_all()
        return self

    def __exit__(self, *_):
        self.processes.close()

    def log(self, name):
        return installation.LOGS / f"{self.peer.name}-{name}.log"

    def start_worker(self):
        for command in self.peer.worker(self):
            worker = Process("the worker", command, self.log("worker"))
            self.workers.append(self.processes.enter_context(worker))

    def fill(self, queue, jobs):
        self.client.ask({"fill": {"queue": queue, "jobs": jobs}}, FILL_SECONDS)

    def count(self):
        return self.client.ask({"count": {}}, CALL_SECONDS)["done"]

    def failed(self):
        return self.client.ask({"check": {}}, CALL_SECONDS)["failed"]

    def call(self, queue, jobs, every=None):
        return self.client.ask({"call": {"queue": queue, "jobs": jobs, "every": every}}, CALL_SECONDS)["seconds"]

    def wait_for(self, done):
        """When at least so many results were counted, and how many they were."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (counted := self.count()) < done:
            if time.monotonic() > deadline:
                raise Failure(f"{counted} of {done} jobs were done within {DRAIN_SECONDS} s")
            for worker in self.workers:
                if worker.has_ended():
                    raise Failure(f"the worker has ended: {worker.last_words()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic(), counted


def drain(session, jobs):
    """Jobs per second, of a worker that finds them all queued."""
    session.fill("bulk", jobs)
    started = time.monotonic()
    session.start_worker()
    warm, warm_count = session.wait_for(int(jobs * WARM))
    # A worker may be done within one look at it, and then there is no rate without its start.
    ended, count = session.wait_for(jobs)
    if count != jobs:
        raise Failure(f"{jobs} jobs gave {count} results")
    if failed := session.failed():
        raise Failure(f"{failed} of {jobs} jobs failed")
    rate = (count - warm_count) / (ended - warm) if count > warm_count else None
    return {"rate": rate, "rate_with_start": count / (ended - started)}


def alone(session, calls):
    """Seconds of jobs that are enqueued one after another, with nothing else to do; the worker runs already."""
    return {"seconds": session.call("quiet", calls)}


def flood(session, jobs, calls, every):
    """Seconds of jobs in one queue, while the other has more to do than the worker can."""
    session.fill("bulk", jobs)
    session.start_worker()
    session.wait_for(int(jobs * WARM))
    seconds = session.call("quiet", calls, every)
    return {"seconds": seconds, "queued": jobs, "left": max(0, jobs + calls - session.count())}


def flood_that_lasts(rate, size):
    """So many jobs that they outlast the quiet ones at twice the rate that was measured."""
    needed = int(rate * (2 * size.quiet_calls * size.quiet_every + 3))
    return min(max(size.jobs, needed), MOST_JOBS)
