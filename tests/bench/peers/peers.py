"""Who is compared: how each is installed, and the commands of its client and its worker.

The configurations of a peer are those that somebody who knows it would try; the one that drains fastest is measured.
The first is taken when nothing is tried.
"""

import os
import shutil
import urllib.error
import urllib.request

import installation
from installation import HERE
from processes import Command, Failure, Process, finish, free_port, until
from servers import Nats, Postgres, Redis

CORES = os.cpu_count()


class Peer:
    name = ""
    title = ""
    server = None
    configurations = {}
    # What its figures do not say by themselves.
    remarks = ""

    def install(self):
        raise NotImplementedError

    def versions(self):
        return {}

    def prepare(self, session):
        """What has to be there before jobs can be queued."""

    def client(self, session):
        raise NotImplementedError

    def worker(self, session):
        """One command per process that is started."""
        raise NotImplementedError


class Python(Peer):
    """A peer whose worker and client are Python, in a virtual environment of its own."""

    def run(self, session, program, *arguments):
        # The modules here are found, and leave no traces in the repository.
        environment = {"PEER_URL": session.url, "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}
        return Command([installation.python_packages(self.venv) / program, *arguments], environment)


class NatsClient(Python):
    """A peer whose jobs are plain JetStream messages."""

    venv = "nats-client"
    server = Nats

    def client(self, session):
        return self.run(session, "python", HERE / "nats_client.py", self.name)


class Saggar(NatsClient):
    name = "saggar"
    title = "Saggar"
    configurations = {
        "256 slots, the default": 256,
        "64 slots": 64,
        "1,024 slots": 1024,
    }
    remarks = (
        "One host. Each task runs in a WebAssembly sandbox of its own. Its two queues are two of one tenant. The host "
        "has served the queues before, so its cache holds the compiled plugin. The client is plain nats-py."
    )

    def __init__(self, binary, plugin):
        self.binary, self.plugin = binary, plugin

    def install(self):
        installation.python_packages(self.venv)
        for path, how in [(self.binary, "cargo build --release"), (self.plugin, "make guests")]:
            if not path.is_file():
                raise Failure(f"there is no {path.name}: `{how}` builds it")

    def versions(self):
        client = installation.python_versions(self.venv, "nats-py")
        return {"saggar": installation.version(self.binary).split()[-1]} | client

    def saggar(self, session, *arguments, host="first", port=0):
        environment = {
            "NATS_URL": session.url,
            "SAGGAR_TENANT": "bench",
            "SAGGAR_HOST__NAME": host,
            "SAGGAR_HOST__SLOTS": session.configuration,
            "SAGGAR_HOST__CACHE": session.directory / "cache",
            "SAGGAR_ADMIN__LISTEN": f"127.0.0.1:{port}",
        }
        return Command([self.binary, *arguments], environment)

    def prepare(self, session):
        tenant = session.directory / "bench.toml"
        # More than there are slots, or tasks about to be acknowledged would keep others from being delivered.
        queue = f'plugin = "echo@1.0.0"\nconcurrency = {4 * session.configuration}\n'
        tenant.write_text(
            '[tenant]\nname = "bench"\nquota = { tasks = 1_000_000 }\n'
            f'[[queue]]\nname = "bulk"\n{queue}[[queue]]\nname = "quiet"\n{queue}'
        )
        log = session.log("prepare")
        push = ["plugin", "push", self.plugin, "--name", "echo", "--version", "1.0.0"]
        # A host makes the streams from the tenant's file, and then goes, so that the worker starts after the jobs.
        port = free_port()
        with Process("saggar host", self.saggar(session, "host", port=port), log):
            until("saggar host is ready", 60, lambda: is_ready(f"http://127.0.0.1:{port}/readyz"))
            finish("saggar plugin push", self.saggar(session, *push), log, 60)
            finish("saggar apply", self.saggar(session, "apply", tenant), log, 60)

    def worker(self, session):
        # Not the first one's name, which may not be free at once.
        return [self.saggar(session, "host", host="second")]


def is_ready(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError):
        return False


class Apalis(NatsClient):
    name = "apalis"
    title = "apalis-nats"
    configurations = {"64 at once": 64, "16 at once": 16, "256 at once": 256}
    remarks = (
        "One process with a worker per queue, each with `parallelize(tokio::spawn)` and a durable pull consumer. It "
        "keeps no results: the handler stores its own in a JetStream stream and waits for the acknowledgement. The "
        "client is plain nats-py, for whatever enqueues through apalis-nats itself also begins to consume."
    )

    def install(self):
        installation.python_packages(self.venv)
        installation.rust_program("apalis_nats")

    def versions(self):
        return installation.rust_versions("apalis", "apalis-nats", "async-nats")

    def worker(self, session):
        environment = {"PEER_URL": session.url, "PEER_CONCURRENCY": session.configuration}
        return [Command([installation.rust_program("apalis_nats")], environment)]


class Taskiq(Python):
    name = "taskiq"
    title = "taskiq + taskiq-nats"
    venv = "taskiq"
    server = Nats
    configurations = {
        f"{CORES} processes, pulling batches of 100": (CORES, 100),
        f"{CORES} processes, pulling single jobs, its default": (CORES, 1),
        "1 process, pulling batches of 100": (1, 100),
    }
    remarks = (
        "The JetStream pull broker, 100 jobs at once in each process, its default, uvloop, and the object store, which "
        "is its only result backend. A worker serves one queue, so the two queues have a `taskiq worker` each. Its "
        "client asks for a result every 2 ms instead of every 200 ms. A pull that comes back empty can end a process "
        "of its worker, which it then replaces; pulls of 30 s make that rare."
    )

    def install(self):
        installation.python_packages(self.venv)

    def versions(self):
        return installation.python_versions(self.venv, "taskiq", "taskiq-nats", "uvloop")

    def run(self, session, program, *arguments):
        command = super().run(session, program, *arguments)
        command.environment["PEER_BATCH"] = session.configuration[1]
        return command

    def client(self, session):
        return self.run(session, "python", HERE / "taskiq_peer.py")

    def worker(self, session):
        options = ["--workers", session.configuration[0], "--log-level", "WARNING"]
        return [self.run(session, "taskiq", "worker", f"taskiq_peer:{queue}", *options) for queue in ["bulk", "quiet"]]


class Celery(Python):
    name = "celery"
    title = "Celery + Redis"
    venv = "celery"
    server = Redis
    configurations = {
        f"{CORES} workers of the solo pool": (CORES, ["--pool", "solo"]),
        f"prefork with {CORES} children": (1, ["--pool", "prefork", "--concurrency", CORES]),
        f"prefork with {2 * CORES} children": (1, ["--pool", "prefork", "--concurrency", 2 * CORES]),
    }
    remarks = (
        "Prefetches 64 jobs per child instead of 4, with `task_acks_late`, so that a job is taken off the queue when "
        "it is done, and without gossip and mingling. Results are in a second database of the same Redis."
    )

    def install(self):
        installation.python_packages(self.venv)

    def versions(self):
        return installation.python_versions(self.venv, "celery", "redis", "hiredis")

    def client(self, session):
        return self.run(session, "python", HERE / "celery_peer.py")

    def worker(self, session):
        workers, pool = session.configuration
        quiet = ["--queues", "bulk,quiet", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
        command = ["celery", "--app", "celery_peer", "worker", *quiet, *pool]
        return [self.run(session, *command, "--hostname", f"worker{number}@%h") for number in range(workers)]


class BullMq(Peer):
    name = "bullmq"
    title = "BullMQ + Redis"
    server = Redis
    configurations = {
        f"{CORES} processes, 50 jobs each at once": (CORES, 50),
        "1 process, 50 jobs at once": (1, 50),
        "1 process, 200 jobs at once": (1, 200),
        f"{CORES} processes, 200 jobs each at once": (CORES, 200),
        f"{2 * CORES} processes, 50 jobs each at once": (2 * CORES, 50),
    }
    remarks = "Node.js with ioredis; every process has a `Worker` per queue."

    def install(self):
        if not shutil.which("node"):
            raise Failure("there is no node: install Node.js 20 or later")
        installation.node_packages()

    def versions(self):
        return installation.node_versions("bullmq", "ioredis") | {"Node.js": installation.version("node").lstrip("v")}

    def run(self, session, part, **environment):
        found = {"PEER_URL": session.url, "NODE_PATH": installation.node_packages()}
        return Command(["node", HERE / "bullmq.cjs", part], found | environment)

    def client(self, session):
        return self.run(session, "client")

    def worker(self, session):
        processes, at_once = session.configuration
        return [self.run(session, "worker", PEER_CONCURRENCY=at_once) for _ in range(processes)]


class River(Peer):
    name = "river"
    title = "River + PostgreSQL"
    server = Postgres
    configurations = {
        "1,000 jobs at once, fetching every 1 ms at most": (1_000, 1),
        "100 jobs at once, fetching every 100 ms at most, its default": (100, 100),
        "100 jobs at once, fetching every 1 ms at most": (100, 1),
    }
    remarks = (
        "River's own client for Rust (`riverqueue`), not the one for Go. The result is the job's recorded output. The "
        "worker collects completed jobs for 10 ms to write them together. A client cannot wait for a result of another "
        "process; here it looks at the job's row every 1 ms."
    )

    def install(self):
        installation.rust_program("river")

    def versions(self):
        return installation.rust_versions("riverqueue", "sqlx")

    def run(self, session, part):
        at_once, cooldown = session.configuration
        environment = {"PEER_URL": session.url, "PEER_CONCURRENCY": at_once, "PEER_COOLDOWN_MS": cooldown}
        return Command([installation.rust_program("river"), part], environment)

    def client(self, session):
        return self.run(session, "client")

    def worker(self, session):
        return [self.run(session, "worker")]


def all_peers(saggar, plugin):
    return [Saggar(saggar, plugin), Apalis(), Taskiq(), Celery(), BullMq(), River()]
