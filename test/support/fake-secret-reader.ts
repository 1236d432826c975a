import { randomUUID } from 'node:crypto'

import type { SecretReader, SecretVersion } from '../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** A secret reader in memory that counts what it is asked for and fails on request. */
export class FakeSecretReader implements SecretReader {
  /** The ids of the secrets asked for, in order. */
  readonly calls: string[] = []
  /** What reading a secret throws, as long as it is there. */
  readonly failures = new Map<string, Error>()
  /** Runs before each answer; may throw or wait. */
  beforeAnswer: (secretId: string, signal: AbortSignal) => Promise<void> | void = () => undefined
  readonly #versions = new Map<string, SecretVersion>()

  /** Stores a version and answers its id. */
  store(secretId: string, value: string | Uint8Array): string {
    const versionId = randomUUID()
    this.#versions.set(secretId, { versionId, text: typeof value === 'string' ? value : undefined })
    return versionId
  }

  readonly current = async (secretId: string, signal: AbortSignal): Promise<SecretVersion> => {
    this.calls.push(secretId)
    signal.throwIfAborted()
    await this.beforeAnswer(secretId, signal)
    const failure = this.failures.get(secretId)
    if (failure !== undefined) throw failure
    const version = this.#versions.get(secretId)
    if (version === undefined) throw new AgentError(`the secret ${secretId} is missing`)
    return version
  }
}
