"""A plain NATS client, for those whose jobs are plain JetStream messages: Saggar and apalis-nats."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Callable

import nats

from client import PAYLOAD, Client, in_batches, serve

# More outstanding acknowledgements than this only make the server's answers late.
BATCH = 500


@dataclass
class Wire:
    """Where a peer's jobs and results are, and how a job looks."""

    job: str
    result: str
    results_stream: str
    # Where jobs that failed for good are; apalis-nats has no such place, and its handler keeps no result of them.
    dead_stream: str | None
    encode: Callable[[str, int], bytes]
    # Streams that must be there before the worker is; Saggar's hosts make their own.
    streams: dict[str, str]


WIRES = {
    "saggar": Wire(
        job="saggar.bench.task.{queue}.{number}",
        result="saggar.bench.result.{queue}.{number}",
        results_stream="SAGGAR_RESULTS_bench",
        dead_stream="SAGGAR_DEAD_bench",
        encode=lambda queue, number: PAYLOAD.encode(),
        streams={},
    ),
    "apalis": Wire(
        job="{queue}",
        result="results.{queue}.{number}",
        results_stream="RESULTS",
        dead_stream=None,
        encode=lambda queue, number: json.dumps({"id": f"{queue}.{number}", "payload": PAYLOAD}).encode(),
        streams={"bulk": "bulk", "quiet": "quiet", "RESULTS": "results.>"},
    ),
}


class NatsClient(Client):
    def __init__(self, wire):
        self.wire = wire
        self.number = 0
        self.waiting = {}

    async def start(self):
        self.nats = await nats.connect(os.environ["PEER_URL"])
        self.jetstream = self.nats.jetstream(timeout=30)
        for stream, subject in self.wire.streams.items():
            await self.jetstream.add_stream(name=stream, subjects=[subject])
        await self.nats.subscribe(self.wire.result.format(queue="quiet", number="*"), cb=self.seen)

    async def seen(self, result):
        if waiting := self.waiting.pop(result.subject, None):
            waiting.set_result((result.headers or {}, result.data))

    def next_job(self, queue):
        self.number += 1
        return {"queue": queue, "number": self.number}

    async def publish(self, where):
        """Returns once JetStream has acknowledged the job."""
        await self.jetstream.publish(self.wire.job.format(**where), self.wire.encode(**where))

    async def fill(self, queue, jobs):
        await in_batches(jobs, BATCH, lambda: self.publish(self.next_job(queue)))

    async def count(self):
        return (await self.jetstream.stream_info(self.wire.results_stream)).state.messages

    async def failed(self):
        if not (stream := self.wire.dead_stream):
            return 0
        return (await self.jetstream.stream_info(stream)).state.messages

    async def call(self, queue):
        where = self.next_job(queue)
        result = self.waiting[self.wire.result.format(**where)] = asyncio.get_running_loop().create_future()
        await self.publish(where)
        headers, data = await result
        if (status := headers.get("Saggar-Status", "succeeded")) != "succeeded":
            raise RuntimeError(f"a task ended as {status}: {data[:200]!r}")
        return data.decode()


asyncio.run(serve(NatsClient(WIRES[sys.argv[1]])))
