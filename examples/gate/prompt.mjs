// A host in one line, to try the hook by hand:
//
//   echo 'the prompt' | node prompt.mjs generic-preflight.json [ADAPTER]

import { readFileSync } from 'node:fs';
import { prependGateBlock } from './hook.mjs';

const [file, adapter] = process.argv.slice(2);
const prompt = readFileSync(0, 'utf8');
process.stdout.write(await prependGateBlock(prompt, JSON.parse(readFileSync(file, 'utf8')), { adapter }));
