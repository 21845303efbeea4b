/**
 * Every way in which this system refuses or fails, as one closed list. Each front translates a kind
 * into its protocol's words by one table, and the compiler asks it about a new kind.
 *
 * `digest-mismatch` is the sender's bytes, `corrupt` is a copy of ours. `unavailable` may succeed later. `other-server`: it would have to be done elsewhere.
 */
export const storeErrorKinds = [
  'invalid-request',
  'invalid-path',
  'digest-mismatch',
  'incomplete-body',
  'unauthorized',
  'forbidden',
  'not-found',
  'method-not-allowed',
  'conflict',
  'not-a-directory',
  'is-a-directory',
  'idempotency-conflict',
  'precondition-failed',
  'too-large',
  'unsupported-media-type',
  'range-not-satisfiable',
  'wrong-node',
  'other-server',
  'wrong-cluster',
  'stale-epoch',
  'expired',
  'fenced',
  'too-many-requests',
  'unavailable',
  'in-recovery',
  'corrupt',
  'no-room',
  'cancelled',
  'internal',
] as const;

export type StoreErrorKind = (typeof storeErrorKinds)[number];

export interface StoreErrorOptions {
  /** What to do next, in a sentence. */
  readonly hint?: string;
  /** Seconds after which a retry makes sense. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** The one error class. The message names the thing and what happened; the hint the next step. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly kind: StoreErrorKind;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(kind: StoreErrorKind, message: string, options: StoreErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.kind = kind;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The status by which HTTP fronts, ours between programs included, answer each kind (RFC 9110, 4918 and 6585; 499 as nginx has it). */
export const httpStatusOf: Readonly<Record<StoreErrorKind, number>> = {
  'invalid-request': 400,
  'invalid-path': 400,
  'digest-mismatch': 400,
  'incomplete-body': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'not-a-directory': 409,
  'is-a-directory': 409,
  'idempotency-conflict': 409,
  'precondition-failed': 412,
  'too-large': 413,
  'unsupported-media-type': 415,
  'range-not-satisfiable': 416,
  'wrong-node': 421,
  'other-server': 502,
  'wrong-cluster': 409,
  'stale-epoch': 409,
  expired: 410,
  fenced: 409,
  'too-many-requests': 429,
  unavailable: 503,
  'in-recovery': 503,
  corrupt: 503,
  'no-room': 507,
  cancelled: 499,
  internal: 500,
};

/** The body of every error answer. */
export interface ErrorBody {
  readonly error: {
    readonly code: StoreErrorKind;
    readonly message: string;
    readonly hint?: string;
    readonly requestId?: string;
  };
}

/** An error as the JSON body of an answer; what is not ours becomes `internal` without its details. */
export function errorBodyOf(error: unknown, requestId?: string): ErrorBody {
  const id = requestId === undefined ? {} : { requestId };
  if (!(error instanceof StoreError)) {
    return {
      error: {
        code: 'internal',
        message: 'Something failed inside the store.',
        hint: 'Look for this request id in the log of the program.',
        ...id,
      },
    };
  }
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return { error: { code: error.kind, message: error.message, ...hint, ...id } };
}

const kinds: ReadonlySet<string> = new Set(storeErrorKinds);
const kindOfStatus: Readonly<Record<number, StoreErrorKind>> = {
  400: 'invalid-request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  409: 'conflict',
  410: 'expired',
  412: 'precondition-failed',
  413: 'too-large',
  415: 'unsupported-media-type',
  416: 'range-not-satisfiable',
  421: 'wrong-node',
  429: 'too-many-requests',
  499: 'cancelled',
  500: 'internal',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
  507: 'no-room',
};

/** What the text of an answer says when it is one of our error bodies; undefined for anything else. */
export function parseErrorBody(text: string): ErrorBody['error'] | undefined {
  try {
    const error: unknown = (JSON.parse(text) as { error?: unknown } | null)?.error;
    return isErrorDetail(error) ? error : undefined;
  } catch {
    return undefined;
  }
}

function isErrorDetail(value: unknown): value is ErrorBody['error'] {
  if (typeof value !== 'object' || value === null) return false;
  const { code, message, hint } = value as Partial<Record<keyof ErrorBody['error'], unknown>>;
  return (
    isStoreErrorKind(code) &&
    typeof message === 'string' &&
    (hint === undefined || typeof hint === 'string')
  );
}

export const isStoreErrorKind = (value: unknown): value is StoreErrorKind =>
  kinds.has(value as StoreErrorKind);

/**
 * The error that an HTTP answer stands for: by its body when it is one of ours, else by its status.
 * `body` is the raw text, anything is allowed; `retryAfter` is the header, of which only the form in seconds is heeded.
 */
export function errorOfAnswer(status: number, body: string, retryAfter?: string): StoreError {
  const wait = /^\d{1,9}$/.test(retryAfter?.trim() ?? '')
    ? { retryAfterSeconds: Number(retryAfter) }
    : {};
  const said = parseErrorBody(body);
  if (said) {
    const hint = said.hint === undefined ? {} : { hint: said.hint };
    return new StoreError(said.code, said.message, { ...hint, ...wait });
  }
  const kind = kindOfStatus[status] ?? (status >= 500 ? 'unavailable' : 'invalid-request');
  return new StoreError(kind, `The server answered ${status}.`, wait);
}
