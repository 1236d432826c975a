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
  /** How many turns of the real event loop each step gets for files and sockets. Default 10. */
  readonly turns?: number
  /** Called after each step. */
  readonly onStep?: () => Promise<void> | void
}

/** Lets simulated time pass step by step. */
export async function passTime({ forMs, stepMs, turns = 10, onStep }: TimePassing): Promise<void> {
  for (let passedMs = 0; passedMs < forMs; passedMs += stepMs) {
    vi.advanceTimersByTime(stepMs)
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
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
    await realDelay(2) // sockets need real time
  }
}
