import { eventually, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { BackgroundLoop } from './background-loop.ts';

/** A loop with a long pause, whose steps the test ends one by one. */
function makeLoop(everyMs = 3_600_000) {
  const { logger, lines } = recordingLogger();
  const steps: { end(pauseMs?: number): void; fail(error: Error): void }[] = [];
  const loop = new BackgroundLoop({
    name: 'work',
    everyMs,
    logger,
    step: () =>
      new Promise((resolve, reject) => {
        steps.push({ end: resolve, fail: reject });
      }),
  });
  const begun = (count: number) => eventually(() => steps.length).toBe(count);
  return { loop, lines, steps, begun };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('BackgroundLoop', () => {
  it('runs a step when woken, and another one when woken meanwhile, never two at a time', async () => {
    const { loop, steps, begun } = makeLoop();
    loop.start();
    loop.wake();
    await begun(1);
    loop.wake();
    loop.wake();
    await turn();
    expect(steps).toHaveLength(1);
    steps[0]?.end();
    await begun(2);
    steps[1]?.end();
    await turn();
    expect(steps).toHaveLength(2);
    await loop.stop();
  });

  it('runs again after the pause, or sooner when the step asks for it', async () => {
    const { loop, steps, begun } = makeLoop(20);
    loop.start();
    await begun(1);
    steps[0]?.end();
    await begun(2);
    steps[1]?.end(0);
    await begun(3);
    steps[2]?.end();
    await loop.stop();
  });

  it('does nothing before its start and after its stop', async () => {
    const { loop, steps } = makeLoop();
    loop.wake();
    await turn();
    loop.start();
    await loop.stop();
    loop.wake();
    await turn();
    expect(steps).toEqual([]);
  });

  it('waits at its stop for the step that runs', async () => {
    const { loop, steps, begun } = makeLoop();
    loop.start();
    loop.wake();
    await begun(1);
    let isStopped = false;
    const stopped = loop.stop().then(() => {
      isStopped = true;
    });
    await turn();
    expect(isStopped).toBe(false);
    steps[0]?.end();
    await stopped;
  });

  it('logs a row of failures once at its beginning and once at its end, and does not spin', async () => {
    const { loop, lines, steps, begun } = makeLoop(10);
    loop.start();
    for (let failure = 1; failure <= 3; failure += 1) {
      await begun(failure);
      loop.wake();
      steps[failure - 1]?.fail(new Error('The database is away.'));
    }
    await begun(4);
    steps[3]?.end();
    await begun(5);
    steps[4]?.end();
    expect(lines.map((line) => line.level)).toEqual(['error', 'info']);
    await loop.stop();
  });
});
