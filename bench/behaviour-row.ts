/**
 * One of the processes in which a cache shows its behaviour: it does what it is
 * told, one step at a time, with loaders that answer when they are told to.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { libraries, type Subject } from './behaviour-libraries.ts';
import { obey } from './child.ts';

/** How something ended, as text: JSON, `undefined`, or the message of an error. */
export interface Outcome {
  readonly kind: 'value' | 'error' | 'pending';
  readonly text: string;
}

/** What a loader does: return this, or throw it. */
export type Answer = { readonly value: unknown } | { readonly error: string };

interface Loads {
  /** How often the loader was called. */
  calls: number;
  running: number;
  mostAtOnce: number;
  /** Those that wait for their answer. */
  readonly held: ((answer: Answer) => void)[];
  /** What those that come from now on answer at once. */
  answer: Answer | undefined;
}

const POLL_MS = 2;

let subject: Subject;
const loadsOf = new Map<string, Loads>();
const callers: Promise<Outcome>[] = [];

// What is rejected where nobody listens is told by no outcome; the next step shows what is left.
process.on('unhandledRejection', () => {});
// Nor may a library end the process with an 'error' event of a connection that it keeps to itself
// (the sync of cacheable does when it is cut): a program would have to catch that, so this one does.
process.on('uncaughtException', () => {});
// ioredis prints those of connections that a library opens for itself.
console.error = () => {};

async function open(plan: { library: string; url: string; variant?: string }): Promise<void> {
  const library = libraries.find(({ name }) => name === plan.library);
  if (library === undefined) throw new Error(`no library ${plan.library}`);
  const { url, variant } = plan;
  subject = await library.open({ url, load, ...(variant === undefined ? {} : { variant }) });
  // So that nothing is done for the first time when it counts, and all connections are there.
  const key = `warm-up:${process.pid}`;
  loads(key).answer = { value: 0 };
  await subject.getOrSet(key);
  await subject.delete(key);
}

function loads(key: string): Loads {
  const known = loadsOf.get(key);
  if (known !== undefined) return known;
  const fresh: Loads = { calls: 0, running: 0, mostAtOnce: 0, held: [], answer: undefined };
  loadsOf.set(key, fresh);
  return fresh;
}

async function load(key: string): Promise<unknown> {
  const of = loads(key);
  of.calls++;
  of.running++;
  of.mostAtOnce = Math.max(of.mostAtOnce, of.running);
  try {
    const answer =
      of.answer ?? (await new Promise<Answer>((resolve) => void of.held.push(resolve)));
    // Even a quick database takes a turn of the event loop.
    await sleep(1);
    if ('error' in answer) throw new Error(answer.error);
    return answer.value;
  } finally {
    of.running--;
  }
}

/** Loads of `key` that begin from now on answer this at once. */
function plan({ key, answer }: { key: string; answer: Answer | null }): void {
  loads(key).answer = answer ?? undefined;
}

/** Answers the oldest load that is held. */
function finish({ key, answer }: { key: string; answer: Answer }): void {
  const resolve = loads(key).held.shift();
  if (resolve === undefined) throw new Error(`no load of ${key} is held`);
  resolve(answer);
}

/** Waits until the loader was called so often, or the time is over. */
async function waitForCalls(wanted: {
  key: string;
  calls: number;
  withinMs: number;
}): Promise<{ calls: number; mostAtOnce: number }> {
  const of = loads(wanted.key);
  const until = performance.now() + wanted.withinMs;
  while (of.calls < wanted.calls && performance.now() < until) await sleep(POLL_MS);
  return { calls: of.calls, mostAtOnce: of.mostAtOnce };
}

/** Starts a read with the loader; answers with the number of its caller. */
function begin({ key }: { key: string }): number {
  return callers.push(outcomeOf(() => subject.getOrSet(key))) - 1;
}

function outcome(asked: { caller: number; withinMs: number }): Promise<Outcome> {
  return within(callers[asked.caller]!, asked.withinMs);
}

type Step =
  | { readonly do: 'getOrSet' | 'get' | 'delete'; readonly key: string }
  | { readonly do: 'set'; readonly key: string; readonly value: unknown };

/** Does one thing and says how it ended. */
function step(asked: { step: Step; withinMs: number }): Promise<Outcome> {
  return within(
    outcomeOf(() => run(asked.step)),
    asked.withinMs,
  );
}

function run(asked: Step): Promise<unknown> | undefined {
  switch (asked.do) {
    case 'getOrSet':
      return subject.getOrSet(asked.key);
    case 'get':
      return subject.get?.(asked.key);
    case 'delete':
      return subject.delete(asked.key);
    case 'set':
      return subject.set?.(asked.key, asked.value);
  }
}

/** Whether a read that has a function for its default calls it. */
async function callsDefault({ key }: { key: string }): Promise<boolean> {
  const before = loads(key).calls;
  let called = false;
  await subject.getOr?.(key, () => {
    called = true;
    return 'default';
  });
  await subject.getOrSet(key);
  return called || loads(key).calls > before;
}

/** Reads an object, changes what it got, and reads it again. */
async function changeWhatWasGot({ key }: { key: string }): Promise<Outcome> {
  // Twice: the object of the first read may be the loader's.
  for (let i = 0; i < 2; i++) {
    const got = (await subject.getOrSet(key)) as { name: string };
    try {
      got.name = 'changed';
    } catch {
      // frozen: then it is as it was
    }
  }
  return outcomeOf(() => subject.getOrSet(key));
}

/** Mistakes a caller may make: a value that no codec carries, a key that is none. */
async function mistake(which: 'value' | 'key'): Promise<Outcome> {
  if (which === 'value') {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    return within(
      outcomeOf(() => subject.set?.('mistake:value', circular)),
      2_000,
    );
  }
  const refuse = (): never => {
    throw new Error('cannot be a key');
  };
  const key = { toString: refuse, toJSON: refuse };
  return within(
    outcomeOf(() => subject.getOrSet(key as never)),
    2_000,
  );
}

async function outcomeOf(work: () => unknown): Promise<Outcome> {
  try {
    const value = await work();
    return { kind: 'value', text: textOf(value) };
  } catch (error) {
    return { kind: 'error', text: messageOf(error) };
  }
}

/** With what caused it: some wrap what a loader throws, and that is told as well. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${messageOf(error.cause)}`;
}

function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch {
    return String(value);
  }
}

async function within(work: Promise<Outcome>, ms: number): Promise<Outcome> {
  const over = new AbortController();
  const nothing = { kind: 'pending', text: `nothing after ${ms} ms` } as const;
  const late = sleep(ms, nothing, { signal: over.signal });
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
    late.catch(() => {});
  }
}

const handlers = {
  open,
  plan,
  finish,
  waitForCalls,
  begin,
  outcome,
  step,
  callsDefault,
  changeWhatWasGot,
  mistake,
};
export type BehaviourRow = typeof handlers;
obey(handlers);
