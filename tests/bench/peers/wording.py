"""The sentences of `docs/benchmarks.md` that do not depend on what was measured."""

# With fewer jobs a drain is over in a blink.
ENOUGH_JOBS = 10_000

HEAD = """
# Benchmarks

Written by [`tests/bench/peers/run`](../tests/bench/peers/run) on {when}, in {minutes} minutes and {rounds}, on this
machine. Do not edit it; run it.

{caution}
"""

QUICK = """
**A quick run: so few jobs show that everything works, not how fast it is, and no configurations were tried.**
"""

OWN_LIMITS = """
What Saggar does, beside the most that the same machine allows: the same work without Saggar.

"""

METHOD = """
## Saggar against what one could use instead

All run on this one machine in the same run: server, worker and client share its cores. A job carries 256 bytes and
gives them back, and its result is kept. Each measurement begins with an empty store and a new server on 127.0.0.1;
the peers take turns, and every round begins with another one.

- *Drain*: {jobs} jobs are queued, then the worker is started. The rate is taken from the first 5 % done to the last,
  so that the start is left out; *with the start* is from starting the worker to the last result. A job counts as done
  when its result is stored.
- *Latency*: then, with the same worker idle, {alone} jobs one after another: from before the client enqueues the job
  until it has seen the result.
- *Flood*: one queue of a worker has at least {jobs} jobs, and for fast ones so many more that they outlast the rest.
  Meanwhile {quiet} jobs go to a second queue, one every {every} ms, whether or not the one before has come back.
- *Synced*: drain and latency again, with {synced_jobs} jobs, where every write is on the disk before it is
  acknowledged.

Where a library has several reasonable configurations, each drained half of the jobs beforehand, and the fastest was
measured. Figures are medians over the rounds, with the smallest and the greatest. A ratio is Saggar's figure divided
by the other's: of rates, above 1 means that Saggar is faster; of times, below 1.
"""

BUFFERED = """
**Acknowledged before it is on the disk.** The default of NATS and Redis; for PostgreSQL it is `synchronous_commit =
off`.
"""

SYNCED = """
**On the disk before it is acknowledged.** The default of PostgreSQL; for NATS it is `sync_interval: always`, for
Redis `appendfsync always`.
"""

FLOOD = """
Latency of the quiet queue's jobs while the other queue is full; acknowledged before it is on the disk. Nobody is told
to favour one of the two queues; each does what it does with two queues of a worker. The configuration is the one that
drains fastest, which for some is not the one with the best latency.
"""

UNFAIR = """
## What these figures do not compare

- **The sandbox.** The others call a function in their own process: a job can read their memory, stop them all, or
  never return. Saggar makes a new WebAssembly instance for every task, with limits of fuel, memory and time. That is
  what one pays it for, and no figure here shows it.
- **What a crash loses.** With the buffered settings they promise different things. JetStream loses nothing when its
  process is killed, and up to 2 minutes when the power fails. PostgreSQL without synchronous commit loses up to some
  0.6 s in either case. Redis as it comes writes snapshots only, and in either case loses what came since the last
  one: up to an hour with few changes, a minute with many. With the usual `appendfsync everysec`, which is not measured
  here, it loses up to a second.
- **What "done" means.** As used here, all store the result before they finish the job, so that a crash in between
  runs the job again. Celery is told to (`task_acks_late`); its default finishes a job before it runs it, and on Redis
  a job that was lost comes back after an hour. Saggar keeps the first result of a task and refuses a second; taskiq
  overwrites it, and what the handler for apalis-nats stores is stored twice.
- **What is kept.** River keeps a row with the whole job and all its attempts, BullMQ a hash with its times, Saggar a
  message with usage and outcome in its headers, Celery and taskiq little more than the value, and apalis-nats what
  its handler stores.
- **How a result is seen.** Saggar's and apalis-nats' clients are told by a message, BullMQ's by an event. Those of
  Celery, taskiq and River ask every 1 or 2 ms here, which costs the server work and is not what everybody would do.
- **Languages.** Workers in Python and JavaScript use one core per process. What their jobs would really do is not
  measured, nor what the clients cost, which share the machine.
- **Many of anything.** One tenant, one host, two queues, no failures, no retries, small payloads.
"""
