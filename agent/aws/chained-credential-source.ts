import type { Config } from '../config/config-schema.ts'
import type { CredentialSource } from '../credentials/credential-source.ts'
import type { AwsCall } from './aws-call.ts'
import type { ObservingRequestHandler } from './request-handler.ts'
import type { SdkCredentials } from './sdk-credentials.ts'

export interface ChainedCredentialSourceOptions {
  /** The base role's credentials, and a call that renews them when STS finds them expired. */
  readonly master: SdkCredentials
  readonly call: AwsCall
  readonly roleArn: string
  readonly thingName: string
  readonly region: string
  readonly endpoints: Pick<Config['endpoints'], 'sts' | 'dualStack' | 'fips'>
  readonly requestHandler: ObservingRequestHandler
  readonly clock: { readonly now: () => number; readonly offsetMs: () => number }
}

/** Role chaining is capped at one hour (IAM User Guide, "Roles terms and concepts"). */
const chainedSeconds = 3_600
const withinMs = 30_000

/**
 * Assumes a role with the credentials of the base role, in a session named after the thing. Throws an AwsError, a
 * DeadlineError, or what the base credentials threw.
 */
export function createChainedCredentialSource(options: ChainedCredentialSourceOptions): CredentialSource {
  const { call, roleArn, clock } = options
  return {
    fetch: async (signal) => {
      const request = { service: 'sts', operation: 'AssumeRole', resource: roleArn, signal, withinMs } as const
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = await call(
        request,
        async () => await assumeRole(options),
      )
      const lifetimeMs = expiration === undefined ? chainedSeconds * 1000 : expiration.getTime() - clock.now()
      return { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? '', lifetimeMs }
    },
  }
}

/** A thing name made to fit STS's RoleSessionName pattern, `[\w+=,.@-]{2,64}`. */
export function sessionNameFor(thingName: string): string {
  return thingName
    .replace(/[^\w+=,.@-]/g, '-')
    .slice(0, 64)
    .padEnd(2, '-')
}

/**
 * A new provider each time: it is needed once an hour, and its client signs with the clock offset of its making. The
 * module is loaded only here, because few appliances chain roles and it brings every provider there is.
 */
async function assumeRole({
  master,
  roleArn,
  thingName,
  region,
  endpoints,
  requestHandler,
  clock,
}: ChainedCredentialSourceOptions) {
  const { fromTemporaryCredentials } = await import('@aws-sdk/credential-providers')
  await master() // first, because on a wrong system clock it is this answer that tells the offset
  const assume = fromTemporaryCredentials({
    masterCredentials: master,
    params: { RoleArn: roleArn, RoleSessionName: sessionNameFor(thingName), DurationSeconds: chainedSeconds },
    clientConfig: {
      region,
      requestHandler,
      systemClockOffset: clock.offsetMs(),
      useDualstackEndpoint: endpoints.dualStack,
      useFipsEndpoint: endpoints.fips,
      ...(endpoints.sts === undefined ? {} : { endpoint: endpoints.sts }),
    },
  })
  return await assume()
}
