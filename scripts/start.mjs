// `npm start [-- options of dfs up]`: set-up, then `dfs up` in this very process, so that signals reach it and
// its exit status is ours.
import { reportingSetupErrors, setUp } from './setup.mjs';

await reportingSetupErrors(async () => {
  setUp();
  const launcher = new URL('../client/bin/dfs.js', import.meta.url);
  process.argv.splice(1, 1, launcher.pathname, 'up');
  await import(launcher.href);
});
