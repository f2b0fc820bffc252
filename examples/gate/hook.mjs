// Asks the continuity gate, and puts its block in front of the agent's next prompt.
//
// For a host whose prompt hook may change the text that the agent reads. Nothing but Node's own
// modules. Without a daemon, with one that does not answer within two seconds, or with an answer
// that is none, the prompt stays as it is and nothing is printed: a gate that is away must not
// stop an agent.
//
//   import { prependGateBlock } from './hook.mjs';
//   context.bodyForAgent = await prependGateBlock(context.bodyForAgent, {
//     source: { planId, currentTask, taskState, nextTaskId, sameApprovedPlan, taskBoundaryStop },
//   });

import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const DEADLINE_MS = 2000;
const ANSWER_BYTES_MAX = 1 << 20;

/** Where the daemon may listen, in the order in which its own clients try. */
export async function socketPaths(env = process.env) {
  // Where a spool is named, the machine's usual sockets may be those of another one.
  const named = Boolean(env.OWNERREPORTD_SPOOL__ROOT);
  const home = homedir();
  const spool = (env.OWNERREPORTD_SPOOL__ROOT || '~/.clawteam/owner-reports').replace(/^~(?=\/|$)/, home);
  const written = await readFile(join(spool, 'state', 'api.path'), 'utf8').catch(() => '');
  return [
    env.OWNERREPORTD_SOCKET__PATH,
    written.replace(/\n$/, ''),
    process.getuid && !named ? `/run/user/${process.getuid()}/ownerreportd/api.sock` : '',
    named ? '' : '/run/ownerreportd/api.sock',
    join(spool, 'state', 'api.sock'),
  ].filter(Boolean);
}

/** One request over one socket; rejects where nobody answers, or not in time. */
function post(socketPath, path, body, signal) {
  return new Promise((resolve, reject) => {
    const data = Buffer.from(JSON.stringify(body));
    const headers = { 'Content-Type': 'application/json', 'Content-Length': data.length };
    const asked = request({ socketPath, path, method: 'POST', headers, signal }, (answer) => {
      const chunks = [];
      let size = 0;
      answer.on('data', (chunk) => {
        size += chunk.length;
        if (size > ANSWER_BYTES_MAX) asked.destroy(new Error('the answer is too long'));
        chunks.push(chunk);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        try {
          const value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
          if (answer.statusCode === 200) resolve(value);
          else reject(new Error(value.detail));
        } catch (error) {
          reject(error);
        }
      });
    });
    asked.on('error', reject);
    asked.end(data);
  });
}

/** The gate's contract for a request of the adapter's shape; null where there is no answer. */
export async function askGate(body, { adapter = 'generic-preflight', paths, deadlineMs = DEADLINE_MS } = {}) {
  const signal = AbortSignal.timeout(deadlineMs);
  for (const socketPath of paths ?? (await socketPaths())) {
    try {
      return await post(socketPath, `/v1/gate/${adapter}`, body, signal);
    } catch (error) {
      const absent = ['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'EACCES'].includes(error.code);
      if (!absent || signal.aborted) return null;
    }
  }
  return null;
}

/** The prompt, behind the gate's block where the agent must not stop yet. */
export async function prependGateBlock(prompt, body, options) {
  const contract = await askGate(body, options);
  return contract?.block ? `${contract.block}\n${prompt}` : prompt;
}
