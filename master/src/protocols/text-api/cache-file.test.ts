import { describe, expect, it } from 'vitest';
import { snapshotOf } from '../testing/test-public-server.ts';
import { type Call, form, PlainCalls, withKey } from './testing/plain-calls.ts';

const calls = new PlainCalls();
const { call } = calls;

describe('caches', () => {
  const asked = () => calls.server.asked.splice(0);
  const here = (outcome: 'stored' | 'cached' | 'ordered' | 'failed', message?: string) => [
    {
      node: { id: calls.server.files.node.id, name: 'one' },
      outcome,
      ...(message ? { message } : {}),
    },
  ];

  it.each<[string, Call, string]>([
    ['as usual', form(['query_string', 'one@private.txt']), 'cache /private.txt on 1, priority 10'],
    [
      'with a priority',
      form(['query_string', 'private.txt'], ['priority', '7.4']),
      'cache /private.txt on 1, priority 7',
    ],
    [
      'with a great one',
      form(['query_string', 'private.txt'], ['priority', '4294967295']),
      'cache /private.txt on 1, priority 20',
    ],
  ])('are filled at one node, %s', async (_name, request, order) => {
    calls.server.cacheOutcomes = here('ordered');
    asked();
    const answer = await call('cache', request);
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/^Caching file (one@)?private\.txt on instance one$/);
    expect(asked()).toEqual([order]);
  });

  it('are those of the node that has the name of this instance', async () => {
    const node = snapshotOf({ name: 'test' });
    calls.server.nodes.push(node);
    calls.server.cacheOutcomes = here('cached');
    asked();
    const answer = await call('cache', form(['query_string', 'one@private.txt']));
    calls.server.nodes.pop();
    expect(answer.text).toBe('Cached file one@private.txt on instance one');
    expect(asked()).toEqual([`cache /private.txt on ${node.id}, priority 10`]);
  });

  it('are not needed where the file is', async () => {
    for (const outcomes of [here('stored'), []]) {
      calls.server.cacheOutcomes = outcomes;
      const answer = await call('cache', form(['query_string', 'one@private.txt']));
      expect(answer).toMatchObject({ status: 200, text: 'Owns the file' });
    }
  });

  it('are filled at all nodes, with an answer for each', async () => {
    calls.server.cacheOutcomes = [...here('ordered'), ...here('failed', 'It is full.')];
    asked();
    const answer = await call(
      'shard_cache',
      form(['query_string', 'one@private.txt'], ['priority', '1']),
    );
    expect(asked()).toEqual(['cache /private.txt on all, priority 1']);
    expect(JSON.parse(answer.text)).toEqual([
      { instance_name: 'one', outcome: 'ordered' },
      { instance_name: 'one', outcome: 'failed', message: 'It is full.' },
    ]);
  });

  it('are emptied by hand, and when the file is deleted', async () => {
    await calls.server.files.add('/cached.txt', 'x');
    asked();
    const dropped = await call('delete_cache', form(['query_string', 'one@cached.txt']));
    expect(dropped).toMatchObject({ status: 200, text: 'one@cached.txt' });
    expect((await call('delete', form(['query_string', 'one@cached.txt']))).status).toBe(200);
    expect(asked()).toEqual(['drop caches of /cached.txt', 'drop caches of /cached.txt']);
  });

  it('tell why a node cannot', async () => {
    calls.server.cacheOutcomes = here('failed', 'It caches nothing (DFS_CACHE_BYTES).');
    const answer = await call('cache', form(['query_string', 'one@private.txt']));
    expect(answer.status).toBe(503);
    expect(answer.text).toBe(
      'one cannot cache one@private.txt: It caches nothing (DFS_CACHE_BYTES).',
    );
  });

  it.each(['cache', 'shard_cache', 'delete_cache'])('refuse what is wrong: %s', async (name) => {
    asked();
    expect(await call(name, form())).toMatchObject({
      status: 400,
      text: 'Missing parameter query_string',
    });
    expect((await call(name, form(['query_string', 'one@../x']))).status).toBe(400);
    const { body = '' } = form(['query_string', 'one@private.txt']);
    const stranger = {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b0undary' },
      body,
    };
    expect(await call(name, stranger)).toMatchObject({
      status: 401,
      text: expect.stringMatching(/^Denied: /),
    });
    expect((await call(name, { headers: withKey })).status).toBe(405);
    if (name !== 'delete_cache') {
      const wrong = form(['query_string', 'one@private.txt'], ['priority', 'high']);
      expect(await call(name, wrong)).toMatchObject({
        status: 400,
        text: 'The priority is no number.',
      });
    }
    expect(asked()).toEqual([]);
  });
});
