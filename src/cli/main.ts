#!/usr/bin/env node
/** The command line `ringcache`. */
import { run } from './run.ts';

// Whoever reads may have read enough: `ringcache ring | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2));
