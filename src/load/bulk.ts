/**
 * Many keys loaded with one call.
 *
 * Every key is a flight like any other, with its own lease and its own place
 * among the callers of this process; only the work is shared. It is called
 * once all flights have either asked for it or turned out not to need it now.
 * A flight that waits for another process does not hold the others up: two
 * processes that load overlapping lists would wait for each other for ever.
 */
import type { Flight } from './flight.ts';
import type { LoadContext, Loaded, LoadRunner } from './runner.ts';

/** Loads what is missing: a map by key, or a list in the order of `missing`; what is absent is `undefined`. */
export type BulkLoader<T> = (
  missing: string[],
  context: LoadContext,
) => Map<string, T> | Array<T | undefined> | Promise<Map<string, T> | Array<T | undefined>>;

interface Wanted {
  readonly flight: Flight;
  resolve(loaded: Loaded): void;
  reject(error: unknown): void;
}

export class BulkLoad {
  readonly #runner: LoadRunner;
  readonly #loader: BulkLoader<unknown>;
  readonly #undecided = new Set<string>();
  /** So that what the loader is given does not depend on which node answers first. */
  readonly #positions = new Map<string, number>();
  #wanted: Wanted[] = [];

  constructor(runner: LoadRunner, loader: BulkLoader<unknown>) {
    this.#runner = runner;
    this.#loader = loader;
  }

  /** To be called for every key before its flight starts. */
  expect(key: string): void {
    this.#undecided.add(key);
    this.#positions.set(key, this.#positions.size);
  }

  readonly decided = (flight: Flight): void => {
    if (this.#undecided.delete(flight.key)) this.#loadIfComplete();
  };

  readonly work = (flight: Flight): Promise<Loaded> => {
    return new Promise((resolve, reject) => {
      this.#wanted.push({ flight, resolve, reject });
      this.#undecided.delete(flight.key);
      this.#loadIfComplete();
    });
  };

  #loadIfComplete(): void {
    if (this.#undecided.size > 0 || this.#wanted.length === 0) return;
    const at = ({ flight }: Wanted): number => this.#positions.get(flight.key) ?? 0;
    const wanted = this.#wanted.sort((a, b) => at(a) - at(b));
    this.#wanted = [];
    this.#load(wanted).catch((error: unknown) => {
      for (const one of wanted) one.reject(error);
    });
  }

  async #load(wanted: readonly Wanted[]): Promise<void> {
    const [first] = wanted;
    if (first === undefined) return;
    const keys = wanted.map(({ flight }) => flight.key);
    const loaded = await this.#runner.run({
      key: first.flight.key,
      others: keys.slice(1),
      urgent: wanted.some(({ flight }) => flight.urgent),
      stale: undefined,
      signal: whenAllAbort(wanted.map(({ flight }) => flight.signal)),
      invoke: (context) => this.#loader([...keys], context),
    });
    const values = loaded.value;
    for (const [position, { flight, resolve }] of wanted.entries()) {
      resolve({ ...loaded, value: pick(values, { key: flight.key, position }) });
    }
  }
}

function pick(values: unknown, at: { key: string; position: number }): unknown {
  if (values instanceof Map) return values.get(at.key);
  if (Array.isArray(values)) return values[at.position];
  throw new TypeError('the loader of getOrSetMany must return a Map or an array');
}

/** Aborted when the last of `signals` is, whenever the others were. */
function whenAllAbort(signals: readonly AbortSignal[]): AbortSignal {
  const control = new AbortController();
  let left = signals.length;
  const oneLess = (signal: AbortSignal): void => {
    if (--left === 0) control.abort(signal.reason);
  };
  for (const signal of signals) {
    if (signal.aborted) oneLess(signal);
    else signal.addEventListener('abort', () => oneLess(signal), { once: true });
  }
  return control.signal;
}
