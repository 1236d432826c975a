import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { CredentialSource, FetchedCredentials } from './credential-source.ts'

/** The role that credentials are of. Rejects when that cannot be known now; settles soon after the signal aborts. */
export type RoleLookup = (credentials: FetchedCredentials, signal: AbortSignal) => Promise<string>

export interface RoleGuardOptions {
  readonly lookUp: RoleLookup
  /** The appliance's own: the base role's credentials, and the chained role's. Each rejects while there are none. */
  readonly ofAppliance: readonly (() => Promise<FetchedCredentials>)[]
  readonly log: Log
}

/** The appliance's own credentials may be on their way. */
const withinMs = 20_000

/**
 * Sees to it that no application gets the role of the appliance, by whatever role alias. Where it cannot be known which
 * role a role alias leads to, such as without a way to STS, the credentials pass.
 */
export class RoleGuard {
  readonly #options: RoleGuardOptions
  /** The roles behind the appliance's credentials, as they were last. */
  readonly #known = new Map<
    () => Promise<FetchedCredentials>,
    { readonly accessKeyId: string; readonly role: string }
  >()
  #isUnknown = false

  constructor(options: RoleGuardOptions) {
    this.#options = options
  }

  /** `source`, with the role of what it fetches. Throws an AgentError in place of credentials of the appliance's role. */
  guard(source: CredentialSource, roleAlias: string): CredentialSource {
    return {
      fetch: async (signal) => {
        const fetched = await source.fetch(signal)
        const role = await this.#roleOf(fetched, signal)
        if (role === undefined) return fetched
        if (role.forbidden) throw ofTheAppliance(roleAlias, role.name)
        return { ...fetched, role: role.name }
      },
    }
  }

  async #roleOf(
    fetched: FetchedCredentials,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly forbidden: boolean } | undefined> {
    const { lookUp, ofAppliance, log } = this.#options
    try {
      const deadline = { signal, withinMs, what: "finding out the application's role" }
      const [name, ...own] = await Promise.all([
        withDeadline(deadline, async (inner) => await lookUp(fetched, inner)),
        ...ofAppliance.map(async (get) => await this.#ownRole(get, signal)),
      ])
      const forbidden = own.includes(name)
      const unknown = own.find((role) => role instanceof Error)
      if (!forbidden && unknown !== undefined) throw unknown
      this.#isUnknown = false
      return { name, forbidden }
    } catch (error) {
      signal.throwIfAborted()
      if (!this.#isUnknown) log.warn("whether an application's role is the appliance's cannot be known", { error })
      this.#isUnknown = true
      return undefined
    }
  }

  /** Asks once for each of the appliance's credentials. An error where it cannot be known: another one still may be. */
  async #ownRole(get: () => Promise<FetchedCredentials>, signal: AbortSignal): Promise<string | Error> {
    const deadline = { signal, withinMs, what: "finding out the appliance's role" }
    try {
      return await withDeadline(deadline, async (inner) => {
        const credentials = await get()
        const known = this.#known.get(get)
        if (known?.accessKeyId === credentials.accessKeyId) return known.role
        const role = await this.#options.lookUp(credentials, inner)
        this.#known.set(get, { accessKeyId: credentials.accessKeyId, role })
        return role
      })
    } catch (error) {
      return error instanceof Error ? error : new Error('the role cannot be known', { cause: error })
    }
  }
}

function ofTheAppliance(roleAlias: string, role: string): AgentError {
  return new AgentError(`the role alias ${roleAlias} leads to the role of the appliance itself, ${role}`, {
    hint: `give the application a role of its own: aws iot update-role-alias --role-alias ${roleAlias} --role-arn ROLE_ARN`,
  })
}
