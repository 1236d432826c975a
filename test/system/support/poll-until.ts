import { setTimeout as delay } from 'node:timers/promises'

const pollMs = 100

/** Polls until `isReached` answers true; throws what was waited for when that takes too long. */
export async function pollUntil(
  what: string,
  isReached: () => boolean | Promise<boolean>,
  withinMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + withinMs
  while (performance.now() < endMs) {
    if (await isReached()) return
    await delay(pollMs)
  }
  throw new Error(`it did not come to this: ${what}`)
}
