import { afterEach, describe, expect, it } from 'vitest';
import { type FileFault, FileFollower } from './file-follower.ts';
import { eventually } from './testing/eventually.ts';
import { recordingLogger } from './testing/recording-logger.ts';

interface Content {
  readonly text: string;
}

let follower: FileFollower<Content> | undefined;
afterEach(() => follower?.close());

/** Follows what `answers` gives by turns, the last one for ever. */
function follow(answers: readonly (Content | FileFault)[]) {
  follower?.close();
  const found: string[] = [];
  let looks = 0;
  const { logger, lines } = recordingLogger();
  follower = new FileFollower<Content>({
    read: async () => {
      const answer = answers[Math.min(looks, answers.length - 1)] as Content | FileFault;
      looks += 1;
      return answer;
    },
    textOf: ({ text }) => text,
    onFound: ({ text }) => found.push(text),
    faultMessage: 'kept',
  });
  follower.start(logger, 1);
  const told = () => lines.map(({ level, fields }) => [level, fields?.['reason']]);
  return { found, told, looks: () => looks };
}

describe('a follower of files', () => {
  it('believes what two looks found, and not what one saw half written', async () => {
    const { found, looks } = follow([{ text: 'ha' }, { text: 'half' }, { text: 'whole' }]);
    await eventually(() => looks() > 5).toBe(true);
    expect(new Set(found)).toEqual(new Set(['whole']));
  });

  it('tells each fault once, and again when it was mended in between', async () => {
    const [bad, worse, good] = [{ fault: 'bad' }, { fault: 'worse' }, { text: 'good' }];
    const order = [bad, bad, bad, bad, worse, bad, worse, worse, worse, good, good, worse];
    const { found, told, looks } = follow(order);
    await eventually(() => looks() > order.length + 5).toBe(true);
    expect(told()).toEqual([
      ['warn', 'bad'],
      ['warn', 'worse'],
      ['warn', 'worse'],
    ]);
    expect(found).toEqual(['good']);
  });

  it('looks no more once it is closed', async () => {
    const { looks } = follow([{ text: 'x' }]);
    await eventually(() => looks() > 2).toBe(true);
    follower?.close();
    const before = looks();
    const other = follow([{ text: 'y' }]);
    await eventually(() => other.looks() > 5).toBe(true);
    expect(looks() - before).toBeLessThanOrEqual(1);
  });
});
