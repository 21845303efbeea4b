import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { temporaryDirectory } from './guard.ts';
import { waitUntil } from './wait-until.ts';

/** Chromium under its various names (Debian: `apt-get install chromium-headless-shell`). */
const command = [
  'chromium-headless-shell',
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
].find((name) => spawnSync(name, ['--version']).status === 0);

/** False: tests that need a browser are skipped. */
export const isBrowserInstalled = command !== undefined;

const switches = [
  '--headless',
  '--remote-debugging-pipe',
  // It shows only what tests made, and as root it would not start otherwise.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--mute-audio',
  '--autoplay-policy=no-user-gesture-required',
];

interface Reply {
  readonly id?: number;
  /** Of what the browser tells unasked. */
  readonly method?: string;
  readonly params?: { readonly suggestedFilename?: string };
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A browser without a window, driven by the protocol of its own developer tools (https://chromedevtools.github.io/devtools-protocol/). */
export class Browser {
  readonly #child: ChildProcess;
  readonly #commands: Writable;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #received = '';
  #downloadBegins: (name: string) => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const [, , , commands, replies] = child.stdio;
    this.#commands = commands as Writable;
    // Where the browser is gone, replies end, and with them every command.
    this.#commands.on('error', () => undefined);
    (replies as NodeJS.ReadableStream)
      .setEncoding('utf8')
      .on('data', (text: string) => this.#receive(text))
      .on('close', () => this.#failAll(new Error('The browser ended.')));
    child.once('error', (error) => this.#failAll(error));
  }

  /** Rejects when it does not start. It ends with the tests at the latest, since its pipes do. */
  static async start(): Promise<Browser> {
    const profile = `--user-data-dir=${temporaryDirectory('browser')}`;
    const child = spawn(command ?? '', [...switches, profile, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const browser = new Browser(child);
    await browser.call('Browser.getVersion');
    return browser;
  }

  /** A tab that shows this address; resolves when its page is there, scripts run. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.call<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
    });
    const { sessionId } = await this.call<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    });
    const tab = new Tab(this, targetId, sessionId);
    await tab.show(url);
    return tab;
  }

  /** Goes to what is to be saved, and gives the name that it would be saved under. */
  async nameOfDownload(url: string): Promise<string> {
    const begun = new Promise<string>((resolve) => {
      this.#downloadBegins = resolve;
    });
    await this.call('Browser.setDownloadBehavior', { behavior: 'deny', eventsEnabled: true });
    const tab = await this.open(url);
    const name = await begun;
    await tab.close();
    return name;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    await this.call('Browser.close').catch(() => undefined);
    await ended;
  }

  /** Rejects with what the browser says against it, and when the browser ends. */
  call<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    this.#count += 1;
    const id = this.#count;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.#commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  #receive(text: string): void {
    const messages = (this.#received + text).split('\0');
    this.#received = messages.pop() ?? '';
    for (const message of messages) this.#settle(JSON.parse(message) as Reply);
  }

  #settle({ id, result, error, method, params }: Reply): void {
    if (method === 'Browser.downloadWillBegin') {
      this.#downloadBegins(params?.suggestedFilename ?? '');
    }
    const waiting = this.#waiting.get(id ?? 0);
    this.#waiting.delete(id ?? 0);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

interface Evaluation {
  readonly result: { readonly value?: unknown };
  readonly exceptionDetails?: { readonly exception?: { readonly description?: string } };
}

/** What a user looks at. */
export class Tab {
  readonly #browser: Browser;
  readonly #targetId: string;
  readonly #sessionId: string;

  constructor(browser: Browser, targetId: string, sessionId: string) {
    this.#browser = browser;
    this.#targetId = targetId;
    this.#sessionId = sessionId;
  }

  /** Goes to an address; resolves when its page is there, scripts run. Rejects when it cannot be reached. */
  async show(url: string): Promise<void> {
    const { errorText } = await this.#call<{ errorText?: string }>('Page.navigate', { url });
    // What is saved is not shown: the page before stays.
    if (errorText === 'net::ERR_ABORTED') return;
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
    // No promise of a page is kept where its scripts are forbidden.
    await waitUntil(`${url} to be there`, () => this.evaluate('document.readyState !== "loading"'));
  }

  /** The value of an expression in the page, or what the promise that it is gives. Rejects with what it throws. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#call<Evaluation>('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description);
    return result.value as T;
  }

  async close(): Promise<void> {
    await this.#browser.call('Target.closeTarget', { targetId: this.#targetId });
  }

  #call<T>(method: string, params: object): Promise<T> {
    return this.#browser.call<T>(method, params, this.#sessionId);
  }
}
