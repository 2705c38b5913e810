/** Answers that are not to the question that was asked. */
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { EPOCH, FENCE, LIFE, payload, useSubjects } from './subject.ts';

const start = useSubjects();
const nodes = useNodes(1);

// One answer too many, and each later question would be told the answer to the
// one before it: a value of another key, a delete that was not done.
test.each([
  ['a read', (s: Awaited<ReturnType<typeof start>>) => s.read('k').then(([one]) => one)],
  ['a fill', (s: Awaited<ReturnType<typeof start>>) => s.fill('other', 'token', 1)],
  ['a delete', (s: Awaited<ReturnType<typeof start>>) => s.node.remove('k', FENCE)],
])('an answer out of place fails %s, and the connection is given up', async (_, ask) => {
  await using proxy = await FaultProxy.start(nodes[0]!.port);
  const subject = await start({ id: 'n', url: proxy.url }, { breaker: { resetTimeoutMs: 100 } });
  const entry = { payload: payload('v'), life: LIFE, fence: FENCE, epoch: EPOCH };
  await subject.node.write('kept', entry);
  proxy.set({ kind: 'stray' });
  const seen = await ask(subject).catch((error: unknown) => ({ error }));
  expect(seen).toMatchObject({ error: { reason: 'connection' } });
  await eventually(() => proxy.accepted === 2 && subject.up);
  expect(await subject.read('kept')).toMatchObject([{ stored: { value: 'v' } }]);
});
