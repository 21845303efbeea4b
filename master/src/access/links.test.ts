import { type FileId, type FilePath, newFileId } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { describe, expect, it } from 'vitest';
import { claimsOf, deriveLinkKey, LinkKeys, signLink, subjectsOf, verifyLink } from './links.ts';

const path = '/photos/ø b.jpg' as FilePath;
const key = deriveLinkKey('a cluster key');
const claims = {
  fileId: '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11' as FileId,
  issuedAtMs: 1_700_000_000_000,
  expiresAtMs: 1_700_000_060_000,
  isDownload: false,
  followsName: false,
};
const salt = Buffer.from([1, 2, 3]);
const signature = signLink(key, path, claims, salt);

describe('a link', () => {
  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('says what it was made with (download %s, follow %s)', (isDownload, followsName) => {
    const made = { ...claims, isDownload, followsName };
    expect(verifyLink([key], path, signLink(key, path, made, salt))).toEqual(made);
  });

  it('has a text for URLs, of one length, that is the same on every machine', () => {
    // Computed by another program.
    expect(signature).toBe(
      'AWYm07BlU_EAZVPxPAGTsvRvPH1qmlENjG0vmxEBAAECA98LCsEO7_Sco-lmhupP2zEQRno8AenWsCHTVrg3FvWX',
    );
    expect(signature).toMatch(/^[A-Za-z0-9_-]{88}$/);
  });

  it('is another one than a second that says the same', () => {
    const second = signLink(key, path, claims, Buffer.from([1, 2, 4]));
    expect(second).not.toBe(signature);
    expect(verifyLink([key], path, second)).toEqual(claims);
  });

  it('opens nothing once any of its letters is another one', () => {
    const letters = [...signature];
    for (const [index, letter] of letters.entries()) {
      for (const other of ['A', 'B', '_', 'z', '9']) {
        if (other === letter) continue;
        const tampered = letters.with(index, other).join('');
        expect(verifyLink([key], path, tampered), `${index} ${other}`).toBeUndefined();
      }
    }
  });

  it.each([
    '',
    'x',
    `${signature}A`,
    signature.slice(0, -1),
    ` ${signature}`,
    `${signature}\n`,
    `${signature}=`,
    signature.replaceAll('_', '/').replaceAll('-', '+'),
  ])('has one text alone: %j is none', (text) => {
    // The test's own key gives a signature with letters that only the URL's alphabet has.
    expect(signature).toMatch(/[-_]/);
    expect(verifyLink([key], path, text)).toBeUndefined();
    expect(claimsOf(text)).toBeUndefined();
  });

  it.each(['/photos/ø b.jpg2', '/photos', '/', '/photos/o b.jpg', '/Photos/ø b.jpg'])(
    'does not open %s',
    (other) => {
      expect(verifyLink([key], other as FilePath, signature)).toBeUndefined();
    },
  );

  it('opens nothing under another key, also one that claims the same fingerprint', () => {
    const other = deriveLinkKey('another cluster key');
    expect(verifyLink([other], path, signature)).toBeUndefined();
    expect(verifyLink([{ ...other, fingerprint: key.fingerprint }], path, signature)).toBe(
      undefined,
    );
    expect(verifyLink([{ ...other, fingerprint: key.fingerprint }, key], path, signature)).toEqual(
      claims,
    );
    expect(verifyLink([], path, signature)).toBeUndefined();
  });

  it('counts while its key is the current one or accepted beside it', () => {
    const keys = new LinkKeys(ClusterKeyring.of('a newer key', 'a cluster key')).all();
    expect(verifyLink(keys, path, signature)).toEqual(claims);
    const [first] = keys;
    expect(first).toEqual(deriveLinkKey('a newer key'));
    expect(new LinkKeys(ClusterKeyring.of()).all()).toEqual([]);
  });

  it('follows a keyring that changes', () => {
    let all: readonly string[] = ['one'];
    const keys = new LinkKeys({ all: () => all });
    expect(keys.all()).toEqual([deriveLinkKey('one')]);
    expect(keys.all()).toBe(keys.all());
    all = ['two', 'one'];
    expect(keys.all()).toEqual([deriveLinkKey('two'), deriveLinkKey('one')]);
  });

  it('is revoked under names that tell nothing of it', () => {
    const subjects = subjectsOf(path, signature, claims);
    expect(subjects).toHaveLength(3);
    expect(subjects.join()).not.toContain(signature);
    const others = subjectsOf(
      '/x' as FilePath,
      signLink(key, path, { ...claims, isDownload: true }, salt),
      {
        fileId: newFileId(),
      } as never,
    );
    expect(new Set([...subjects, ...others]).size).toBe(6);
  });
});
