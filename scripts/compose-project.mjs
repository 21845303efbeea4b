// docker-compose.yml as a project of its own: nothing of it meets a project that a person runs from the same file.
import { spawn, spawnSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SetupError } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const dfs = `${root}client/bin/dfs.js`;
const pollEveryMs = 300;

/** Why nothing can be run in containers here, in one line; undefined when it can. */
export function whyNoEngine() {
  const { error, status, stderr } = spawnSync(
    'docker',
    ['info', '--format', '{{.ServerVersion}}'],
    {
      encoding: 'utf8',
    },
  );
  if (error) return 'the command `docker` is not installed.';
  if (status !== 0) return `no Docker engine answers (${stderr.trim().split('\n')[0]}).`;
  if (!findCompose([])) return 'neither `docker compose` nor `docker-compose` is installed.';
  return undefined;
}

/** The words that call Compose: those `asked` for, else version 2 where it is installed, else `docker-compose`. */
export function findCompose(asked) {
  const works = ([command, ...args]) => spawnSync(command, [...args, 'version']).status === 0;
  if (asked.length === 0) return [['docker', 'compose'], ['docker-compose']].find(works);
  if (works(asked)) return asked;
  throw new SetupError(`\`${asked.join(' ')} version\` does not work.`);
}

function addressOf({ Ports }, port) {
  const [{ HostIp, HostPort }] = Ports[`${port}/tcp`];
  return `${HostIp}:${HostPort}`;
}

const isServedRequest = (line) => /"status":2\d\d,.*"message":"request"/.test(line);

export class ComposeProject {
  #compose;
  #signal;
  #name = `dfs-test-${process.pid}-${Date.now().toString(36)}`;
  #image = process.env.DFS_IMAGE ?? `${this.#name}:latest`;
  #isImageOurs = process.env.DFS_IMAGE === undefined;
  #environment;
  #dfsEnvironment;
  #instances = [];

  /** `signal` ends whatever runs, but not the cleaning up. */
  constructor({ compose, directory, signal }) {
    this.#compose = compose;
    this.#signal = signal;
    // An address without a port: Docker takes a free one.
    const free = '127.0.0.1:';
    this.#environment = {
      ...process.env,
      DFS_IMAGE: this.#image,
      DFS_PUBLISH: free,
      DFS_PUBLISH_NODES: free,
    };
    delete this.#environment.DFS_COPIES;
    // A person's own store must not be met.
    this.#dfsEnvironment = { PATH: process.env.PATH, XDG_CONFIG_HOME: directory };
  }

  /** Builds the image unless one was given; gives whether it did. */
  async provideImage() {
    if (this.#isImageOurs) await this.#composed('build', 'master');
    return this.#isImageOurs;
  }

  async imageSizeText() {
    const size = await this.#docker('image', 'inspect', '--format', '{{.Size}}', this.#image);
    return `${Math.round(Number(size) / 1e6)} MB`;
  }

  /** What a command in a new container of the image prints. */
  inImage(...command) {
    return this.#docker('run', '--rm', '--network', 'none', this.#image, ...command);
  }

  /** What a command in the running container of a service prints. */
  inService(service, ...command) {
    return this.#composed('exec', '-T', service, ...command);
  }

  /** Starts everything, with so many storage nodes as asked or as the file says. */
  async up({ nodes } = {}) {
    await this.#composed('up', '-d', ...(nodes ? ['--scale', `storage-node=${nodes}`] : []));
    const address = await this.#composed('port', 'master', '7040');
    this.#dfsEnvironment.DFS_URL = `http://${address}`;
    const key = await this.inService('master', 'cat', '/secrets/cluster.key');
    this.#dfsEnvironment.DFS_KEY = key;
  }

  /** Removes the containers and keeps the volumes. */
  down() {
    return this.#composed('down');
  }

  /** Removes everything that this project made, and checks that it is gone. */
  async remove() {
    // Ctrl-C and an earlier failure must not end this.
    this.#signal = undefined;
    for (const id of this.#instances) await this.#docker('rm', '--force', '--volumes', id);
    await this.#composed('down', '--volumes', '--remove-orphans');
    if (this.#isImageOurs && (await this.#docker('images', '-q', this.#image)) !== '') {
      await this.#docker('rmi', this.#image);
    }
    const label = `label=com.docker.compose.project=${this.#name}`;
    const left = [
      await this.#docker('ps', '-aq', '--filter', label),
      await this.#docker('volume', 'ls', '-q', '--filter', label),
      await this.#docker('network', 'ls', '-q', '--filter', label),
    ].filter((ids) => ids !== '');
    if (left.length > 0) throw new Error(`left behind: ${left.join(' ')}`);
  }

  /** Stops one container, as if its machine were switched off in order. */
  stopContainer(name) {
    return this.#docker('stop', name);
  }

  /** The name of the container of a service that has this address. */
  async containerAt(service, address) {
    const containers = await this.#inspect(service);
    const found = containers.find(({ NetworkSettings }) =>
      Object.values(NetworkSettings.Networks).some(({ IPAddress }) => IPAddress === address),
    );
    if (!found) throw new Error(`No container of ${service} has the address ${address}.`);
    return found.Name.slice(1);
  }

  /** Addresses of this machine at which the containers of a service answer for one of their ports. */
  async addressesOf(service, port) {
    const containers = await this.#inspect(service);
    return containers.map(({ NetworkSettings }) => addressOf(NetworkSettings, port));
  }

  /**
   * A container that runs the image as it is, with these settings, once its log says so: Docker takes connections before, and drops them, for which a `fetch` waits
   * forever. Gives where it answers from this machine, and to other containers.
   */
  async startInstance(environment, { says, limitMs }) {
    const settings = Object.entries(environment).flatMap(([name, value]) => [
      '-e',
      `${name}=${value}`,
    ]);
    const id = await this.#docker('run', '-d', '-p', '127.0.0.1::80', ...settings, this.#image);
    this.#instances.push(id);
    await this.until(limitMs, `"${says}" in the log of ${environment.INSTANCE_NAME}`, async () => {
      if (!(await this.#docker('logs', id)).includes(says)) throw new Error('It does not say so.');
    });
    const [{ NetworkSettings }] = JSON.parse(await this.#docker('inspect', id));
    return { url: `http://${addressOf(NetworkSettings, 80)}`, inside: NetworkSettings.IPAddress };
  }

  /** Each container's name and what its health check says. */
  async healthStates() {
    const containers = await this.#inspect();
    return containers.map(({ Name, State }) => ({ name: Name, health: State.Health?.Status }));
  }

  /** A request to the public port; the body is left alone. */
  async fetch(path) {
    const response = await fetch(this.#dfsEnvironment.DFS_URL + path, { signal: this.#signal });
    await response.body?.cancel();
    return response;
  }

  /** The key of the store. */
  get key() {
    return this.#dfsEnvironment.DFS_KEY;
  }

  /** What a `dfs` command of this machine answers. */
  async dfsJson(command, ...args) {
    const words = [dfs, command, '--json', '--', ...args];
    return JSON.parse(await this.#run(process.execPath, words, this.#dfsEnvironment));
  }

  /** Tries until `condition` no longer rejects, and gives what it gives; rejects with its last reason after `limitMs`. */
  async until(limitMs, what, condition) {
    const endsAt = performance.now() + limitMs;
    for (;;) {
      try {
        return await condition();
      } catch (error) {
        this.#signal?.throwIfAborted();
        if (performance.now() > endsAt) {
          throw new Error(`${what}: not within ${limitMs / 1_000} s`, { cause: error });
        }
      }
      await setTimeout(pollEveryMs, undefined, { signal: this.#signal });
    }
  }

  /** Prints what helps to understand a failure. */
  async printState() {
    for (const args of [['ps'], ['logs', '--no-color', '--tail', '200']]) {
      const text = await this.#composed(...args).catch((error) => error.message);
      const lines = text.split('\n').filter((line) => !isServedRequest(line));
      process.stdout.write(`${lines.join('\n')}\n`);
    }
  }

  async #inspect(...services) {
    const ids = (await this.#composed('ps', '-q', ...services)).split('\n').filter(Boolean);
    return JSON.parse(await this.#docker('inspect', ...ids));
  }

  #docker(...args) {
    return this.#run('docker', args, process.env);
  }

  #composed(...args) {
    const [command, ...first] = this.#compose;
    const file = ['-f', `${root}docker-compose.yml`, '--project-directory', root];
    return this.#run(command, [...first, '-p', this.#name, ...file, ...args], this.#environment);
  }

  /** Resolves with what a command prints, rejects with all its output when it fails. */
  #run(command, args, env) {
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
        // Ctrl-C in a terminal reaches this process alone, which ends its children by the signal, or lets them clean up.
        detached: true,
        ...(this.#signal ? { signal: this.#signal } : {}),
      });
      let stdout = '';
      let all = '';
      child.stdout.setEncoding('utf8').on('data', (text) => {
        stdout += text;
        all += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text) => {
        all += text;
      });
      child.once('error', reject);
      child.once('close', (code) => {
        if (code === 0) resolve(stdout.trim());
        else reject(new Error(`${[command, ...args].join(' ')}: exit ${code}\n${all.trim()}`));
      });
    });
  }
}
