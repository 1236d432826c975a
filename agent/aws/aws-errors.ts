import { AgentError, errorCode } from '../lib/errors.ts'
import { isCertificateCode, UntrustedServerError } from './untrusted-server.ts'

export type AwsService = 's3' | 'secretsmanager' | 'logs' | 'sts'

/** What a failure of an AWS request means for the one who asked. */
export type AwsFailure =
  | 'access-denied'
  | 'expired-credentials'
  | 'not-found'
  | 'precondition'
  | 'throttled'
  | 'network'
  | 'certificate'
  | 'invalid'
  | 'server'
  | 'unknown'

/** Which request failed, in AWS's words. */
export interface AwsRequest {
  readonly service: AwsService
  /** The API action: "GetObject". */
  readonly operation: string
  /** What it was for, an ARN or a name; never a value. */
  readonly resource: string
  /** Shown instead of the general hint when access is denied. */
  readonly hint?: string
}

interface AwsErrorDetails extends AwsRequest {
  readonly failure: AwsFailure
  readonly code: string
  readonly status: number | undefined
  readonly text: string
  readonly retryAfterMs?: number | undefined
}

/** An AWS request that failed, after the SDK's own retries. `failure` is what to branch on. */
export class AwsError extends AgentError {
  override readonly name = 'AwsError'
  readonly service: AwsService
  readonly operation: string
  readonly failure: AwsFailure
  /** AWS's error code or Node's, such as `NoSuchKey` or `ECONNREFUSED`. */
  readonly code: string
  readonly status: number | undefined
  /** What the service says, in its own words; may be empty. */
  readonly text: string

  constructor(details: AwsErrorDetails) {
    const { service, operation, resource, failure, code, status, text, retryAfterMs } = details
    const hint = hintFor(failure, details)
    super(`${service}:${operation} on ${resource} failed with ${code}${text === '' ? '' : `: ${text}`}`, {
      retryable: retryable.has(failure),
      isOverloaded: failure === 'throttled' || status === 503,
      retryAfterMs,
      ...(hint === undefined ? {} : { hint }),
    })
    this.service = service
    this.operation = operation
    this.failure = failure
    this.code = code
    this.status = status
    this.text = text
  }
}

/**
 * Turns whatever an SDK client threw into an error of ours, and is the only place that does. Errors that are ours
 * already (credentials, deadlines, aborts) pass unchanged. The SDK's error is not kept as the cause, because it may
 * hold the request with its headers.
 */
export function translateAwsError(error: unknown, request: AwsRequest): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError') return error
  if (error instanceof AgentError && !(error instanceof UntrustedServerError)) return error
  const status = statusOf(error)
  const code = status === undefined ? (errorCode(error) ?? error.name) : error.name
  return new AwsError({
    ...request,
    failure: classify(code, status),
    code,
    status,
    text: textOf(error, code),
    retryAfterMs: retryAfterMsOf(error),
  })
}

/** What an error code means that stands in the body of an answer that is 200, as those of a batch's parts do. */
export function failureOfCode(code: string): AwsFailure {
  return classify(code, code.startsWith('Internal') ? 500 : 400)
}

const retryable: ReadonlySet<AwsFailure> = new Set([
  'expired-credentials',
  'precondition',
  'throttled',
  'network',
  'certificate',
  'server',
  'unknown',
])

/** Codes that mean "these credentials are of no use any more", whatever status and service they come from. */
const expiredCodes = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidToken',
  'TokenRefreshRequired',
  'UnrecognizedClientException',
])

const codeFailures: Readonly<Record<string, AwsFailure>> = {
  AccessDenied: 'access-denied',
  AccessDeniedException: 'access-denied',
  AllAccessDisabled: 'access-denied',
  DecryptionFailure: 'access-denied',
  InvalidSignatureException: 'server', // as a rule a clock that was wrong when it was signed
  LimitExceededException: 'throttled',
  NoSuchAccessPoint: 'not-found',
  NoSuchBucket: 'not-found',
  NoSuchKey: 'not-found',
  NotFound: 'not-found',
  OperationAbortedException: 'throttled',
  PreconditionFailed: 'precondition',
  RequestTimeTooSkewed: 'server',
  ResourceNotFoundException: 'not-found',
  SignatureDoesNotMatch: 'invalid',
  SlowDown: 'throttled',
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  TimeoutError: 'network',
  TooManyRequestsException: 'throttled',
}

/** What a parser says of an answer that it cannot read shows a piece of it, and answers hold secrets. */
function textOf({ name, message }: Error, code: string): string {
  if (name === 'SyntaxError') return 'the answer cannot be read'
  return message === code ? '' : message
}

function statusOf(error: Error): number | undefined {
  const { $metadata: metadata } = error as { $metadata?: { httpStatusCode?: number } } // how the SDK marks its own
  return metadata?.httpStatusCode
}

/** `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), of which the SDK's parsers keep the answer's headers. */
function retryAfterMsOf(error: Error): number | undefined {
  const { $response: response } = error as { $response?: { headers?: Readonly<Record<string, string>> } }
  const value = response?.headers?.['retry-after']
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - sentAtMs(response?.headers)
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

/** By the server's own clock, which is the one that its dates are of. */
function sentAtMs(headers: Readonly<Record<string, string>> = {}): number {
  return Date.parse(headers['date'] ?? '')
}

function classify(code: string, status: number | undefined): AwsFailure {
  if (expiredCodes.has(code)) return 'expired-credentials'
  const known = codeFailures[code]
  if (known !== undefined) return known
  if (isCertificateCode(code)) return 'certificate'
  if (status === undefined) return isConnectionCode(code) ? 'network' : 'unknown'
  if (status === 429) return 'throttled'
  if (status === 403) return 'access-denied'
  if (status === 404) return 'not-found'
  if (status === 412) return 'precondition'
  if (status >= 500) return 'server'
  return status >= 400 ? 'invalid' : 'unknown'
}

/** Node's codes for what goes wrong between here and the server; other `ERR_` codes are faults of a program. */
function isConnectionCode(code: string): boolean {
  return /^(E(?!RR_)[A-Z0-9_]+|ERR_(SSL|TLS|STREAM|SOCKET|HTTP)_.*|HPE_.*)$/.test(code)
}

function hintFor(failure: AwsFailure, { service, operation, resource, hint }: AwsRequest): string | undefined {
  switch (failure) {
    case 'access-denied':
      return hint ?? `allow ${service}:${operation} on ${resource} in the appliance role's policy`
    case 'certificate':
      return 'the server is not who it should be, or a proxy stands between: check identity.rootCa and the network'
    case 'network':
      return 'check the network, DNS and firewall of the appliance; the agent keeps trying'
    case 'not-found':
      return `check that ${resource} exists and is spelled right in the configuration`
    case 'expired-credentials':
    case 'precondition':
    case 'throttled':
    case 'invalid':
    case 'server':
    case 'unknown':
      return undefined
  }
}
