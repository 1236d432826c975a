import type { SecretReader, SecretVersion } from '../../agent/cameras/secret-reader.ts'

/** Secrets in memory. What is not there fails as AWS would; calls are remembered in order. */
export class FakeSecretReader implements SecretReader {
  readonly calls: string[] = []
  readonly #answers = new Map<string, SecretVersion | Error>()
  readonly #held = new Set<string>()

  /** Makes a secret hold this version, or every reading of it fail. */
  set(secretId: string, answer: SecretVersion | Error): void {
    this.#answers.set(secretId, answer)
  }

  /** Makes every reading of a secret wait until it is aborted. */
  hold(secretId: string): void {
    this.#held.add(secretId)
  }

  readonly current = async (secretId: string, signal: AbortSignal): Promise<SecretVersion> => {
    signal.throwIfAborted()
    this.calls.push(secretId)
    if (this.#held.has(secretId)) return await untilAborted(signal)
    const answer = await Promise.resolve(this.#answers.get(secretId))
    if (answer === undefined) throw new Error(`${secretId} is not there`)
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
