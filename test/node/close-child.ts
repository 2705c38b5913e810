/**
 * A process that opens a node at the address it is given, asks a few things,
 * closes it, and must then end by itself.
 */
import { systemClock } from '../../src/clock.ts';
import { PayloadCodec } from '../../src/node/codec.ts';
import { fenceOf } from '../../src/node/fence.ts';
import { RedisNode } from '../../src/node/redis-node.ts';

const [url = '', after = ''] = process.argv.slice(2);
const fence = fenceOf(1, '00000000');
const node = new RedisNode(
  { id: 'n', url },
  {
    clock: systemClock,
    namespace: 'rc',
    codec: new PayloadCodec(),
    host: { admit: () => ({ kind: 'install', fence, document: '' }), trusted: () => true },
    listener: {
      state: () => undefined,
      trouble: () => undefined,
      confirmed: () => undefined,
      raised: () => undefined,
    },
  },
);
process.on('unhandledRejection', () => process.exit(3));
await node.open();
process.send?.('open');
// The test does something to the server now, and says so.
if (after === 'wait') await new Promise((resolve) => process.once('message', resolve));
const reader = { found: () => undefined, failed: () => undefined };
node.read('k', reader, 0);
node.remove('k', fence).catch(() => undefined);
node.removeLater('k', 60_000);
await new Promise((resolve) => setImmediate(resolve));
const start = performance.now();
await Promise.all([node.close(), node.close()]);
process.send?.(performance.now() - start);
process.disconnect();
