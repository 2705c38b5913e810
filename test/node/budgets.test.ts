/** One timer for the budgets of all that is under way, on a clock that the test moves. */
import { expect, test } from 'vitest';
import { Budgets, type Spender } from '../../src/node/budgets.ts';
import { FakeClock } from '../support/fake-clock.ts';

function sending() {
  const clock = new FakeClock(1_000);
  const budgets = new Budgets<Spender>(clock, 100);
  const over: string[] = [];
  const send = (name: string): Spender => {
    const spender = {
      sentAt: clock.now(),
      expire: () => {
        budgets.delete(spender);
        over.push(`${name} at ${clock.now() - 1_000}`);
      },
    };
    budgets.add(spender);
    return spender;
  };
  return { clock, budgets, over, send };
}

test('each is over when its own time is, and not before', async () => {
  const { clock, over, send } = sending();
  send('a');
  await clock.advance(40);
  send('b');
  await clock.advance(59);
  expect(over).toEqual([]);
  await clock.advance(500);
  expect(over).toEqual(['a at 100', 'b at 140']);
  expect(clock.pending).toBe(0);
});

test('what is finished is not told, and is finished once', async () => {
  const { clock, budgets, over, send } = sending();
  const answered = send('answered');
  send('hangs');
  expect(budgets.delete(answered)).toBe(true);
  expect(budgets.delete(answered)).toBe(false);
  await clock.advance(100);
  expect(over).toEqual(['hangs at 100']);
});

test('one timer serves any number that is answered, and what is sent while it runs', async () => {
  const { clock, budgets, over, send } = sending();
  for (let i = 0; i < 90; i++) {
    budgets.delete(send('answered'));
    expect(clock.pending).toBe(1);
    await clock.advance(1);
  }
  send('hangs');
  await clock.advance(99);
  expect(over).toEqual([]);
  await clock.advance(1);
  expect(over).toEqual(['hangs at 190']);
  expect(clock.pending).toBe(0);
});

test('what is answered behind the timer, before it looks, is in time', async () => {
  const { clock, budgets, over, send } = sending();
  let answer = (): unknown => undefined;
  clock.after(100, () => clock.soon(() => answer()));
  const late = send('late');
  answer = () => budgets.delete(late);
  await clock.advance(200);
  expect(over).toEqual([]);
});

// Goal: an answer that waits in the socket, behind a long piece of our own work, is read.
test('what is over only after the timer is not taken along with it', async () => {
  const { clock, over, send } = sending();
  clock.after(100, () => clock.soon(() => clock.block(60)));
  send('a');
  await clock.advance(50);
  send('b');
  await clock.advance(50);
  await clock.settle();
  expect(over).toEqual(['a at 160']);
  await clock.advance(1);
  expect(over).toEqual(['a at 160', 'b at 160']);
});

test('an end leaves no timer, and tells what is under way', async () => {
  const { clock, budgets, over, send } = sending();
  const a = send('a');
  budgets.delete(send('b'));
  expect(budgets.end()).toEqual([a]);
  expect(clock.pending).toBe(0);
  await clock.advance(1_000);
  expect(over).toEqual([]);
});

test('an end between the timer and its look is an end', async () => {
  const { clock, budgets, over, send } = sending();
  send('a');
  clock.after(100, () => budgets.end());
  await clock.advance(1_000);
  expect(over).toEqual([]);
});
