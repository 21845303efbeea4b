import { setTimeout as delay } from 'node:timers/promises';
import {
  errorOfAnswer,
  type FsckFinding,
  type FsckLine,
  type FsckSummary,
  type ScrubAnswer,
} from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { linesOf } from '../lines.ts';
import { bytesText, print, printJson, printTable, shown, timeText } from '../output.ts';
import { type Progress, showProgress } from '../progress.ts';

interface JsonOption {
  readonly json?: boolean;
}

const lookEveryMs = 500;
/** After the last pass has ended, copies are being replaced; what cannot be replaced is said after so long without any change. */
const repairPatienceMs = 60_000;

/** `dfs scrub`: has the nodes read every blob again and waits for it. Resolves with whether all that could be asked is whole in the end. */
export async function scrub(
  api: StoreApi,
  node: string | undefined,
  options: JsonOption & { wait?: boolean; status?: boolean },
): Promise<boolean> {
  const path = `/api/v1/scrub${node === undefined ? '' : `?node=${encodeURIComponent(node)}`}`;
  const look = () => api.getJson<ScrubAnswer[]>(path);
  if (options.status) return tellScrubs(await look(), options);
  const begun = JSON.parse((await api.send({ method: 'POST', path })).text) as ScrubAnswer[];
  if (options.wait === false) return tellScrubs(begun, options);
  const progress = showProgress('scrub', undefined);
  try {
    await ended(look, progress);
    await repaired(look);
  } finally {
    progress.stop();
  }
  return tellScrubs(await look(), options);
}

/** Until no node reads for a person any more. */
async function ended(look: () => Promise<ScrubAnswer[]>, progress: Progress): Promise<void> {
  for (;;) {
    const answers = await look();
    const running = answers.filter(({ status }) => status?.running?.isAsked);
    if (running.length === 0) return;
    const passes = answers.flatMap(({ status }) => status?.running ?? status?.last ?? []);
    progress.at(passes.reduce((sum, pass) => sum + pass.checkedBytes, 0));
    await delay(lookEveryMs);
  }
}

/** Until what was found damaged has been replaced and read again, or nothing changes any more. */
async function repaired(look: () => Promise<ScrubAnswer[]>): Promise<void> {
  let before = Number.POSITIVE_INFINITY;
  for (let untilMs = performance.now() + repairPatienceMs; performance.now() < untilMs; ) {
    const awaited = (await look()).reduce(
      (sum, { status }) => sum + (status?.awaitingRepair ?? 0),
      0,
    );
    if (awaited === 0) return;
    if (awaited < before) untilMs = performance.now() + repairPatienceMs;
    before = awaited;
    await delay(lookEveryMs);
  }
}

function tellScrubs(answers: readonly ScrubAnswer[], { json }: JsonOption): boolean {
  if (json) printJson(answers);
  else {
    printTable(
      ['NODE', 'STATE', 'CHECKED', 'BYTES', 'DAMAGED', 'TO BE REPAIRED', 'LAST COMPLETE'],
      answers.map(scrubRow),
    );
  }
  return answers.every(({ status, error }) => error === undefined && status?.awaitingRepair === 0);
}

function scrubRow({ node, status, error }: ScrubAnswer): string[] {
  if (!status) return [node.name, error ?? '-', '-', '-', '-', '-', '-'];
  const { running, last, awaitingRepair } = status;
  const pass = running?.isAsked ? running : (last ?? running);
  const percent = `${Math.floor((running?.doneShare ?? 0) * 100)} %`;
  const state = !running ? 'idle' : running.isAsked ? percent : `${percent}, scheduled`;
  return [
    node.name,
    state,
    String(pass?.checkedBlobs ?? 0),
    bytesText(pass?.checkedBytes ?? 0),
    String(pass?.damagedBlobs ?? 0),
    String(awaitingRepair),
    last ? timeText(new Date(last.completedAtMs).toISOString()) : 'never',
  ];
}

/** `dfs fsck`: where database and nodes differ. Resolves with whether nothing is wrong that was not mended. */
export async function fsck(
  api: StoreApi,
  { json, repair }: JsonOption & { repair?: boolean },
): Promise<boolean> {
  const { body } = await api.open('/api/v1/fsck', { method: repair ? 'POST' : 'GET' });
  let summary: FsckSummary['summary'] | undefined;
  for await (const text of linesOf(body)) {
    const line = JSON.parse(text) as FsckLine;
    if ('error' in line) throw errorOfAnswer(500, text);
    if (json) print(text);
    else if ('problem' in line) print(findingLine(line));
    if ('summary' in line) summary = line.summary;
  }
  if (!summary) throw errorOfAnswer(503, '');
  if (!json) tellSummary(summary);
  const found = Object.values(summary.problems).reduce((sum, count) => sum + count, 0);
  const unmended = repair ? summary.problems.lost : found;
  return unmended === 0 && summary.notAsked.length === 0;
}

const findingLine = ({ problem, blob, path, node, detail }: FsckFinding) =>
  shown(`${problem.padEnd(9)}  ${node?.name ?? '-'}  ${path || '-'}  ${detail}  (${blob})`);

function tellSummary({ isRepair, copies, bytes, problems, notAsked }: FsckSummary['summary']) {
  print(`${copies} copies compared, ${bytesText(bytes)}`);
  const found = Object.entries(problems).filter(([, count]) => count > 0);
  if (found.length === 0) print('Database and nodes agree.');
  else print(found.map(([problem, count]) => `${count} ${problem}`).join(', '));
  if (notAsked.length > 0) {
    print(
      shown(`Not asked, since they do not answer: ${notAsked.map(({ name }) => name).join(', ')}`),
    );
  }
  if (found.length === 0) return;
  print(
    isRepair
      ? 'What can be mended is being mended: "dfs status" shows how far it is.'
      : 'Nothing was changed: "dfs fsck --repair" mends it.',
  );
}
