import { setTimeout as delay } from 'node:timers/promises'

import type { AgentProcess, ExitReport } from './agent-process.ts'

const pollMs = 10

/**
 * Polls until `isReached` answers true, on real time even under fake timers; throws what was waited for when that takes
 * too long.
 */
export async function waitUntil(
  what: string,
  isReached: () => boolean | Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  for (let tries = 0; tries * pollMs < withinMs; tries += 1) {
    if (await isReached()) return
    await delay(pollMs)
  }
  throw new Error(`it did not come to this: ${what}`)
}

/** As `waitUntil`, for a condition that says itself what it is. */
export async function until(isReached: () => boolean | Promise<boolean>): Promise<void> {
  await waitUntil(isReached.toString(), isReached)
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
