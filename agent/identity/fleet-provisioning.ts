import { AgentError } from '../lib/errors.ts'

/** A certificate that AWS IoT made and that is not active yet. */
export interface IssuedCertificate {
  readonly certificateId: string
  /** In PEM. */
  readonly certificate: string
  /** Proves to RegisterThing that the certificate is ours; good for an hour, for this client id and claim only. */
  readonly token: string
}

export interface Registration {
  readonly template: string
  readonly token: string
  readonly parameters: Readonly<Record<string, string>>
}

export interface RegisteredThing {
  readonly thingName: string
  readonly deviceConfiguration: Readonly<Record<string, string>>
}

/**
 * One MQTT connection for AWS IoT fleet provisioning ("Device provisioning MQTT API"). One call at a time: its answers
 * name no request. Every call has a deadline of its own. What AWS IoT refuses is thrown as an AgentError with
 * `statusCode` and `errorCode`, and has had no effect where `hadNoEffect` says so; of any other failure that is not known. On abort
 * a call rejects with the signal's reason. Disposing ends the connection.
 */
export interface FleetProvisioning extends AsyncDisposable {
  /** Not idempotent: every call makes a certificate, which is gone in an hour if it is not registered. */
  readonly createCertificateFromCsr: (csr: string, signal: AbortSignal) => Promise<IssuedCertificate>
  /** Uses the token up when it takes effect. */
  readonly registerThing: (registration: Registration, signal: AbortSignal) => Promise<RegisteredThing>
}

export interface Rejection {
  readonly statusCode: number
  readonly errorCode: string
}

/** What AWS IoT refused with; undefined for every other failure. */
function rejectionOf(error: unknown): Rejection | undefined {
  if (!(error instanceof AgentError) || !('statusCode' in error) || !('errorCode' in error)) return undefined
  const { statusCode, errorCode } = error
  return typeof statusCode === 'number' && typeof errorCode === 'string' ? { statusCode, errorCode } : undefined
}

/** Of a request that AWS IoT turned away. Where something failed there (5xx), it may have come any way. */
export function hadNoEffect(error: unknown): boolean {
  const { statusCode = 500 } = rejectionOf(error) ?? {}
  return statusCode < 500
}

/** Of a token that is expired, used up, or another's: only a new certificate helps. */
export function isTokenRefused(error: unknown): boolean {
  return rejectionOf(error)?.errorCode === 'InvalidCertificateOwnershipToken'
}

export interface KeyPair {
  readonly certificate: string
  readonly privateKey: string
}

export type ConnectAttempt =
  | { readonly kind: 'connected' }
  /** AWS IoT is there and does not take this certificate for this thing, or not yet. */
  | { readonly kind: 'refused'; readonly error: AgentError }

/** How an identity is put to use. Both throw an AgentError when the network, or the service, is at fault. */
export interface IdentityProof {
  /** Connects once to AWS IoT Core, as the thing, and lets go again. */
  readonly connect: (pair: KeyPair, thingName: string, signal: AbortSignal) => Promise<ConnectAttempt>
  /** Gets credentials of the role once; throws also when they are refused. */
  readonly getCredentials: (pair: KeyPair, thingName: string, signal: AbortSignal) => Promise<void>
}
