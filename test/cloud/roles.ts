import { EventualMap } from './eventually.ts'
import type { PolicyDocument } from './iam/policy-document.ts'

export interface Role {
  readonly name: string
  readonly trustPolicy: PolicyDocument
  readonly policies: readonly PolicyDocument[]
  /** 3600 to 43200. */
  readonly maxSessionDurationSeconds: number
}

export interface Change {
  /** The change is seen only after so much of the cloud's time. Default 0. */
  readonly visibleAfterMs?: number
}

/** The IAM roles of the account. */
export class Roles {
  readonly #account: string
  readonly #roles: EventualMap<Role>

  constructor(account: string, now: () => number) {
    this.#account = account
    this.#roles = new EventualMap(now)
  }

  arnOf(name: string): string {
    return `arn:aws:iam::${this.#account}:role/${name}`
  }

  /** Creates the role or replaces it; sessions of a replaced role have the new policies from then on. */
  put(role: Omit<Role, 'maxSessionDurationSeconds'> & Partial<Role>, { visibleAfterMs = 0 }: Change = {}): void {
    const { maxSessionDurationSeconds = 3600 } = role
    if (maxSessionDurationSeconds < 3600 || maxSessionDurationSeconds > 43_200) {
      throw new RangeError('MaxSessionDuration must be 3600 to 43200 seconds')
    }
    this.#roles.set(role.name, { ...role, maxSessionDurationSeconds }, visibleAfterMs)
  }

  delete(name: string, { visibleAfterMs = 0 }: Change = {}): void {
    this.#roles.set(name, undefined, visibleAfterMs)
  }

  get(name: string): Role | undefined {
    return this.#roles.get(name)
  }

  /** The role of an ARN; undefined when the ARN is of another account or names none. */
  byArn(arn: string): Role | undefined {
    const prefix = this.arnOf('')
    return arn.startsWith(prefix) ? this.get(arn.slice(prefix.length)) : undefined
  }
}
