import { setTimeout as delay } from 'node:timers/promises'

import type { AgentProcess, ExitReport } from './agent-process.ts'

/** Polls until `isReached` answers true; throws what was waited for, and the last failure, when that takes too long. */
export async function waitUntil(
  what: string,
  isReached: () => boolean | Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  const endMs = performance.now() + withinMs
  for (;;) {
    if (await isReached()) return
    if (performance.now() > endMs) throw new Error(`it did not come to this: ${what}`)
    await delay(20)
  }
}

/** Resolves with how a process ended; throws with its output when it does not end in time. */
export async function exitOf(agent: AgentProcess, withinMs = 15_000): Promise<ExitReport> {
  const timer = new AbortController()
  const late = delay(withinMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`the process did not end\n${agent.output}`)
  })
  try {
    return await Promise.race([agent.exited(), late])
  } finally {
    timer.abort()
    late.catch(() => undefined)
  }
}
