"""Celery with Redis for the queues and the results: `celery -A celery_peer worker`, and the client."""

import asyncio
import json
import multiprocessing
import os

import celery
import redis

from client import PAYLOAD, Client, serve

# The usual two databases of one Redis: 0 for the queues, 1 for the results.
QUEUES, RESULTS = os.environ["PEER_URL"] + "/0", os.environ["PEER_URL"] + "/1"

# How often a result is asked for while several are awaited.
POLL = 0.001

app = celery.Celery("celery_peer", broker=QUEUES, backend=RESULTS)
app.conf.update(
    # With the default of 4 a child process often waits for its next job.
    worker_prefetch_multiplier=64,
    # A job is taken off the queue when it is done, as all others here do. Celery's default is to do so at the start.
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
)


@app.task(name="echo")
def echo(payload):
    return payload


def fill(queue, jobs):
    with app.producer_or_acquire() as producer:
        for _ in range(jobs):
            echo.apply_async((PAYLOAD,), queue=queue, producer=producer)


class CeleryClient(Client):
    async def start(self):
        self.results = redis.Redis.from_url(RESULTS)
        self.results.ping()

    async def fill(self, queue, jobs):
        # Enqueuing subscribes to the result. A process of its own takes these subscriptions away with it.
        filling = multiprocessing.get_context("spawn").Process(target=fill, args=(queue, jobs))
        filling.start()
        filling.join()
        if filling.exitcode != 0:
            raise RuntimeError(f"filling ended with {filling.exitcode}")

    async def count(self):
        return self.results.dbsize()

    async def failed(self):
        results = self.results.mget(self.results.keys())
        return sum(json.loads(result)["status"] != "SUCCESS" for result in results)

    async def call(self, queue):
        result = echo.apply_async((PAYLOAD,), queue=queue)
        # `result.get` would hold up the jobs that are due meanwhile.
        while not result.ready():
            await asyncio.sleep(POLL)
        return result.get()


if __name__ == "__main__":
    asyncio.run(serve(CeleryClient()))
