import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Everything that a test file writes lies below this directory, which goes when the process of the test file ends, however it ends. */
const root = mkdtempSync(join(tmpdir(), 'dfs-e2e-'));

/** Outlives this process: ends what it was told of and deletes the directory. Programs of a killed launcher take a moment to notice. */
const script = `
  pids=''
  while read -r verb value; do
    case "$verb" in
      watch) pids="$pids $value" ;;
      forget)
        kept=''
        for pid in $pids; do [ "$pid" = "$value" ] || kept="$kept $pid"; done
        pids="$kept"
        ;;
    esac
  done
  for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
  rounds=0
  while [ -n "$pids" ] && [ "$rounds" -lt 60 ]; do rm -rf "$1"; sleep 0.1; rounds=$((rounds + 1)); done
  rm -rf "$1"
`;

const guard = spawn('/bin/sh', ['-c', script, 'sh', root], {
  stdio: ['pipe', 'ignore', 'ignore'],
  detached: true,
});
guard.stdin.on('error', () => undefined);
guard.unref();
// Pipes of child processes are sockets, whatever their type says.
(guard.stdin as unknown as { unref(): void }).unref();

/** From now on this process is ended when the tests' own process goes away. */
export const watchProcess = (pid: number) => guard.stdin.write(`watch ${pid}\n`);
/** It ended, or it is one that ends by itself. */
export const forgetProcess = (pid: number) => guard.stdin.write(`forget ${pid}\n`);

/** A new empty directory. */
export const temporaryDirectory = (name: string) => mkdtempSync(join(root, `${name}-`));
