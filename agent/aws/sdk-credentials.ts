import type { FetchedCredentials } from '../credentials/credential-source.ts'

/** Credentials as the SDK takes them. */
interface SdkCredentialIdentity {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly expiration: Date
}

/**
 * A provider that every client calls at each request. `memoized` tells the SDK to leave it alone: its own memoizing
 * refreshes, and blocks, five minutes before the end, and fails requests for which the old credentials would do.
 */
export type SdkCredentials = (() => Promise<SdkCredentialIdentity>) & { memoized: true }

/** `get` answers valid credentials and how much longer they are valid. */
export function sdkCredentials(get: () => Promise<FetchedCredentials>): SdkCredentials {
  const provider = async (): Promise<SdkCredentialIdentity> => {
    const { accessKeyId, secretAccessKey, sessionToken, lifetimeMs } = await get()
    return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(Date.now() + lifetimeMs) }
  }
  return Object.assign(provider, { memoized: true as const })
}
