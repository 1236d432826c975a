import { DeadlineError } from '../../lib/errors.ts'
import type { ObjectBody } from '../artifact-source.ts'

export interface BodyLimits {
  /** How long the body may go without a byte. What the reader does with a chunk takes what it takes. */
  readonly idleTimeoutMs: number
  /** Of the object, for the error. */
  readonly key: string
}

/** Hands each chunk of a body to `onChunk`, and waits for it. Throws a DeadlineError when no chunk comes for too long. */
export async function readBody(
  body: ObjectBody,
  { idleTimeoutMs, key }: BodyLimits,
  onChunk: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  let isReading = true
  let silent: DeadlineError | undefined
  const timer = setTimeout(() => {
    if (!isReading) return
    silent = new DeadlineError(`the next byte of ${JSON.stringify(key)}`, idleTimeoutMs)
    // closing the body makes the pending read fail; how it fails does not matter then
    body[Symbol.asyncDispose]().then(undefined, () => undefined)
  }, idleTimeoutMs)
  try {
    for await (const chunk of body) {
      isReading = false
      await onChunk(chunk)
      isReading = true
      timer.refresh()
    }
  } catch (error) {
    throw silent ?? error
  } finally {
    clearTimeout(timer)
  }
}
