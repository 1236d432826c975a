import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { IdentityError, loadIdentity, type Identity, type IdentityLocation } from './identity.ts'

export interface IdentityKeeperOptions extends IdentityLocation {
  readonly log: Log
  readonly cloudNow: () => number
}

/** `sinceMs` is on the monotonic clock. */
export type IdentityStatus = IdentityState & { readonly sinceMs: number }

type IdentityState =
  | { readonly state: 'waiting' }
  | { readonly state: IdentityError['fault']; readonly lastError: ErrorReport }
  | { readonly state: 'ok'; readonly origin: Identity['origin']; readonly certificateExpiresAt: string }

const warnBeforeMs = 30 * 86_400_000
const warnEveryMs = 86_400_000

/** Loads the identity anew at each use, remembers how that went, and warns 30 days before the certificate ends. */
export class IdentityKeeper {
  readonly #options: IdentityKeeperOptions
  #status: IdentityStatus = { state: 'waiting', sinceMs: monotonicMs() }
  #warnedMs = -Infinity

  constructor(options: IdentityKeeperOptions) {
    this.#options = options
  }

  /** Throws an IdentityError when there is no usable identity. */
  async load(): Promise<Identity> {
    try {
      const identity = await loadIdentity(this.#options)
      const { origin, notAfterMs } = identity
      this.#enter({ state: 'ok', origin, certificateExpiresAt: new Date(notAfterMs).toISOString() })
      this.#warnOfExpiry(notAfterMs)
      return identity
    } catch (error) {
      const state = error instanceof IdentityError ? error.fault : 'unusable'
      this.#enter({ state, lastError: reportError(error) })
      throw error
    }
  }

  status(): IdentityStatus {
    return this.#status
  }

  #enter(state: IdentityState): void {
    const isSame = state.state === this.#status.state
    this.#status = { ...state, sinceMs: isSame ? this.#status.sinceMs : monotonicMs() }
  }

  #warnOfExpiry(notAfterMs: number): void {
    const leftMs = notAfterMs - this.#options.cloudNow()
    if (leftMs > warnBeforeMs || monotonicMs() - this.#warnedMs < warnEveryMs) return
    this.#warnedMs = monotonicMs()
    const expiresAt = new Date(notAfterMs).toISOString()
    const text = leftMs > 0 ? 'device certificate expires soon' : 'device certificate has expired'
    const error = new AgentError(`it is valid until ${expiresAt}`, {
      hint: 'rotate the certificate: after that date AWS IoT refuses this appliance',
    })
    this.#options.log.warn(text, { error, daysLeft: Math.floor(leftMs / 86_400_000) })
  }
}
