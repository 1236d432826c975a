import { randomUUID } from 'node:crypto'

import type { SecretReader, SecretVersion } from '../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** Secrets in memory. What is not there fails as AWS would; calls are remembered in order. */
export class FakeSecretReader implements SecretReader {
  /** The ids of the secrets asked for. */
  readonly calls: string[] = []
  /** Runs before each answer; may throw or wait. */
  beforeAnswer: (secretId: string, signal: AbortSignal) => Promise<void> | void = () => undefined
  readonly #answers = new Map<string, SecretVersion | Error>()
  readonly #held = new Set<string>()

  /** Makes a secret hold this version, or every reading of it fail. */
  set(secretId: string, answer: SecretVersion | Error): void {
    this.#answers.set(secretId, answer)
  }

  /** Makes a secret hold a new version of this value and answers its id. */
  store(secretId: string, value: string | Uint8Array): string {
    const versionId = randomUUID()
    this.set(secretId, { versionId, text: typeof value === 'string' ? value : undefined })
    return versionId
  }

  /** Makes every reading of a secret wait until it is aborted. */
  hold(secretId: string): void {
    this.#held.add(secretId)
  }

  readonly current = async (secretId: string, signal: AbortSignal): Promise<SecretVersion> => {
    signal.throwIfAborted()
    this.calls.push(secretId)
    await this.beforeAnswer(secretId, signal)
    if (this.#held.has(secretId)) return await untilAborted(signal)
    const answer = this.#answers.get(secretId)
    if (answer === undefined) throw new AgentError(`the secret ${secretId} is missing`)
    if (answer instanceof Error) throw answer
    return answer
  }
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener(
    'abort',
    () => {
      reject(signal.reason)
    },
    { once: true },
  )
  return await promise
}
