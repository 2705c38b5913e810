import { describe, expect, test } from 'vitest';
import { Limit } from '../../src/load/limit.ts';

const never = new AbortController().signal;

/** Enters under a name; `turns` gets the name when it is its turn. */
function enter(limit: Limit, turns: string[], name: string): Promise<void> {
  return limit.enter(never).then(() => void turns.push(name));
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a limit', () => {
  test('lets in as many as there are turns, and not one more', async () => {
    const limit = new Limit(2);
    const turns: string[] = [];
    for (const name of ['a', 'b', 'c']) void enter(limit, turns, name);
    await settle();
    expect(turns).toEqual(['a', 'b']);
    expect(limit.waiting).toBe(1);
  });

  test('gives turns in the order of arrival', async () => {
    const limit = new Limit(1);
    const turns: string[] = [];
    for (const name of ['a', 'b', 'c', 'd']) void enter(limit, turns, name);
    for (let i = 0; i < 3; i++) {
      await settle();
      limit.leave();
    }
    await settle();
    expect(turns).toEqual(['a', 'b', 'c', 'd']);
  });

  test('hands a turn over: who arrives just then does not get in between', async () => {
    const limit = new Limit(1);
    const turns: string[] = [];
    void enter(limit, turns, 'a');
    void enter(limit, turns, 'waited');
    await settle();
    limit.leave();
    // Before the promise of the one that waited has run its course.
    void enter(limit, turns, 'arrives');
    await settle();
    expect(turns).toEqual(['a', 'waited']);
    expect(limit.waiting).toBe(1);
  });

  test('who gives up while waiting is rejected with the reason and takes no turn', async () => {
    const limit = new Limit(1);
    const turns: string[] = [];
    const control = new AbortController();
    void enter(limit, turns, 'a');
    const givesUp = limit.enter(control.signal);
    void enter(limit, turns, 'c');
    control.abort(new Error('enough'));
    await expect(givesUp).rejects.toThrow('enough');
    expect(limit.waiting).toBe(1);
    limit.leave();
    await settle();
    expect(turns).toEqual(['a', 'c']);
  });

  test('who comes aborted is rejected, though there are turns', async () => {
    const limit = new Limit(1);
    await expect(limit.enter(AbortSignal.abort(new Error('late')))).rejects.toThrow('late');
    const turns: string[] = [];
    void enter(limit, turns, 'a');
    await settle();
    expect(turns).toEqual(['a']);
  });

  test('an abort after the turn has come changes nothing', async () => {
    const limit = new Limit(1);
    const control = new AbortController();
    const turns: string[] = [];
    void enter(limit, turns, 'a');
    const second = limit.enter(control.signal);
    limit.leave();
    control.abort(new Error('late'));
    await expect(second).resolves.toBeUndefined();
    void enter(limit, turns, 'c');
    await settle();
    expect(turns).toEqual(['a']);
    limit.leave();
    await settle();
    expect(turns).toEqual(['a', 'c']);
  });

  test('after everyone has left, all turns are there again', async () => {
    const limit = new Limit(2);
    const turns: string[] = [];
    for (const name of ['a', 'b', 'c']) void enter(limit, turns, name);
    for (let i = 0; i < 3; i++) limit.leave();
    await settle();
    for (const name of ['d', 'e', 'f']) void enter(limit, turns, name);
    await settle();
    expect(turns).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});
