import { AgentError, errorCode } from '../lib/errors.ts'
import { isCertificateCode, UntrustedServerError } from './untrusted-server.ts'

/** What a person needs to know to mend a refusal of the credentials provider. */
export interface CredentialsRequest {
  readonly endpoint: string
  readonly roleAlias: string
  readonly thingName: string
}

export type CredentialsFailure =
  | 'thing-not-attached'
  | 'policy-denies'
  | 'certificate-not-accepted'
  | 'alias-missing'
  | 'role-not-assumable'
  | 'duration-too-long'
  | 'wrong-endpoint'
  | 'throttled'
  | 'server'
  | 'network'
  | 'untrusted-server'
  | 'bad-answer'

/** The AWS IoT credentials provider did not give credentials. `failure` says why, the hint what to do. */
export class CredentialsError extends AgentError {
  override readonly name = 'CredentialsError'
  readonly failure: CredentialsFailure
  readonly status: number | undefined

  constructor(failure: CredentialsFailure, request: CredentialsRequest, details: CredentialsErrorDetails) {
    super(`${request.endpoint} gave no credentials: ${details.text}`, {
      retryable: passing.has(failure),
      retrySlowly: details.status !== undefined && details.status >= 400 && details.status < 500,
      hint: hintFor(failure, request),
      cause: details.cause,
    })
    this.failure = failure
    this.status = details.status
  }
}

export interface CredentialsErrorDetails {
  readonly text: string
  readonly status?: number
  readonly cause?: unknown
}

export interface RefusedAnswer {
  readonly status: number
  /** The `x-amzn-ErrorType` header. */
  readonly errorType: string
  readonly body: string
}

/**
 * Names a refusal by status and text. The texts are those measured by AWS Labs' credential provider session helper
 * (development notes); how throttling looks is not documented, so 429 and any type with "Throttl" count as it.
 */
export function credentialsRefused(answer: RefusedAnswer, request: CredentialsRequest): CredentialsError {
  const text = messageOf(answer.body)
  const failure = failureOf(answer, text)
  return new CredentialsError(failure, request, {
    text: `HTTP ${answer.status}${text === '' ? '' : `, ${text}`}`,
    status: answer.status,
  })
}

/** Names a failure of the connection. */
export function credentialsUnreachable(error: unknown, request: CredentialsRequest): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError') return error
  if (error instanceof AgentError && !(error instanceof UntrustedServerError)) return error
  const code = errorCode(error) ?? error.name
  const failure = isCertificateCode(code) ? 'untrusted-server' : 'network'
  return new CredentialsError(failure, request, { text: code, cause: error })
}

const passing: ReadonlySet<CredentialsFailure> = new Set([
  'throttled',
  'server',
  'network',
  'untrusted-server',
  'bad-answer',
])

const refusals: readonly (readonly [number, RegExp, CredentialsFailure])[] = [
  [400, /exceeds the MaxSessionDuration/i, 'duration-too-long'],
  [400, /unable to assume the role/i, 'role-not-assumable'],
  [403, /invalid thing name/i, 'thing-not-attached'],
  [403, /certificate is invalid/i, 'certificate-not-accepted'],
  [403, /access denied/i, 'policy-denies'],
  [404, /role alias does not exist/i, 'alias-missing'],
  [404, /not found/i, 'wrong-endpoint'],
]

function failureOf({ status, errorType }: RefusedAnswer, text: string): CredentialsFailure {
  if (status === 429 || /throttl/i.test(errorType)) return 'throttled'
  const known = refusals.find(([refusedStatus, pattern]) => refusedStatus === status && pattern.test(text))
  if (known !== undefined) return known[2]
  if (status === 403) return 'policy-denies'
  return status >= 500 ? 'server' : 'bad-answer'
}

function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed)
      return String(parsed.message).slice(0, 300)
  } catch {
    return printable(body)
  }
  return printable(body)
}

function printable(body: string): string {
  return body
    .replace(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, 120)
}

function hintFor(failure: CredentialsFailure, { endpoint, roleAlias, thingName }: CredentialsRequest): string {
  switch (failure) {
    case 'thing-not-attached':
      return `attach the thing to the certificate: aws iot attach-thing-principal --thing-name ${thingName} --principal CERTIFICATE_ARN`
    case 'policy-denies':
      return `allow iot:AssumeRoleWithCertificate on role alias ${roleAlias} in an AWS IoT policy attached to the certificate`
    case 'certificate-not-accepted':
      return 'the certificate is not known or not active in this account and region: check identity.certificate, endpoints.credentials, and its status in AWS IoT'
    case 'alias-missing':
      return `create the role alias: aws iot create-role-alias --role-alias ${roleAlias} --role-arn ROLE_ARN`
    case 'role-not-assumable':
      return `check that the role behind alias ${roleAlias} exists and trusts credentials.iot.amazonaws.com, without conditions on aws:SourceArn or aws:SourceAccount`
    case 'duration-too-long':
      return `lower credentialDurationSeconds of role alias ${roleAlias}, or raise the role's MaxSessionDuration`
    case 'wrong-endpoint':
      return 'endpoints.credentials must be the answer of: aws iot describe-endpoint --endpoint-type iot:CredentialProvider'
    case 'throttled':
    case 'server':
      return 'nothing to do on the appliance: the agent keeps trying'
    case 'network':
      return `check the network, DNS and firewall of the appliance: it must reach ${endpoint} on TCP 443`
    case 'untrusted-server':
      return 'the server is not who it should be, or a proxy stands between: check identity.rootCa and the network'
    case 'bad-answer':
      return `what answers at ${endpoint} is not the AWS IoT credentials provider: check endpoints.credentials and the network`
  }
}
