/** Leases that a node grants when their asker has gone. */
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { useSubjects } from './subject.ts';

const start = useSubjects();
const nodes = useNodes(1);

// A stopped server has the request in its socket, and acts on it when it goes
// on. Without the clean-up the key stays leased, to nobody, for ten seconds.
test('a lease granted after its asker gave up is given back, though the connection was lost', async () => {
  const subject = await start(nodes[0]!);
  await nodes[0]!.pause();
  await expect(subject.lease('gone', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await eventually(() => !subject.up);
  await nodes[0]!.resume();
  await eventually(() => subject.up);
  expect((await subject.node.inspect('gone')).leased).toBe(false);
});

test('the same while the connection stands', async () => {
  const subject = await start(nodes[0]!, { breaker: { volumeThreshold: 1_000 } });
  await nodes[0]!.pause();
  await expect(subject.lease('slow', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await nodes[0]!.resume();
  await eventually(async () => !(await subject.node.inspect('slow')).leased);
  expect(subject.states).not.toContain('down');
});

test('a lease that another token took since is left alone', async () => {
  const subject = await start(nodes[0]!);
  await nodes[0]!.pause();
  await expect(subject.lease('taken', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await eventually(() => !subject.up);
  await nodes[0]!.kill();
  await nodes[0]!.restart();
  await command(nodes[0]!, 'SET', 'rc:l:taken', 'other');
  await eventually(() => subject.up);
  expect(await command(nodes[0]!, 'GET', 'rc:l:taken')).toContain('other');
});
