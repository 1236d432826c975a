import { EventualMap } from './eventually.ts'
import type { Change } from './roles.ts'

export interface RoleAlias {
  readonly name: string
  readonly roleArn: string
  readonly credentialDurationSeconds: number
}

export interface RoleAliasOptions {
  readonly name: string
  readonly roleArn: string
  /** 900 to 43200, as AWS has it. Default 3600. */
  readonly credentialDurationSeconds?: number
  /** Allows durations that AWS refuses, so that a test need not wait for 15 minutes. */
  readonly unsafe?: boolean
}

/** The role aliases of AWS IoT. */
export class RoleAliases {
  readonly #arnPrefix: string
  readonly #aliases: EventualMap<RoleAlias>

  constructor({
    account,
    region,
    now,
  }: {
    readonly account: string
    readonly region: string
    readonly now: () => number
  }) {
    this.#arnPrefix = `arn:aws:iot:${region}:${account}:rolealias/`
    this.#aliases = new EventualMap(now)
  }

  arnOf(name: string): string {
    return `${this.#arnPrefix}${name}`
  }

  /** Creates the alias or replaces it. Throws a RangeError for a name or duration that AWS refuses. */
  put(
    { name, roleArn, credentialDurationSeconds = 3600, unsafe }: RoleAliasOptions,
    { visibleAfterMs = 0 }: Change = {},
  ): void {
    if (!/^[\w=,@-]{1,128}$/.test(name)) throw new RangeError(`"${name}" is no name for a role alias`)
    if (unsafe !== true && (credentialDurationSeconds < 900 || credentialDurationSeconds > 43_200)) {
      throw new RangeError('credentialDurationSeconds must be 900 to 43200')
    }
    this.#aliases.set(name, { name, roleArn, credentialDurationSeconds }, visibleAfterMs)
  }

  delete(name: string, { visibleAfterMs = 0 }: Change = {}): void {
    this.#aliases.set(name, undefined, visibleAfterMs)
  }

  get(name: string): RoleAlias | undefined {
    return this.#aliases.get(name)
  }
}
