"""The servers behind the peers, each on a free port of 127.0.0.1 with an empty store.

A server is started in one of two ways: `synced`, so that a write is on the disk before it is acknowledged, or not.
"""

import os
import pwd
import shutil
import signal
import socket
from urllib.parse import urlparse

import installation
from processes import Command, Failure, Process, finish, free_port, output_of, until

# How long a server may take to accept connections.
START_SECONDS = 30


class Nats:
    buffered = "`sync_interval` of 2 minutes, its default"
    synced = "`sync_interval: always`"

    @staticmethod
    def install():
        installation.nats_server()

    @staticmethod
    def versions():
        return {"nats-server": installation.version(installation.nats_server()).split()[-1].lstrip("v")}

    @staticmethod
    def start(directory, synced, log):
        port, configuration = free_port(), directory / "nats.conf"
        lines = [f'listen: "127.0.0.1:{port}"', "jetstream {", f'  store_dir: "{directory}"']
        lines += ["  sync_interval: always"] if synced else []
        configuration.write_text("\n".join([*lines, "}", ""]))
        command = Command([installation.nats_server(), "-c", configuration])
        return listening("nats-server", command, log, f"nats://127.0.0.1:{port}")


class Redis:
    buffered = "snapshots only, its default"
    synced = "`appendonly yes`, `appendfsync always`"

    @staticmethod
    def install():
        Redis.program()

    @staticmethod
    def program():
        return installation.system_program("redis-server", "redis-server")

    @staticmethod
    def versions():
        return {"redis-server": installation.version(Redis.program()).split("v=")[1].split()[0]}

    @staticmethod
    def start(directory, synced, log):
        port = free_port()
        sync = ["--appendonly", "yes", "--appendfsync", "always"] if synced else []
        command = Command([Redis.program(), "--bind", "127.0.0.1", "--port", port, "--dir", directory, *sync])
        return listening("redis-server", command, log, f"redis://127.0.0.1:{port}")


class Postgres:
    buffered = "`synchronous_commit = off`"
    synced = "`synchronous_commit = on`, its default"

    @staticmethod
    def install():
        for name in ["postgres", "initdb", "pg_isready"]:
            Postgres.program(name)

    @staticmethod
    def program(name):
        directories = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"]
        postgres = installation.system_program("postgres", "postgresql", *directories)
        # Those of one release belong together.
        beside = postgres.resolve().parent / name
        if not beside.is_file():
            raise Failure(f"there is no {name} beside {postgres}")
        return beside

    @staticmethod
    def versions():
        return {"PostgreSQL": installation.version(Postgres.program("postgres")).split()[2]}

    @staticmethod
    def user():
        """PostgreSQL refuses to be run by root, for whom it is run as somebody who can do less."""
        if os.geteuid() != 0:
            return None
        for name in ["postgres", "nobody"]:
            try:
                return pwd.getpwnam(name).pw_name
            except KeyError:
                continue
        raise Failure("PostgreSQL cannot be run as root, and there is no user postgres or nobody")

    @staticmethod
    def start(directory, synced, log):
        port, user = free_port(), Postgres.user()
        if user:
            shutil.chown(directory, user)
        initdb = [Postgres.program("initdb"), "-D", directory / "data", "-U", "bench", "-A", "trust", "--no-sync"]
        finish("initdb", Command(initdb, user=user), log, START_SECONDS)
        arguments = ["-D", directory / "data", "-h", "127.0.0.1", "-p", port, "-k", directory]
        commit = ["-c", f"synchronous_commit={'on' if synced else 'off'}"]
        # SIGTERM would wait for its clients to leave; this is its fast shutdown.
        command = Command([Postgres.program("postgres"), *arguments, *commit], user=user, end=signal.SIGINT)
        return listening("postgres", command, log, f"postgres://bench@127.0.0.1:{port}/postgres", Postgres.answers)

    @staticmethod
    def answers(host, port):
        """It accepts connections some time before it serves them."""
        try:
            output_of(Postgres.program("pg_isready"), "-h", host, "-p", port)
        except Failure:
            return False
        return True


def accepts(host, port):
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def listening(name, command, log, url, is_ready=accepts):
    """Starts a server and waits until it is ready; the process, and where it is."""
    process, where = Process(name, command, log), urlparse(url)

    def ready():
        if process.has_ended():
            raise Failure(f"{name} has ended: {process.last_words()}")
        return is_ready(where.hostname, where.port)

    try:
        until(f"{name} is ready", START_SECONDS, ready)
    except BaseException:
        process.stop()
        raise
    return process, url
