import { withDeadline } from '../lib/abort.ts'
import type { Config } from '../config/config-schema.ts'
import type { FetchedCredentials } from '../credentials/credential-source.ts'
import type { RoleLookup } from '../credentials/role-guard.ts'
import { translateAwsError } from './aws-errors.ts'
import type { ObservingRequestHandler } from './request-handler.ts'

export interface CallerRoleOptions {
  readonly region: string
  readonly endpoints: Config['endpoints']
  readonly requestHandler: ObservingRequestHandler
  readonly clockOffsetMs: () => number
}

/** A request for credentials waits for it, so it is short. */
const withinMs = 5_000

/**
 * Asks STS whose credentials are, which needs no permission ("GetCallerIdentity", AWS STS API Reference). Throws an
 * AwsError, a DeadlineError, or the signal's reason.
 */
export function createCallerRole(options: CallerRoleOptions): RoleLookup {
  return async (credentials, signal) => {
    const request = { service: 'sts', operation: 'GetCallerIdentity', resource: 'an application role' } as const
    try {
      const deadline = { signal, withinMs, what: 'sts:GetCallerIdentity' }
      return withoutSession(await withDeadline(deadline, async (inner) => await askFor(credentials, options, inner)))
    } catch (error) {
      signal.throwIfAborted()
      throw translateAwsError(error, request)
    }
  }
}

/** The module is loaded only here, because few appliances have applications; the client is of no use a second time. */
async function askFor(
  { accessKeyId, secretAccessKey, sessionToken }: FetchedCredentials,
  { region, endpoints, requestHandler, clockOffsetMs }: CallerRoleOptions,
  signal: AbortSignal,
): Promise<string> {
  const { GetCallerIdentityCommand, STSClient } = await import('@aws-sdk/client-sts')
  const client = new STSClient({
    region,
    credentials: { accessKeyId, secretAccessKey, sessionToken },
    requestHandler,
    systemClockOffset: clockOffsetMs(),
    maxAttempts: 1,
    useDualstackEndpoint: endpoints.dualStack,
    useFipsEndpoint: endpoints.fips,
    ...(endpoints.sts === undefined ? {} : { endpoint: endpoints.sts }),
  })
  const { Arn = '' } = await client.send(new GetCallerIdentityCommand({}), { abortSignal: signal })
  return Arn
}

/** `arn:aws:sts::123456789012:assumed-role/NAME/SESSION` without its session. */
function withoutSession(arn: string): string {
  return arn.split('/').slice(0, 2).join('/')
}
