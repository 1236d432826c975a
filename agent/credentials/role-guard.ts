import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { CredentialSource, FetchedCredentials } from './credential-source.ts'

/** The role that credentials are of. Rejects when that cannot be known now; settles soon after the signal aborts. */
export type RoleLookup = (credentials: FetchedCredentials, signal: AbortSignal) => Promise<string>

export interface RoleGuardOptions {
  readonly lookUp: RoleLookup
  /** The appliance's own: the base role's credentials, and the chained role's. Each rejects while there are none. */
  readonly ofAppliance: readonly (() => Promise<FetchedCredentials>)[]
}

/** The appliance's own credentials may be on their way. */
const withinMs = 20_000

/**
 * Sees to it that no application gets the role of the appliance, by whatever role alias. What cannot be known to be
 * another role, such as without a way to STS, is not handed out: what an application holds by then serves to its end.
 */
export class RoleGuard {
  readonly #options: RoleGuardOptions
  /** The roles behind the appliance's credentials, as they were last. */
  readonly #known = new Map<
    () => Promise<FetchedCredentials>,
    { readonly accessKeyId: string; readonly role: string }
  >()

  constructor(options: RoleGuardOptions) {
    this.#options = options
  }

  /** `source`, with the role of what it fetches. Throws an AgentError in place of credentials of the appliance's role. */
  guard(source: CredentialSource, roleAlias: string): CredentialSource {
    return {
      fetch: async (signal) => {
        const fetched = await source.fetch(signal)
        const { name, own } = await this.#rolesOf(fetched, signal)
        if (name instanceof Error) throw unknownRole(roleAlias, name)
        if (own.includes(name)) throw ofTheAppliance(roleAlias, name)
        const unknown = own.find((role) => role instanceof Error)
        if (unknown !== undefined) throw unknownRole(roleAlias, unknown)
        return { ...fetched, role: name }
      },
    }
  }

  async #rolesOf(
    fetched: FetchedCredentials,
    signal: AbortSignal,
  ): Promise<{ readonly name: string | Error; readonly own: readonly (string | Error)[] }> {
    const { lookUp, ofAppliance } = this.#options
    const deadline = { signal, withinMs, what: "finding out the application's role" }
    const [name, own] = await Promise.all([
      withDeadline(deadline, async (inner) => await lookUp(fetched, inner)).catch(asError),
      Promise.all(ofAppliance.map(async (get) => await this.#ownRole(get, signal))),
    ])
    signal.throwIfAborted()
    return { name, own }
  }

  /**
   * Asks once for each of the appliance's credentials; while it holds none, those before tell. An error where it cannot be
   * known: another one still may be.
   */
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
      return this.#known.get(get)?.role ?? asError(error)
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the role cannot be known', { cause: error })
}

function unknownRole(roleAlias: string, cause: Error): AgentError {
  return new AgentError(
    `whether the role alias ${roleAlias} leads to the role of the appliance itself cannot be known`,
    {
      retryable: true,
      hint: 'let the appliance reach STS: GetCallerIdentity needs no permission, and endpoints.sts may name a VPC endpoint',
      cause,
    },
  )
}

function ofTheAppliance(roleAlias: string, role: string): AgentError {
  return new AgentError(`the role alias ${roleAlias} leads to the role of the appliance itself, ${role}`, {
    hint: `give the application a role of its own: aws iot update-role-alias --role-alias ${roleAlias} --role-arn ROLE_ARN`,
  })
}
