#!/usr/bin/env node
// npm links a command only when its file exists at install time, before anything is built: hence this launcher.
import { existsSync } from 'node:fs';

const program = new URL('../dist/main.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  process.stderr.write('dfs: it is not built yet; run `npm run build` in its repository first.\n');
  process.exitCode = 1;
}
