import { readdir, readFile } from 'node:fs/promises'

import { AgentError } from '../../lib/errors.ts'

/** Connections, downloads, state and the status socket need some at any time, log files as many as there are files. */
const reserved = 32

/**
 * Throws a retryable AgentError while another log file that stays open would leave less than 32 descriptors to the rest of the agent, by
 * proc_pid_limits(5); never where /proc does not tell.
 */
export async function keepDescriptorReserve(): Promise<void> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const [, limit] = /^Max open files\s+(\d+)/m.exec(limits) ?? []
  if (limit === undefined) return
  const open = await readdir('/proc/self/fd').catch(() => [])
  if (open.length + reserved <= Number(limit)) return
  throw new AgentError(`the ${limit} file descriptors that the agent may have leave none for more log files`, {
    retryable: true,
    hint: 'raise LimitNOFILE= of the unit by a drop-in, or narrow the paths in logs.sources; the agent goes on by itself',
  })
}
