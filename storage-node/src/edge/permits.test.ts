import {
  type FileId,
  type FilePath,
  newBlobId,
  type Opening,
  type ReadAnswer,
  type ReadQuestion,
  StoreError,
} from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { Permits } from './permits.ts';

const offlineRightsMs = 900_000;
let clock: FakeClock;
let permits: Permits;
let asked: ReadQuestion[];
let hasKey: boolean;
/** What the master says of each target; undefined: it is silent. */
let master: ((question: ReadQuestion) => ReadAnswer) | undefined;

beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  hasKey = true;
  permits = new Permits({
    ask: async (question) => {
      asked.push(question);
      if (!master) throw new StoreError('unavailable', 'No answer.');
      return master(question);
    },
    clock,
    offlineRightsMs,
    hasKey: () => hasKey,
  });
});

const permit = (opening: Opening, blobCount = 1): ReadAnswer => ({
  kind: 'read',
  file: {
    ...{ id: 'id' as FileId, path: '/a' as FilePath, sizeBytes: 1, md5: '', contentType: '' },
    ...{ attributes: {}, modifiedAtMs: 0, isPublic: false, isDownload: false, isById: false },
    blobs: Array.from({ length: blobCount }, () => ({
      ...{ blobId: newBlobId(), offsetBytes: 0, sizeBytes: 1, md5: '', sources: [] },
    })),
  },
  opening,
  validForMs: 10_000,
});
const isPublic = permit({ kind: 'public' });
const isOurs = permit({ kind: 'right' });
const forward: ReadAnswer = { kind: 'forward' };
const lasting = (seconds: number) => clock.now() + seconds * 1000;
const link = (seconds: number) =>
  permit({
    ...{ kind: 'link', subjects: ['s'], issuedAtMs: 0, isDownload: false },
    expiresAtMs: lasting(seconds),
  });
const grant = (seconds: number) =>
  permit({ kind: 'grant', network: '192.0.2.0/24', expiresAtMs: lasting(seconds) });

const question = (more: Partial<ReadQuestion> = {}): ReadQuestion => ({
  ...{ method: 'GET', target: '/fs/a', headers: { host: 'a' }, clientAddress: '192.0.2.7' },
  ...more,
});
const withKey = (key: string) => question({ headers: { host: 'a', 'shard-key': key } });

describe('what the master permitted', () => {
  it('is asked anew when its time is over', async () => {
    master = () => isPublic;
    await permits.find(question());
    clock.advance(9_999);
    expect(await permits.find(question())).toBe(isPublic);
    expect(asked).toHaveLength(1);
    clock.advance(1);
    master = () => forward;
    expect(await permits.find(question())).toBe(forward);
    expect(asked).toHaveLength(2);
  });

  it('is asked once for those who ask at the same time', async () => {
    master = () => isPublic;
    const answers = await Promise.all([1, 2, 3].map(() => permits.find(question())));
    expect(answers).toEqual([isPublic, isPublic, isPublic]);
    expect(asked).toHaveLength(1);
  });

  it('counts for all without a key where it is public, and for nobody else where it is not', async () => {
    master = () => isPublic;
    await permits.find(question());
    await permits.find(question({ clientAddress: '198.51.100.1' }));
    await permits.find(question({ headers: { host: 'other' } }));
    expect(asked).toHaveLength(1);
    master = () => grant(60);
    for (const clientAddress of ['192.0.2.7', '192.0.2.8']) {
      await permits.find(question({ target: '/fs/b', clientAddress }));
    }
    expect(asked).toHaveLength(3);
  });

  it('counts for one key, one address and one target alone', async () => {
    master = ({ headers }) => (headers['shard-key'] === 'right' ? isOurs : forward);
    expect(await permits.find(withKey('right'))).toBe(isOurs);
    const others = [
      withKey('wrong'),
      question(),
      { ...withKey('right'), clientAddress: '192.0.2.8' },
      { ...withKey('right'), target: '/fs/a?x' },
      question({ headers: { host: 'a', authorization: 'right' } }),
    ];
    for (const other of others) await permits.find(other);
    expect(asked).toHaveLength(1 + others.length);
  });

  it.each(['shard-key', 'authorization'] as const)(
    'does not let a wrong key in %s pass since the file is public',
    async (header) => {
      master = ({ headers }) => (headers[header] === undefined ? isPublic : forward);
      await permits.find(question());
      const wrong = question({ headers: { host: 'a', [header]: 'wrong' } });
      expect(await permits.find(wrong)).toBe(forward);
    },
  );

  it('counts for one host and origin in a cluster without a key', async () => {
    hasKey = false;
    master = ({ headers }) => (headers.origin === undefined ? isPublic : forward);
    await permits.find(question());
    const foreign = question({ headers: { host: 'a', origin: 'http://evil.example' } });
    expect(await permits.find(foreign)).toBe(forward);
  });

  it('is remembered only when it was permitted', async () => {
    master = () => forward;
    await permits.find(question());
    master = () => isPublic;
    expect(await permits.find(question())).toBe(isPublic);
  });

  it('is forgotten where it was used longest ago when it is too much', async () => {
    master = () => permit({ kind: 'public' }, 250);
    for (let i = 0; i < 100; i++) await permits.find(question({ target: `/fs/${i}` }));
    asked = [];
    await permits.find(question({ target: '/fs/99' }));
    expect(asked).toHaveLength(0);
    await permits.find(question({ target: '/fs/0' }));
    expect(asked).toHaveLength(1);
  });
});

describe('while the master is silent', () => {
  const silent = { kind: 'unavailable', retryAfterSeconds: 5 };

  it('public files can be read for as long as was said, counted from when that was permitted', async () => {
    master = () => isPublic;
    await permits.find(question());
    master = undefined;
    clock.advance(offlineRightsMs);
    expect(await permits.find(question())).toBe(isPublic);
    clock.advance(1);
    await expect(permits.find(question())).rejects.toMatchObject(silent);
  });

  it('links and grants open until they expire', async () => {
    for (const make of [link, grant]) {
      // It was silent a moment ago.
      clock.advance(1_000);
      const answer = make(60);
      master = () => answer;
      await permits.find(question({ target: make.name }));
      master = undefined;
      clock.advance(59_000);
      expect(await permits.find(question({ target: make.name }))).toBe(answer);
      clock.advance(1_000);
      await expect(permits.find(question({ target: make.name }))).rejects.toMatchObject(silent);
    }
  });

  it('a key opens nothing once what it opened is to be asked again', async () => {
    master = () => isOurs;
    await permits.find(withKey('right'));
    master = undefined;
    expect(await permits.find(withKey('right'))).toBe(isOurs);
    clock.advance(10_000);
    await expect(permits.find(withKey('right'))).rejects.toMatchObject(silent);
  });

  it('what was refused lately stays refused', async () => {
    master = () => isPublic;
    await permits.find(question());
    clock.advance(10_000);
    master = () => forward;
    await permits.find(question());
    master = undefined;
    await expect(permits.find(question())).rejects.toMatchObject(silent);
  });

  it('not every reader waits for it', async () => {
    master = undefined;
    for (let i = 0; i < 3; i++)
      await expect(permits.find(question())).rejects.toMatchObject(silent);
    expect(asked).toHaveLength(1);
    clock.advance(1_000);
    master = () => isPublic;
    expect(await permits.find(question())).toBe(isPublic);
  });
});

it('the address of a master that is silent is told to nobody', async () => {
  master = () => {
    throw new StoreError('unavailable', 'The master at http://10.1.2.3:7041 gives no answer.');
  };
  for (const ask of [() => permits.find(question()), () => permits.findAnew(question())]) {
    await expect(ask()).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.not.stringContaining('10.1.2.3'),
    });
  }
});

it('a refusal of the question itself is passed on', async () => {
  master = () => {
    throw new StoreError('unauthorized', 'The cluster key is wrong.');
  };
  await expect(permits.find(question())).rejects.toMatchObject({ kind: 'unauthorized' });
});
