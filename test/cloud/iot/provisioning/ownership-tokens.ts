import { randomBytes } from 'node:crypto'

import type { DirectCaller } from '../direct-service.ts'
import { invalidToken } from './provisioning-rejection.ts'

interface Entry {
  readonly certificateId: string
  readonly caller: DirectCaller
  readonly expiresAtMs: number
}

const lifetimeMs = 3_600_000
const tokenBytes = 330 // AWS documents no length: long enough to be no id

/** Who may have which certificate registered, for an hour ("Device provisioning MQTT API"). */
export class OwnershipTokens {
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()

  constructor(now: () => number) {
    this.#now = now
  }

  issue(certificateId: string, caller: DirectCaller): string {
    const token = randomBytes(tokenBytes).toString('base64')
    this.#entries.set(token, { certificateId, caller, expiresAtMs: this.#now() + lifetimeMs })
    return token
  }

  /**
   * The certificate of a token. Throws a ProvisioningRejection for one that is empty, unknown, used up or expired, and
   * (AWS does not say; the stricter reading) for another client's or one got by another certificate.
   */
  certificateOf(token: string, caller: DirectCaller): string {
    if (token === '') throw invalidToken('Certificate ownership token cannot be empty.')
    const entry = this.#entries.get(token)
    const own = entry?.caller.clientId === caller.clientId && entry.caller.certificateId === caller.certificateId
    if (entry === undefined || !own || entry.expiresAtMs <= this.#now()) {
      throw invalidToken('Certificate ownership token is not valid.')
    }
    return entry.certificateId
  }

  /** A token that took effect is good for nothing more (AWS does not say; the stricter reading). */
  useUp(token: string): void {
    this.#entries.delete(token)
  }

  /** Forgets what has expired, and answers whose certificates those were. */
  expire(): readonly string[] {
    const expired = [...this.#entries].filter(([, { expiresAtMs }]) => expiresAtMs <= this.#now())
    for (const [token] of expired) this.#entries.delete(token)
    return expired.map(([, { certificateId }]) => certificateId)
  }
}
