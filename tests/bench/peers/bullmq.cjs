// BullMQ with ioredis: `bullmq.cjs worker` works two queues, `bullmq.cjs client` obeys the lines of `protocol.py`.
// Results are kept with the job, which BullMQ does unless told otherwise.

const readline = require('node:readline');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { Queue, QueueEvents, Worker } = require('bullmq');

const PAYLOAD = 'x'.repeat(256);
const BATCH = 1000;
const QUEUES = ['bulk', 'quiet'];
const { hostname: host, port } = new URL(process.env.PEER_URL);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

function work() {
  const concurrency = Number(process.env.PEER_CONCURRENCY);
  for (const queue of QUEUES) {
    new Worker(queue, async (job) => job.data.payload, { connection, concurrency })
      .on('error', (error) => console.error(error));
  }
}

async function obey() {
  const queues = {};
  for (const name of QUEUES) queues[name] = new Queue(name, { connection });
  const events = new QueueEvents('quiet', { connection });
  await Promise.all([events.waitUntilReady(), ...Object.values(queues).map((queue) => queue.waitUntilReady())]);

  const call = async (name) => {
    const began = performance.now();
    const job = await queues[name].add('echo', { payload: PAYLOAD });
    if ((await job.waitUntilFinished(events)) !== PAYLOAD) throw new Error('a job gave back something else');
    return (performance.now() - began) / 1000;
  };

  const orders = {
    async fill({ queue, jobs }) {
      for (let left = jobs; left > 0; left -= BATCH) {
        const job = { name: 'echo', data: { payload: PAYLOAD } };
        await queues[queue].addBulk(Array(Math.min(left, BATCH)).fill(job));
      }
      return { filled: jobs };
    },
    async count() {
      const done = await Promise.all(Object.values(queues).map((queue) => queue.getCompletedCount()));
      return { done: done.reduce((sum, one) => sum + one) };
    },
    async check() {
      const failed = await Promise.all(Object.values(queues).map((queue) => queue.getFailedCount()));
      return { failed: failed.reduce((sum, one) => sum + one) };
    },
    async call({ queue, jobs, every }) {
      const seconds = [];
      if (every === null) {
        for (let number = 0; number < jobs; number++) seconds.push(await call(queue));
        return { seconds };
      }
      const began = performance.now();
      for (let number = 0; number < jobs; number++) {
        await sleep(Math.max(0, began + number * every * 1000 - performance.now()));
        seconds.push(call(queue));
      }
      return { seconds: await Promise.all(seconds) };
    },
  };

  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [[order, about]] = Object.entries(JSON.parse(line));
    console.log(JSON.stringify(await orders[order](about)));
  }
  process.exit(0);
}

if (process.argv[2] === 'worker') work();
else obey().catch((error) => { console.error(error); process.exit(1); });
