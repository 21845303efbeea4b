import { asksForJson, outputFailure } from './failure.ts';
import { report, runCommand } from './program/run-command.ts';
import { Session } from './session.ts';

const args = process.argv.slice(2);

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader that closed the pipe (head, a pager) has all it wants.
  if (error.code === 'EPIPE') process.exit(0);
  // A command that waits for its bytes to be written tidies up and says it itself.
  setImmediate(() => process.exit(report(outputFailure(error), asksForJson(args))));
});

const failed = await runCommand(args, new Session(process.env));
// Keep-alive connections would hold the process for seconds.
if (failed !== undefined) process.exit(failed);
