import { type FileId, type FilePath, StoreError } from '@dfs/shared';
import type { Database, Sql, Value } from './database.ts';
import { findChain } from './decisions/directories.ts';
import { setEntry } from './decisions/touch.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Entry, Visibility } from './metadata-repository.ts';
import {
  type AccessKeyRecord,
  type AddressGrant,
  accessKeysMax,
  type GrantsPage,
  grantsOfFileMax,
  type LinkRevocation,
  type Rights,
} from './rights.ts';
import {
  type AccessKeyRow,
  accessKeyColumns,
  accessKeyGone,
  accessKeyImage,
  accessKeyOf,
  type GrantRow,
  grantColumns,
  grantGone,
  grantImage,
  grantOf,
  type RevocationRow,
  revocationColumns,
  revocationGone,
  revocationImage,
  revocationOf,
} from './rights-rows.ts';
import { places } from './sql-text.ts';

const purgedMax = 1_000;

/** What `Rights` promises. What counts or searches rows goes alone into its batch: it must see what was decided before it. */
export class RightsStore implements Rights {
  readonly #database: Database;
  readonly #writes: GroupCommit;

  constructor(database: Database, writes: GroupCommit) {
    this.#database = database;
    this.#writes = writes;
  }

  async addAccessKey(key: AccessKeyRecord): Promise<void> {
    let keys = 0;
    await this.#writes.submit({
      rows: 1,
      isAlone: true,
      prepare: async (sql) => {
        keys = await countOf(sql, 'access_keys');
      },
      decide: (draft) => {
        if (keys >= accessKeysMax) throw tooMany(`${accessKeysMax} access keys`);
        if (draft.accessKeys.get(key.id)) {
          throw new StoreError('conflict', `There is an access key ${key.id} already.`);
        }
        draft.accessKeys.set(key.id, key);
        draft.journalise(accessKeyImage(key));
      },
    });
  }

  async resealAccessKeys(secrets: ReadonlyMap<string, string>): Promise<void> {
    await this.#writes.submit({
      rows: secrets.size,
      decide: (draft) => {
        draft.each([...secrets], ([id, secret]) => {
          const before = draft.accessKeys.get(id);
          if (!before) return;
          const key = { ...before, secret };
          draft.accessKeys.set(id, key);
          draft.journalise(accessKeyImage(key));
        });
      },
    });
  }

  removeAccessKey(id: string): Promise<boolean> {
    return this.#writes.submit({
      rows: 1,
      decide: (draft) => {
        if (!draft.accessKeys.get(id)) return false;
        draft.accessKeys.set(id, null);
        draft.journalise(accessKeyGone(id));
        return true;
      },
    });
  }

  async listAccessKeys(): Promise<readonly AccessKeyRecord[]> {
    const rows = await this.#database.rows<AccessKeyRow>(
      `select ${accessKeyColumns.join(', ')} from access_keys order by id limit ?`,
      [accessKeysMax],
    );
    return rows.map(accessKeyOf);
  }

  async addGrant(grant: AddressGrant): Promise<void> {
    let grants = 0;
    await this.#writes.submit({
      rows: 1,
      isAlone: true,
      prepare: async (sql) => {
        grants = await countOf(sql, 'address_grants where file_id = ?', [grant.fileId]);
      },
      decide: (draft) => {
        if (grants >= grantsOfFileMax) throw tooMany(`${grantsOfFileMax} grants of one file`);
        draft.grants.set(grant.id, grant);
        draft.journalise(grantImage(grant));
      },
    });
  }

  removeGrants(query: { readonly fileId: FileId; readonly network?: string }): Promise<number> {
    const { fileId, network } = query;
    let ids: string[] = [];
    return this.#writes.submit({
      rows: grantsOfFileMax,
      isAlone: true,
      prepare: async (sql) => {
        const rows = await sql.rows<{ id: string }>(
          `select id from address_grants where file_id = ? ${network === undefined ? '' : 'and network = ?'}`,
          network === undefined ? [fileId] : [fileId, network],
        );
        ids = rows.map((row) => row.id);
      },
      decide: (draft) => {
        draft.each(ids, (id) => {
          draft.grants.get(id);
          draft.grants.set(id, null);
          draft.journalise(grantGone(id));
        });
        return ids.length;
      },
    });
  }

  async grantsOf(fileId: FileId, nowMs: number): Promise<readonly AddressGrant[]> {
    const rows = await this.#database.rows<GrantRow>(
      `select ${grantColumns.join(', ')} from address_grants where file_id = ? and expires_at > ? order by id`,
      [fileId, Math.round(nowMs)],
    );
    return rows.map(grantOf);
  }

  async listGrants(page: {
    readonly under: FilePath;
    readonly after?: string;
    readonly limit: number;
  }): Promise<GrantsPage> {
    const { under, after = '', limit } = page;
    const values: Value[] = [after];
    let where = 'id > ?';
    if (under !== '/') {
      // The character after the slash: names of a directory are between the two.
      where += ' and (path = ? or (path >= ? and path < ?))';
      values.push(under, `${under}/`, `${under}0`);
    }
    const rows = await this.#database.rows<GrantRow>(
      `select ${grantColumns.join(', ')} from address_grants where ${where} order by id limit ?`,
      [...values, limit + 1],
    );
    const grants = rows.slice(0, limit).map(grantOf);
    const last = rows.length > limit ? grants.at(-1) : undefined;
    return { grants, ...(last === undefined ? {} : { next: last.id }) };
  }

  async addRevocation(revocation: LinkRevocation): Promise<void> {
    const { subject } = revocation;
    await this.#writes.submit({
      rows: 1,
      decide: (draft) => {
        const known = draft.revocations.get(subject) ?? revocation;
        const both: LinkRevocation = {
          subject,
          issuedBeforeMs: Math.max(known.issuedBeforeMs, revocation.issuedBeforeMs),
          expiresAtMs: Math.max(known.expiresAtMs, revocation.expiresAtMs),
        };
        draft.revocations.set(subject, both);
        draft.journalise(revocationImage(both));
      },
    });
  }

  async revocationsOf(subjects: readonly string[]): Promise<readonly LinkRevocation[]> {
    if (subjects.length === 0) return [];
    const rows = await this.#database.rows<RevocationRow>(
      `select ${revocationColumns.join(', ')} from link_revocations where subject in (${places(subjects)})`,
      subjects,
    );
    return rows.map(revocationOf);
  }

  purgeRights(beforeMs: number): Promise<number> {
    let grants: string[] = [];
    let revocations: string[] = [];
    return this.#writes.submit({
      rows: purgedMax,
      isAlone: true,
      prepare: async (sql) => {
        grants = await endedKeys(sql, 'address_grants', 'id', beforeMs);
        revocations = await endedKeys(sql, 'link_revocations', 'subject', beforeMs);
      },
      decide: (draft) => {
        for (const id of grants) draft.grants.need(id);
        for (const subject of revocations) draft.revocations.need(subject);
        draft.each(grants, (id) => {
          draft.grants.get(id);
          draft.grants.set(id, null);
          draft.journalise(grantGone(id));
        });
        draft.each(revocations, (subject) => {
          draft.revocations.get(subject);
          draft.revocations.set(subject, null);
          draft.journalise(revocationGone(subject));
        });
        return grants.length + revocations.length;
      },
    });
  }

  setVisibility(path: FilePath, visibility: Visibility): Promise<Entry> {
    return this.#writes.submit({
      rows: 1,
      decide: (draft) => {
        const before = findChain(draft, path)?.at(-1);
        if (!before) throw new StoreError('not-found', `There is nothing at ${path}.`);
        return setEntry(draft, { ...before, visibility });
      },
    });
  }
}

async function countOf(sql: Sql, from: string, values: readonly Value[] = []): Promise<number> {
  const [row] = await sql.rows<{ count: number | string }>(
    `select count(*) as count from ${from}`,
    values,
  );
  return Number(row?.count ?? 0);
}

async function endedKeys(sql: Sql, table: string, key: string, beforeMs: number) {
  const rows = await sql.rows<{ key: string }>(
    `select ${key} as key from ${table} where expires_at < ? order by expires_at limit ?`,
    [Math.round(beforeMs), purgedMax],
  );
  return rows.map((row) => row.key);
}

const tooMany = (what: string) =>
  new StoreError('conflict', `There are ${what}, which is the most that is kept.`, {
    hint: 'Remove those that are not needed any more.',
  });
