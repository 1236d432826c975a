import { setTimeout as delay } from 'node:timers/promises'

/** Polls until the condition holds, on real time even under fake timers; throws when that takes too long. */
export async function until(isReached: () => boolean | Promise<boolean>, withinTries = 3_000): Promise<void> {
  for (let tries = 0; tries < withinTries; tries += 1) {
    if (await isReached()) return
    await delay(5)
  }
  throw new Error(`this did not come to hold: ${isReached.toString()}`)
}
