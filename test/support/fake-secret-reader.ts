import { randomUUID } from 'node:crypto'

import {
  maxBatch,
  type BatchOutcome,
  type SecretOutcome,
  type SecretReader,
  type SecretVersion,
} from '../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** Secrets in memory. What is not there fails as AWS would; calls are remembered in order. */
export class FakeSecretReader implements SecretReader {
  /** The ids of the secrets asked for, one by one or in batches. */
  readonly calls: string[] = []
  /** What each batch asked for. */
  readonly batches: (readonly string[])[] = []
  /** The ids of the secrets asked for one by one. */
  readonly singles: string[] = []
  /** The ids of the secrets whose AWSPREVIOUS was asked for. */
  readonly previousCalls: string[] = []
  /** Runs before each answer for a secret; may throw or wait. */
  beforeAnswer: (secretId: string, signal: AbortSignal) => Promise<void> | void = () => undefined
  /** Whether a batch of these is denied as such. */
  isBatchDenied: (secretIds: readonly string[]) => boolean = () => false
  /** Makes batches fail as a whole. */
  batchFault: AgentError | undefined = undefined
  readonly #answers = new Map<string, SecretVersion | AgentError>()
  readonly #previous = new Map<string, SecretVersion | AgentError>()
  readonly #held = new Set<string>()
  readonly #leftOut = new Set<string>()

  /** Makes a secret hold this version, or every reading of it fail; a version that it held becomes AWSPREVIOUS. */
  set(secretId: string, answer: SecretVersion | AgentError): void {
    const before = this.#answers.get(secretId)
    if (before !== undefined && !(before instanceof AgentError)) this.setPrevious(secretId, before)
    this.#answers.set(secretId, answer)
  }

  /** Makes this version AWSPREVIOUS, or every reading of that fail; undefined: there is none. */
  setPrevious(secretId: string, answer: SecretVersion | AgentError | undefined): void {
    if (answer === undefined) this.#previous.delete(secretId)
    else this.#previous.set(secretId, answer)
  }

  /** Makes a secret hold a new version of this value and answers its id. */
  store(secretId: string, value: string | Uint8Array): string {
    const versionId = randomUUID()
    this.set(secretId, { versionId, text: typeof value === 'string' ? value : undefined })
    return versionId
  }

  /** Makes every reading of a secret by itself wait until it is aborted; batches leave it out. */
  hold(secretId: string): void {
    this.#held.add(secretId)
    this.leaveOut(secretId)
  }

  /** Makes batches answer nothing for a secret, as when they name it in another way than they were asked. */
  leaveOut(secretId: string): void {
    this.#leftOut.add(secretId)
  }

  readonly batch = async (secretIds: readonly string[], signal: AbortSignal): Promise<BatchOutcome> => {
    signal.throwIfAborted()
    if (secretIds.length > maxBatch || new Set(secretIds).size < secretIds.length) throw new Error('no proper batch')
    this.batches.push(secretIds)
    this.calls.push(...secretIds)
    if (this.isBatchDenied(secretIds)) return { kind: 'denied', error: new AgentError('the batch is denied') }
    if (this.batchFault !== undefined) throw this.batchFault
    const outcomes = new Map<string, SecretOutcome>()
    for (const secretId of secretIds.filter((each) => !this.#leftOut.has(each))) {
      await this.beforeAnswer(secretId, signal)
      outcomes.set(secretId, this.#outcome(secretId))
    }
    return { kind: 'answered', outcomes }
  }

  readonly current = async (secretId: string, signal: AbortSignal): Promise<SecretVersion> => {
    signal.throwIfAborted()
    this.calls.push(secretId)
    this.singles.push(secretId)
    await this.beforeAnswer(secretId, signal)
    if (this.#held.has(secretId)) return await untilAborted(signal)
    const outcome = this.#outcome(secretId)
    if (outcome.kind === 'failed') throw outcome.error
    return outcome.version
  }

  readonly previous = async (secretId: string, signal: AbortSignal): Promise<SecretVersion | undefined> => {
    signal.throwIfAborted()
    this.previousCalls.push(secretId)
    await this.beforeAnswer(secretId, signal)
    const answer = this.#previous.get(secretId)
    if (answer instanceof AgentError) throw answer
    return answer
  }

  #outcome(secretId: string): SecretOutcome {
    const answer = this.#answers.get(secretId) ?? new AgentError(`the secret ${secretId} is missing`)
    return answer instanceof AgentError ? { kind: 'failed', error: answer } : { kind: 'read', version: answer }
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
