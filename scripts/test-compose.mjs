// `npm run test:compose [-- docker-compose | -- docker compose]`: docker-compose.yml for real, in a project of its own on a free port:
// two instances of the image by itself; then up, put, scale to five, read at each node, stop the primary's container, get, down, up, get again, clean up.
// Without a running Docker engine it says so and ends with 0. DFS_IMAGE names an image to use; otherwise one is built, and removed
// at the end. What Docker keeps of a build to make the next one fast stays.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { inspect } from 'node:util';
import { ComposeProject, findCompose, whyNoEngine } from './compose-project.mjs';
import { reportingSetupErrors, setUp } from './setup.mjs';
import { md5Of, writeRandomFile } from './test-files.mjs';

const copies = 3;
const instanceKey = 'BasicPassword';
const nodesAtFirst = 3;
const nodesAtLast = 5;
const { devDependencies } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
);
/** From an empty file to one of many blocks; the names are such as people give. */
const bigFiles = {
  'empty.txt': 0,
  'one byte': 1,
  'Müller & Söhne 100%.pdf': 4_096,
  'no-extension': 2 ** 20 + 1,
  '写真.jpg': 5_000_011,
  'video.mp4': 64 * 2 ** 20,
};
/** So many that, once there are five nodes, each of them surely gets some. */
const smallFiles = Object.fromEntries(
  Array.from({ length: 24 }, (_, index) => [`note-${index}.txt`, 100 + index]),
);
const startLimitMs = 180_000;
const copyLimitMs = 120_000;
/** A health check may fail for a minute before it counts. */
const healthLimitMs = 90_000;

const startedAt = performance.now();
const missing = whyNoEngine();
if (missing) {
  say(`skipped: ${missing}`);
  process.stdout.write('tests: 0 passed, 0 failed, 1 skipped\n');
} else await reportingSetupErrors(testCompose);

async function testCompose() {
  setUp();
  const stopping = new AbortController();
  const directory = mkdtempSync(join(tmpdir(), 'dfs-test-compose-'));
  const project = new ComposeProject({
    compose: findCompose(process.argv.slice(2)),
    directory,
    signal: stopping.signal,
  });
  const stop = (signal) => {
    if (stopping.signal.aborted) process.exit(130);
    say(`${signal}: cleaning up; once more leaves all as it is`);
    stopping.abort(new Error(`stopped by ${signal}`));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    await scenario(project, directory);
    process.exitCode = 0;
  } catch (error) {
    process.exitCode = 1;
    if (!stopping.signal.aborted) await project.printState();
    say(`FAILED: ${stopping.signal.aborted ? stopping.signal.reason.message : inspect(error)}`);
  }
  await project.remove().catch((error) => {
    process.exitCode = 1;
    say(`FAILED to clean up: ${error.message}`);
  });
  rmSync(directory, { recursive: true, force: true });
  const passed = process.exitCode === 0;
  say(passed ? 'all was there again' : 'see above');
  process.stdout.write(`tests: ${passed ? 1 : 0} passed, ${passed ? 0 : 1} failed, 0 skipped\n`);
  // A request that was cut off may hold the process.
  process.exit();
}

async function scenario(project, directory) {
  const local = join(directory, 'local');
  mkdirSync(local);
  await step('image', async () => {
    const built = await project.provideImage();
    return `${built ? 'built' : 'given'}, ${await project.imageSizeText()}`;
  });
  await step('the image has no tools of development and its user is not root', async () => {
    assert.notEqual(await project.inImage('id', '-u'), '0');
    const paths = Object.keys(devDependencies).map((name) => `/app/node_modules/${name}`);
    assert(paths.length > 0);
    assert.equal(
      await project.inImage('bash', '-c', `ls -d ${paths.join(' ')} 2>/dev/null; true`),
      '',
    );
    return `dfs ${await project.inImage('dfs', '--version')}`;
  });
  await step('the image by itself: two instances', () => instances(project));
  await step('up', () => project.up());
  await nodesUp(project, nodesAtFirst);

  const md5s = new Map();
  await put(project, local, bigFiles, md5s);
  await copiesStored(project, [...md5s.keys()]);

  await step('up --scale storage-node=5', () => project.up({ nodes: nodesAtLast }));
  const nodes = await nodesUp(project, nodesAtLast);
  await put(project, local, smallFiles, md5s);
  const holders = await copiesStored(project, [...md5s.keys()]);
  assert.equal(holders.size, nodesAtLast, 'each of the five nodes holds copies');
  await step('all containers are healthy', () =>
    project.until(healthLimitMs, 'health checks', async () => {
      const states = await project.healthStates();
      assert.equal(states.length, 3 + nodesAtLast);
      for (const { name, health } of states) assert.equal(health, 'healthy', name);
    }),
  );

  await step("each node's own port serves every file", async () => {
    const addresses = await project.addressesOf('storage-node', 7110);
    assert.equal(new Set(addresses).size, nodesAtLast);
    for (const address of addresses) {
      for (const [name, md5] of md5s) await mustServe(`http://${address}`, name, md5, project.key);
    }
  });

  await step("stop the primary's container", async () => {
    const replicas = await project.dfsJson('replicas', '/video.mp4');
    const primary = replicas.find(({ role }) => role === 'primary').node;
    const { url } = nodes.find(({ id }) => id === primary.id);
    const container = await project.containerAt('storage-node', new URL(url).hostname);
    await project.stopContainer(container);
    return `${primary.name} in ${container}`;
  });
  await getAll(project, directory, md5s);

  await step('down', () => project.down());
  await step('up --scale storage-node=5', () => project.up({ nodes: nodesAtLast }));
  const nodesAgain = await nodesUp(project, nodesAtLast);
  assert.deepEqual(nodesAgain.map(nameAndId).sort(), nodes.map(nameAndId).sort(), 'same nodes');
  await getAll(project, directory, md5s);
  await step('every copy is there', () => everyCopyStored(project));
  await step('dfs inside the container finds them too', async () => {
    const names = (await project.inService('master', 'dfs', 'ls')).split('\n');
    for (const name of md5s.keys()) assert(names.includes(name), name);
  });
}

/** The image by itself, as docs/http-api.md runs it: a store of one node, and a further one that knows its address alone. */
async function instances(project) {
  const settings = (name) => ({ INSTANCE_NAME: name, SHARD_KEY: instanceKey });
  const limitMs = startLimitMs;
  const first = await project.startInstance(settings('Kalahari'), {
    says: 'dfs serves at',
    limitMs,
  });
  const second = await project.startInstance(
    { ...settings('Sahara'), GOSSIP_INSTANCE: first.inside },
    { says: 'registered with the master', limitMs },
  );
  const headers = { 'SHARD-KEY': instanceKey };
  await project.until(startLimitMs, 'two instances', async () => {
    const answer = await fetch(`${first.url}/api/v1/registered_instances`, { headers });
    assert.deepEqual(Object.keys(await answer.json()).sort(), ['Kalahari', 'Sahara']);
  });
  for (const { url } of [first, second]) {
    const form = new FormData();
    form.set('file', new Blob(['a video']), 'video.mp4');
    form.set('filename', `${new URL(url).port}.mp4`);
    const stored = await fetch(`${url}/api/v1/store`, { method: 'POST', headers, body: form });
    const reference = await stored.text();
    assert.equal(stored.status, 200, reference);
    for (const { url: reader } of [first, second]) {
      const streamed = await fetch(`${reader}/api/v1/stream/${reference}`);
      assert.equal(await streamed.text(), 'a video', `${reference} at ${reader}`);
    }
  }
}

async function mustServe(url, name, md5, key) {
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetch(`${url}/fs/${encodeURIComponent(name)}`, { headers });
  const hash = createHash('md5');
  for await (const chunk of answer.body) hash.update(chunk);
  assert.equal(hash.digest('hex'), md5, `${name} at ${url} (${answer.status})`);
}

function nameAndId({ name, id }) {
  return `${name} ${id}`;
}

function nodesUp(project, count) {
  return step(`${count} nodes up and ready`, () =>
    project.until(startLimitMs, `${count} nodes`, async () => {
      const ready = await project.fetch('/readyz');
      assert.equal(ready.status, 200, '/readyz');
      const nodes = await project.dfsJson('nodes');
      const up = nodes.filter(({ state }) => state === 'up');
      assert.equal(up.length, count);
      assert.equal(nodes.length, count, 'no node but these was ever known');
      return up;
    }),
  );
}

function put(project, local, files, md5s) {
  const names = Object.keys(files);
  return step(`put ${names.length} files`, async () => {
    for (const name of names) {
      await writeRandomFile(join(local, name), files[name]);
      md5s.set(name, await md5Of(join(local, name)));
    }
    const answers = await project.dfsJson('put', ...names.map((name) => join(local, name)), '/');
    for (const answer of answers) {
      assert.equal(answer.md5, md5s.get(basename(answer.path)), answer.path);
    }
    assert.equal(answers.length, names.length);
  });
}

/** Waits until each file has its copies on as many nodes; gives the ids of all nodes that hold some. */
function copiesStored(project, names) {
  return step(`${copies} copies of each file`, async () => {
    await everyCopyStored(project);
    const holders = new Set();
    for (const name of names) {
      const replicas = await project.dfsJson('replicas', `/${name}`);
      const stored = replicas.filter(({ state }) => state === 'stored');
      assert.equal(new Set(stored.map(({ node }) => node.id)).size, copies, name);
      for (const { node } of stored) holders.add(node.id);
    }
    return holders;
  });
}

function everyCopyStored(project) {
  return project.until(copyLimitMs, 'every copy stored', async () => {
    const status = await project.dfsJson('status');
    assert.equal(status.health, 'whole', JSON.stringify(status));
  });
}

function getAll(project, directory, md5s) {
  return step(`get ${md5s.size} files`, async () => {
    const target = mkdtempSync(join(directory, 'got-'));
    for (const [name, md5] of md5s) {
      await project.dfsJson('get', `/${name}`, join(target, name));
      assert.equal(await md5Of(join(target, name)), md5, name);
    }
    rmSync(target, { recursive: true });
  });
}

async function step(name, work) {
  const from = performance.now();
  const result = await work();
  const seconds = ((performance.now() - from) / 1_000).toFixed(1);
  const shown = typeof result === 'string' && result !== '' ? `: ${result}` : '';
  say(`${name}${shown} (${seconds} s)`);
  return result;
}

function say(line) {
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  process.stdout.write(`compose ${seconds.padStart(4)} s  ${line}\n`);
}
