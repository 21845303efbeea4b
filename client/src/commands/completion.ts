import type { Command } from 'commander';
import { bashScript } from '../completion/bash.ts';
import { describeCommand } from '../completion/describe.ts';
import { fishScript } from '../completion/fish.ts';
import { nodeNames, remoteNames } from '../completion/remote-names.ts';
import { zshScript } from '../completion/zsh.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { lastWordOf } from '../shell/words.ts';

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** `dfs completion`. */
export async function printCompletion(
  program: Command,
  shell: 'bash' | 'zsh' | 'fish',
): Promise<void> {
  process.stdout.write(scripts[shell](describeCommand(program)));
}

export interface CompletionRequest {
  readonly line?: string;
  readonly replaced?: string;
  readonly directories?: boolean;
  readonly nodes?: boolean;
}

const patienceMs = 2_000;

/**
 * `dfs __complete`: what the last word of a line may become. Silent, and successful, whatever happens: a shell would print an error into the line that is
 * being typed.
 */
export async function answerCompletion(
  session: Session,
  { line = '', replaced, directories = false, nodes = false }: CompletionRequest,
): Promise<void> {
  const last = lastWordOf(line);
  if (!last) return;
  try {
    const patient = session.forLine({ signal: AbortSignal.timeout(patienceMs) });
    const client = new DfsClient(patient.api);
    const names = nodes
      ? await nodeNames(client, last.text)
      : await remoteNames(patient, client, last.text, { onlyDirectories: directories });
    const kept = keptLength(last, replaced);
    process.stdout.write(names.map((name) => `${name.slice(kept)}\0`).join(''));
  } catch {
    // See above.
  }
}

/** Bash parts words at colons and replaces what follows the last one: what stands before is not to be repeated. */
function keptLength({ raw, text }: { raw: string; text: string }, replaced: string | undefined) {
  if (replaced === undefined || replaced === raw || !raw.endsWith(replaced)) return 0;
  const before = lastWordOf(raw.slice(0, raw.length - replaced.length));
  return before && text.startsWith(before.text) ? before.text.length : 0;
}
