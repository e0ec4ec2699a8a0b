"""The client's side of the line protocol in `protocol.py`, for peers whose library is Python.

A client fills queues, counts results, and calls: enqueues a job and waits until its result is seen. Orders are JSON
objects on standard input, one per line; each is answered with one line.
"""

import asyncio
import json
import sys
import time

PAYLOAD = "x" * 256


class Client:
    """What a peer has to say about itself."""

    async def start(self):
        """Connects."""

    async def fill(self, queue, jobs):
        """Enqueues that many jobs and waits for no result."""
        raise NotImplementedError

    async def count(self):
        """How many results are kept, of all queues."""
        raise NotImplementedError

    async def failed(self):
        """How many of the results tell of a failure."""
        raise NotImplementedError

    async def call(self, queue):
        """Enqueues one job, and returns what it gave back."""
        raise NotImplementedError


async def serve(client):
    await client.start()
    answer({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        [(order, about)] = json.loads(line).items()
        if order == "fill":
            await client.fill(about["queue"], about["jobs"])
            answer({"filled": about["jobs"]})
        elif order == "count":
            answer({"done": await client.count()})
        elif order == "check":
            answer({"failed": await client.failed()})
        elif order == "call":
            answer({"seconds": await call_all(client, **about)})


def answer(reply):
    print(json.dumps(reply), flush=True)


async def call_all(client, queue, jobs, every):
    """Calls one after another, or else one every so many seconds, whether or not the one before has come back."""
    if every is None:
        return [await timed_call(client, queue) for _ in range(jobs)]
    began, calls = time.perf_counter(), []
    for number in range(jobs):
        await asyncio.sleep(began + number * every - time.perf_counter())
        calls.append(asyncio.create_task(timed_call(client, queue)))
    return await asyncio.gather(*calls)


async def timed_call(client, queue):
    began = time.perf_counter()
    given_back = await client.call(queue)
    seconds = time.perf_counter() - began
    if given_back != PAYLOAD:
        raise RuntimeError(f"a job gave back {given_back!r:.200}")
    return seconds


async def in_batches(jobs, size, enqueue):
    """Has so many enqueued at once: enough to fill fast, few enough to starve nothing."""
    for first in range(0, jobs, size):
        await asyncio.gather(*(enqueue() for _ in range(first, min(first + size, jobs))))
