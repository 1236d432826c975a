import type { Random } from '../lib/backoff.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type PassOutcome } from '../lib/worker.ts'
import type { CredentialSource, FetchedCredentials } from './credential-source.ts'

export interface RoleCredentialsOptions {
  /** The worker's name in status and logs. */
  readonly name: string
  readonly source: CredentialSource
  readonly log: Log
  readonly random?: Random
  /** Two fetches that succeeded are never closer than this. Default 30 s. */
  readonly minIntervalMs?: number
}

/** Valid credentials and the moment, on the monotonic clock, at which they end. */
export interface HeldCredentials extends FetchedCredentials {
  readonly fetchedMs: number
  readonly expiresMs: number
}

export interface CredentialsStatus {
  readonly fetches: number
  readonly held: HeldCredentials | undefined
}

const defaultMinIntervalMs = 30_000
const fetchStepMs = 60_000

/**
 * Keeps the credentials of one role fresh: fetched in the background at a random point between 50 % and 80 % of their
 * lifetime (so that a fleet does not refresh in step), by one request at a time, and served up to their true end
 * whatever a refresh does.
 */
export class RoleCredentials {
  readonly worker: Worker
  readonly #source: CredentialSource
  readonly #random: Random
  readonly #minIntervalMs: number
  #held: HeldCredentials | undefined
  #fetchedMs = -Infinity
  #refreshDueMs = 0
  #fetches = 0
  #isAsked = false
  readonly #renewedListeners = new Set<() => void>()

  constructor({
    name,
    source,
    log,
    random = Math.random,
    minIntervalMs = defaultMinIntervalMs,
  }: RoleCredentialsOptions) {
    this.#source = source
    this.#random = random
    this.#minIntervalMs = minIntervalMs
    this.worker = new Worker({
      name,
      log,
      stepMs: fetchStepMs,
      runPass: async ({ signal }) => await this.#pass(signal),
    })
  }

  /**
   * Valid credentials: the held ones, or else those of a fetch that is started or joined. Throws what that fetch
   * threw; while the endpoint is in back-off, throws at once what the last try threw.
   */
  async get(): Promise<HeldCredentials> {
    const held = this.#valid()
    if (held !== undefined) return held
    const { lastError, state } = this.worker.health()
    if (state === 'failing' && lastError !== undefined && !this.#isAsked) {
      const { message, hint } = lastError
      throw new AgentError(`no credentials: ${message}`, { retryable: true, ...(hint === undefined ? {} : { hint }) })
    }
    await this.worker.requestPass()
    const fetched = this.#valid()
    if (fetched === undefined) throw new AgentError('the credentials expired on arrival', { retryable: true })
    return fetched
  }

  currentKeyId(): string | undefined {
    return this.#held?.accessKeyId
  }

  /**
   * Drops the credentials with that access key id and fetches new ones at once. Nothing happens when newer ones have
   * taken their place, or when they are younger than the least interval: a service that refuses fresh credentials
   * must not make the agent hammer the endpoint.
   */
  invalidate(accessKeyId: string | undefined): void {
    const held = this.#held
    if (held === undefined || held.accessKeyId !== accessKeyId) return
    if (monotonicMs() - held.fetchedMs < this.#minIntervalMs) return
    this.#held = undefined
    void this.renewNow()
  }

  /** Tries at once, whatever the back-off, unless valid credentials are held. Never rejects: the worker reports it. */
  async renewNow(): Promise<void> {
    if (this.#valid() !== undefined) return
    this.#isAsked = true
    await this.worker.requestPass().catch(() => undefined)
  }

  /** Calls `listener` whenever credentials come after a time without any, until disposed. */
  onRenewed(listener: () => void): Disposable {
    this.#renewedListeners.add(listener)
    return {
      [Symbol.dispose]: () => {
        this.#renewedListeners.delete(listener)
      },
    }
  }

  status(): CredentialsStatus {
    return { fetches: this.#fetches, held: this.#valid() }
  }

  async #pass(signal: AbortSignal): Promise<PassOutcome> {
    const hadNone = this.#valid() === undefined
    try {
      const outcome = await this.#fetch(signal)
      if (hadNone) for (const listener of this.#renewedListeners) listener()
      return outcome
    } finally {
      this.#isAsked = false
    }
  }

  async #fetch(signal: AbortSignal): Promise<PassOutcome> {
    const restMs = this.#restMs()
    if (restMs > 0) return { nextInMs: restMs }
    if (monotonicMs() - this.#fetchedMs < this.#minIntervalMs) throw tooShortLived()
    const sentMs = monotonicMs()
    const fetched = await this.#source.fetch(signal)
    this.#fetches += 1
    this.#fetchedMs = monotonicMs()
    this.#held = { ...fetched, fetchedMs: this.#fetchedMs, expiresMs: sentMs + fetched.lifetimeMs }
    const lifeMs = fetched.lifetimeMs * (0.5 + 0.3 * this.#random())
    const restAfterMs = Math.max(lifeMs, this.#minIntervalMs)
    this.#refreshDueMs = this.#fetchedMs + restAfterMs
    return { nextInMs: restAfterMs }
  }

  /** More than 0 while valid credentials are not due for renewal: callers who joined late get what the first brought. */
  #restMs(): number {
    return this.#valid() === undefined ? 0 : this.#refreshDueMs - monotonicMs()
  }

  #valid(): HeldCredentials | undefined {
    return this.#held !== undefined && monotonicMs() < this.#held.expiresMs ? this.#held : undefined
  }
}

function tooShortLived(): AgentError {
  return new AgentError('the last credentials ended before new ones may be fetched', {
    retryable: true,
    hint: 'check the lifetime that the role alias gives, and the clock of the appliance',
  })
}
