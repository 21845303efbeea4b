import type { StatusAnswer } from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytesText, durationText, print, printJson, shown } from '../output.ts';
import { drainText } from './nodes.ts';

const recoveryHint =
  'Nothing was changed on any node. Run "dfs restore" to rebuild the database from the nodes, or stop the master and put back the database that belongs to them.';

const exitCodeOf: Readonly<Record<StatusAnswer['health'], number>> = {
  whole: 0,
  healing: exitCodes.healing,
  lost: exitCodes.lost,
  recovery: exitCodes.unavailable,
};

/** `dfs status`: is my data safe, what is missing, how long until it is whole? Resolves with the exit code. */
export async function status(
  api: StoreApi,
  { json }: { readonly json?: boolean },
): Promise<number> {
  const answer = await api.getJson<StatusAnswer>('/api/v1/status');
  if (json) printJson(answer);
  else for (const line of statusLines(answer, api.url)) print(line);
  return exitCodeOf[answer.health];
}

/** The answer on one screen, the verdict first. */
export function statusLines(answer: StatusAnswer, url: string): string[] {
  const { stored, wanted, corrupt, dropping } = answer.replicas;
  return [
    ...verdict(answer),
    ...row('files', [
      `${answer.files} in ${answer.directories} directories, ${bytesText(answer.bytes)}`,
    ]),
    ...row('nodes', [`${answer.nodes.up} of ${answer.nodes.all} up`, ...nodeLines(answer)]),
    ...row('copies', [
      `${stored} stored, ${wanted} to be made, ${corrupt} bad, ${dropping} on their way out`,
      ...(answer.blobsShort > 0
        ? [
            `${answer.blobsShort} blobs lack a place for a copy: one is sought, and found where there are enough nodes with room`,
          ]
        : []),
    ]),
    ...row('healing', healingLines(answer)),
    ...row('balance', balanceLines(answer)),
    ...row('journal', journalLines(answer)),
    ...row('clock', clockLines(answer)),
    ...row('store', [`${url}, dfs ${answer.version}, cluster ${answer.clusterId}`]),
  ];
}

function verdict(answer: StatusAnswer): string[] {
  const { health, blobsWithoutCopy, blobsUnreachable, blobsInDoubt, healing } = answer;
  switch (health) {
    case 'recovery':
      return [answer.recovery ?? 'The master waits for its database.', recoveryHint];
    case 'lost': {
      const blobs = blobsWithoutCopy + blobsUnreachable;
      const what = blobs > 0 ? `${blobs} blobs have` : 'Some files have';
      return [`${what} no copy that can be reached now: their files cannot be read.`];
    }
    case 'healing':
      if (blobsInDoubt > 0) {
        return [
          `${blobsInDoubt} blobs have copies only on nodes that do not answer as they should: their files may not be readable now.`,
        ];
      }
      return [
        healing.copies > 0
          ? 'Every file can be read; some copies are still missing.'
          : 'Every file can be read; some copies are on a node that is away.',
      ];
    case 'whole':
      return ['Every file has all its copies.'];
  }
}

function nodeLines({ away, draining, shortOfRoom, roomIsShort }: StatusAnswer): string[] {
  return [
    ...away.map(({ node, silentFor, isReplaced, replacedIn }) => {
      const name = shown(node.name);
      const silent = `${name} is down, silent for ${durationText(silentFor)}`;
      if (isReplaced) return `${silent}: its copies are made up for`;
      if (replacedIn === undefined) {
        return `${silent}: too many fell silent at once, nothing is decided until one returns`;
      }
      return replacedIn === 0
        ? `${silent}: its copies are being made elsewhere`
        : `${silent}: its copies are made elsewhere in ${durationText(replacedIn)}`;
    }),
    ...draining.map(({ node, copiesLeft }) => {
      const name = shown(node.name);
      const next = copiesLeft === 0 ? `: "dfs nodes rm ${name}" takes it out` : '';
      return `${name} is drained: ${drainText(copiesLeft)}${next}`;
    }),
    ...shortOfRoom.map(({ node, free }) => {
      return `${shown(node.name)} is short of room: ${bytesText(free)} free`;
    }),
    ...(roomIsShort ? ['too few nodes have room left: add one, or delete something'] : []),
  ];
}

function healingLines({ healing }: StatusAnswer): string[] {
  if (healing.copies === 0) return [];
  const left = `${healing.copies} copies (${bytesText(healing.bytes)}) to go`;
  if (healing.etaSeconds === undefined) return [`${left}, none was made lately`];
  const rate = `${bytesText(healing.bytesPerSecond)}/s`;
  return [`${left} at ${rate}: about ${durationText(healing.etaSeconds)}`];
}

function balanceLines({ rebalance }: StatusAnswer): string[] {
  const { running, movedCopies, movedBytes, spread } = rebalance;
  if (!running && movedCopies === 0) return [];
  const moved = `${movedCopies} copies (${bytesText(movedBytes)}) moved`;
  const percent = `the fullest and the emptiest node differ by ${Math.round(spread * 100)} %`;
  return [`${running ? 'evening out' : 'evened out'}: ${moved}, ${percent}`];
}

/** Nothing while all is well: two nodes with the whole journal are enough to rebuild the database after the loss of one. */
function journalLines({ journal, nodes }: StatusAnswer): string[] {
  if (!journal) return [];
  if (journal.problem !== undefined) return [journal.problem];
  const current = journal.keepers.filter((keeper) => keeper.current).length;
  if (journal.number === 0 || current >= Math.min(2, nodes.all)) return [];
  return [
    `${current === 0 ? 'no node has' : `only ${current} node has`} the latest changes: "dfs restore" could not bring them back`,
    ...journal.keepers
      .filter((keeper) => !keeper.current)
      .map(({ name, lagRecords, lagSeconds, error }) => {
        const late = `${shown(name)} lacks ${lagRecords} changes, for ${durationText(lagSeconds)}`;
        return error === undefined ? late : `${late}: ${shown(error)}`;
      }),
  ];
}

function clockLines({ clock }: StatusAnswer): string[] {
  if (!clock) return [];
  return 'aheadOfNodes' in clock
    ? [
        `the master's clock is ahead of its nodes by ${durationText(clock.aheadOfNodes)}: until they agree nothing expires, and no room is made from what was deleted`,
      ]
    : [
        `the master's clock was set, or it was off: for ${durationText(clock.trustedIn)} nothing expires`,
      ];
}

/** A heading and lines under each other; nothing without lines. */
const row = (heading: string, lines: readonly string[]) =>
  lines.map((line, index) => `${(index === 0 ? heading : '').padEnd(9)} ${line}`);
