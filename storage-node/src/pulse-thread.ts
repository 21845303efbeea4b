import { Agent, request as httpRequest } from 'node:http';
import { request as httpsRequest, Agent as TlsAgent } from 'node:https';
import { createSecureContext } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import type { PulseMessage, PulseStart } from './pulse.ts';

/** The thread of `Pulse`. It has a loop of its own, which nothing but this runs on. */

const { url, ca, tickedAt } = workerData as PulseStart;
const ticks = new BigInt64Array(tickedAt);
const isTls = url.startsWith('https:');
const trust = ca ? { secureContext: createSecureContext({ ca: [...ca] }) } : {};
const agent = isTls ? new TlsAgent({ keepAlive: true, ...trust }) : new Agent({ keepAlive: true });
const send = isTls ? httpsRequest : httpRequest;
/** The main loop is late when its heartbeat is overdue by half of the pause between two. */
const lateAfter = 1.5;
const answerMaxMs = 5_000;
const underWayMax = 4;
const lookEveryMinMs = 20;

let told: PulseMessage | undefined;
let beatAtMs = performance.now();
let toldAtMs = beatAtMs;
let underWay = 0;
let timer: NodeJS.Timeout | undefined;

parentPort?.on('message', (message: PulseMessage) => {
  told = message;
  toldAtMs = performance.now();
  beatAtMs = toldAtMs;
  look();
});

function look(): void {
  clearTimeout(timer);
  if (told?.heartbeat === undefined) return;
  const { everyMs } = told;
  if (performance.now() - beatAtMs >= everyMs * lateAfter) beat();
  timer = setTimeout(look, Math.max(lookEveryMinMs, everyMs / 4));
}

function beat(): void {
  if (told?.heartbeat === undefined || underWay >= underWayMax) return;
  const loopAgeMs = Math.round(Number(process.hrtime.bigint() - Atomics.load(ticks, 0)) / 1e6);
  const { heartbeat, headers, everyMs } = told;
  // The next one in the usual rhythm.
  beatAtMs += everyMs;
  const diskWriteAgeMs = Math.round(heartbeat.diskWriteAgeMs + performance.now() - toldAtMs);
  const nodeTimeMs = Date.now();
  const body = JSON.stringify({ ...heartbeat, loopAgeMs, diskWriteAgeMs, nodeTimeMs });
  underWay += 1;
  const sent = send(
    url,
    {
      method: 'POST',
      agent,
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      timeout: answerMaxMs,
    },
    (response) => response.resume(),
  );
  sent.on('timeout', () => sent.destroy());
  // What the master answers is for the main loop to hear; so is its absence.
  sent.on('error', () => undefined);
  sent.on('close', () => {
    underWay -= 1;
  });
  sent.end(body);
}
