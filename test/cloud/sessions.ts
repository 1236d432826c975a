import { randomBytes } from 'node:crypto'

import type { Caller } from './contract.ts'
import type { Roles } from './roles.ts'

/** Temporary credentials as they are handed out. */
export interface IssuedCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly expirationMs: number
}

export interface SessionOptions {
  readonly roleName: string
  readonly sessionName: string
  readonly durationSeconds: number
  /** Policy variables of the session. */
  readonly context: Readonly<Record<string, string>>
}

interface Session extends IssuedCredentials, SessionOptions {}

const maxSessions = 100_000
const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** The temporary credentials that this cloud has given out. */
export class Sessions {
  readonly #account: string
  readonly #now: () => number
  readonly #roles: Roles
  readonly #sessions = new Map<string, Session>()

  constructor({
    account,
    now,
    roles,
  }: {
    readonly account: string
    readonly now: () => number
    readonly roles: Roles
  }) {
    this.#account = account
    this.#now = now
    this.#roles = roles
  }

  issue(options: SessionOptions): IssuedCredentials {
    this.#makeRoom()
    const session = {
      ...options,
      accessKeyId: `ASIA${Array.from(randomBytes(16), (byte) => base32.charAt(byte % 32)).join('')}`,
      secretAccessKey: randomBytes(30).toString('base64'),
      sessionToken: randomBytes(540).toString('base64'),
      // AWS gives expirations in whole seconds.
      expirationMs: Math.floor(this.#now() / 1000 + options.durationSeconds) * 1000,
    }
    this.#sessions.set(session.accessKeyId, session)
    return session
  }

  find(accessKeyId: string): IssuedCredentials | undefined {
    return this.#sessions.get(accessKeyId)
  }

  /** Who is behind an access key, with the policies that its role has now. */
  callerOf(accessKeyId: string): Caller {
    const session = this.#sessions.get(accessKeyId)
    if (session === undefined) throw new Error(`there is no session ${accessKeyId}`)
    const { roleName, sessionName, context } = session
    return {
      arn: this.arnOf(roleName, sessionName),
      roleArn: this.#roles.arnOf(roleName),
      account: this.#account,
      policies: this.#roles.get(roleName)?.policies ?? [],
      context,
    }
  }

  arnOf(roleName: string, sessionName: string): string {
    return `arn:aws:sts::${this.#account}:assumed-role/${roleName}/${sessionName}`
  }

  /** Lets every session expire at this moment; services say so by their ExpiredToken. */
  expireAll(): void {
    const nowMs = this.#now()
    for (const [key, session] of this.#sessions) this.#sessions.set(key, { ...session, expirationMs: nowMs })
  }

  /** Forgets every session; services no longer know the access keys. */
  invalidateAll(): void {
    this.#sessions.clear()
  }

  #makeRoom(): void {
    const [oldest] = this.#sessions.keys()
    if (this.#sessions.size >= maxSessions && oldest !== undefined) this.#sessions.delete(oldest)
  }
}
