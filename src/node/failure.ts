/**
 * What went wrong, said in our words: judges an error of the Redis client or a
 * reply of the server, and makes the one error that leaves this folder.
 *
 * The client's own errors go no further: they carry the arguments of the
 * command (keys, values, and for a failed log-in the password).
 */
import { NodeUnavailableError, type Unavailability } from '../errors.ts';

export interface Verdict {
  readonly reason: Unavailability;
  /** It says something about the node's health: the breaker counts it. */
  readonly counts: boolean;
  /** A person should hear of it: it does not go away by itself. */
  readonly tell: boolean;
}

const CONNECTION: Verdict = { reason: 'connection', counts: true, tell: false };
const CONFIGURATION: Verdict = { reason: 'configuration', counts: false, tell: true };
const BUSY: Verdict = { reason: 'refused', counts: true, tell: false };
const READ_ONLY: Verdict = { reason: 'refused', counts: true, tell: true };
// Reads and deletes still work: not a failure of the node.
const FULL: Verdict = { reason: 'refused', counts: false, tell: true };

const REPLIES: Readonly<Record<string, Verdict>> = {
  LOADING: BUSY,
  BUSY,
  CLUSTERDOWN: BUSY,
  MASTERDOWN: BUSY,
  READONLY: READ_ONLY,
  MISCONF: READ_ONLY,
  OOM: FULL,
};

// Before 7.0 an error inside a script comes as "ERR Error running script …: -CODE text".
const CODE = /(?:^|: ?-)(LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|READONLY|MISCONF|OOM)\b/;

/** Of a rejection by the Redis client. A reply nobody foresaw is a bug or a foreign server: `configuration`. */
export function judge(error: unknown): Verdict {
  if (!isReply(error)) return CONNECTION;
  if (error.message.includes('max number of clients')) return CONNECTION;
  const code = CODE.exec(error.message)?.[1];
  return (code === undefined ? undefined : REPLIES[code]) ?? CONFIGURATION;
}

/** The server does not know the script of that hash. */
export function isNoScript(error: unknown): boolean {
  return isReply(error) && error.message.includes('NOSCRIPT');
}

// ioredis 6 throws its own SimpleError and BlobError, whose base is ReplyError
// of redis-errors; `name` is the class name, so it is the base that is looked for.
function isReply(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  for (let at: unknown = error; at instanceof Error; at = Object.getPrototypeOf(at)) {
    if ((at as Error).constructor.name === 'ReplyError') return true;
  }
  return false;
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // How ioredis says it, which speaks of retries that there are none of.
  if (error.name === 'MaxRetriesPerRequestError')
    return 'the connection was lost before the answer';
  return error.message || error.name;
}

/** Makes the errors of one node; the only place that knows which texts are secret. */
export class Failures {
  readonly #node: string;
  readonly #secrets: readonly string[];

  constructor(node: string, secrets: readonly string[]) {
    this.#node = node;
    // Longest first: a secret may be part of another.
    this.#secrets = [...secrets].sort((a, b) => b.length - a.length);
  }

  plain(reason: Unavailability, detail = ''): NodeUnavailableError {
    return new NodeUnavailableError(this.#node, reason, detail);
  }

  /** The same, from an error of the client: its text and code without the secrets, and nothing else of it. */
  from(error: unknown, reason: Unavailability, hint = ''): NodeUnavailableError {
    const cause = this.#copy(error, hint);
    return new NodeUnavailableError(this.#node, reason, cause.message, { cause });
  }

  #copy(error: unknown, hint: string): Error {
    const copy = new Error(`${this.#scrub(textOf(error))}${hint}`);
    // The stack of the copy says where it was copied, which helps nobody.
    copy.stack = `Error: ${copy.message}`;
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    if (typeof code === 'string') Object.assign(copy, { code });
    return copy;
  }

  #scrub(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, '***');
    return clean;
  }
}
