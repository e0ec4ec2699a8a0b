"""taskiq with taskiq-nats: `taskiq worker taskiq_peer:bulk`, the same for `quiet`, and the client.

A broker is one subject with one JetStream pull consumer, so two queues are two brokers, and two workers. Results are
in the object store, the only result backend of taskiq-nats.
"""

import asyncio
import os
import random

from nats.js.api import StreamConfig
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

from client import PAYLOAD, Client, in_batches, serve

URL = os.environ["PEER_URL"]

# taskiq asks for the result again and again; its default of 0.2 s would be all that is measured.
POLL = 0.002

# taskiq-nats puts a result in two messages: the object, and what it is called.
MESSAGES_OF_A_RESULT = 2

# Results that are looked at afterwards; each is several messages away.
SAMPLE = 200

# Jobs that the client enqueues at once.
BATCH = 500


def broker_of(queue):
    broker = PullBasedJetStreamBroker(
        URL,
        subject=queue,
        stream_config=StreamConfig(name=f"{queue}_jobs"),
        durable=queue,
        pull_consume_batch=int(os.environ["PEER_BATCH"]),
        # Without one, a batch would be waited for until it is full.
        pull_consume_timeout=30,
    )
    return broker.with_result_backend(NATSObjectStoreResultBackend(URL))


async def echo(payload: str) -> str:
    return payload


bulk, quiet = broker_of("bulk"), broker_of("quiet")
ECHO = {"bulk": bulk.register_task(echo, "echo"), "quiet": quiet.register_task(echo, "echo")}


class TaskiqClient(Client):
    def __init__(self):
        self.jobs = []

    async def start(self):
        await bulk.startup()
        await quiet.startup()

    async def fill(self, queue, jobs):
        async def enqueue():
            self.jobs.append(await ECHO[queue].kiq(PAYLOAD))

        await in_batches(jobs, BATCH, enqueue)

    async def count(self):
        results = await bulk.js.stream_info("OBJ_taskiq_results")
        return results.state.messages // MESSAGES_OF_A_RESULT

    async def failed(self):
        results = [await job.get_result() for job in random.sample(self.jobs, min(SAMPLE, len(self.jobs)))]
        return sum(result.is_err for result in results)

    async def call(self, queue):
        job = await ECHO[queue].kiq(PAYLOAD)
        result = await job.wait_result(check_interval=POLL)
        return result.return_value


if __name__ == "__main__":
    asyncio.run(serve(TaskiqClient()))
