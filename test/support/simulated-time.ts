import { setTimeout as realDelay } from 'node:timers/promises'

import { vi } from 'vitest'

/** Puts simulated timers and clocks in place of the real ones until disposed; files and sockets stay as they are. */
export function simulateTime(): Disposable {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
  })
  return {
    [Symbol.dispose]() {
      vi.useRealTimers()
    },
  }
}

export interface TimePassing {
  readonly forMs: number
  readonly stepMs: number
  /** Called after each step. */
  readonly onStep?: () => Promise<void> | void
}

/** Lets simulated time pass step by step. */
export async function passTime({ forMs, stepMs, onStep }: TimePassing): Promise<void> {
  for (let passedMs = 0; passedMs < forMs; passedMs += stepMs) {
    vi.advanceTimersByTime(stepMs)
    await realIo()
    await onStep?.()
  }
}

/** Lets simulated time pass step by step until a condition holds; throws when it does not within `withinMs`. */
export async function passTimeUntil(
  isReached: () => Promise<boolean> | boolean,
  { withinMs, stepMs }: { readonly withinMs: number; readonly stepMs: number },
): Promise<void> {
  for (let passedMs = 0; !(await isReached()); passedMs += stepMs) {
    if (passedMs > withinMs) throw new Error(`it did not get there within ${withinMs} simulated ms`)
    vi.advanceTimersByTime(stepMs)
    await realIo()
  }
}

/** Of what files may take on a slow disk under load. */
const filesWithinMs = 20_000

/**
 * Turns of the event loop, for sockets whose two ends are in this process, a moment for what is not, and all the time that files
 * need: simulated time does not go by while a disk writes.
 */
async function realIo(): Promise<void> {
  const endMs = realNowMs() + filesWithinMs
  do {
    for (let turn = 0; turn < 25; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    await realDelay(1)
  } while (hasFilesToDo() && realNowMs() < endMs)
}

function hasFilesToDo(): boolean {
  return process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))
}

/** A clock that goes on while time is simulated. */
export function realNowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n)
}
