import type { Appliances, RegisteredCertificate } from './appliances.ts'
import { ServiceFault, type CloudRequest, type CloudResponse } from './contract.ts'
import { evaluatePolicies } from './iam/evaluate.ts'
import type { Quotas } from './quotas.ts'
import type { RoleAliases } from './role-aliases.ts'
import type { Role, Roles } from './roles.ts'
import type { IssuedCredentials, Sessions } from './sessions.ts'

/**
 * What trust policies see of aws:SourceAccount and aws:SourceArn. Whether AWS fills them for the credentials provider,
 * and with which ARN, is not known: `none` is the strict reading.
 */
export type TrustSource = 'none' | 'role-alias' | 'thing'

export interface CredentialsProviderOptions {
  readonly account: string
  readonly region: string
  readonly now: () => number
  readonly appliances: Appliances
  readonly roleAliases: RoleAliases
  readonly roles: Roles
  readonly sessions: Sessions
  readonly quotas: Quotas
  readonly trustSource: () => TrustSource
}

interface Applicant {
  readonly certificate: RegisteredCertificate
  readonly thingName: string | undefined
  readonly aliasName: string
}

export const credentialsService = 'credentials'
export const credentialsAction = 'AssumeRoleWithCertificate'

const aliasPath = /^\/role-aliases\/([^/]+)\/credentials$/

/**
 * The AWS IoT credentials provider: `GET /role-aliases/<alias>/credentials` over mutual TLS. Statuses and messages are
 * those that awslabs/aws-iot-core-credential-provider-session-helper measured (docs/dev_notes.md); its order of checks
 * and the answer to throttling are not published, and are a guess here.
 */
export function createCredentialsProvider(
  options: CredentialsProviderOptions,
): (request: CloudRequest) => CloudResponse {
  return (request) => {
    const applicant = identify(request, options)
    if (!options.quotas.take(credentialsService, credentialsAction)) {
      throw new ServiceFault(429, 'ThrottlingException', 'Rate exceeded')
    }
    return respond(assumeRole(applicant, options))
  }
}

/** Refusals in the provider's shape: a message alone, the kind of error in a header. */
export function formatCredentialsFault(
  { status, code, message, headers }: ServiceFault,
  { id }: CloudRequest,
): CloudResponse {
  const traceId = code === 'NotFound' ? { traceId: id } : {}
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': code, ...headers },
    body: JSON.stringify({ message, ...traceId }),
  }
}

function identify(
  { clientCertificate, headers, method, rawPath }: CloudRequest,
  options: CredentialsProviderOptions,
): Applicant {
  const certificate = clientCertificate === undefined ? undefined : options.appliances.find(clientCertificate)
  if (certificate?.status !== 'ACTIVE' || certificate.notAfterMs < options.now()) {
    throw denied('Certificate is invalid on this endpoint')
  }
  const encodedAlias = aliasPath.exec(rawPath)?.[1]
  if (method !== 'GET' || encodedAlias === undefined) throw new ServiceFault(404, 'NotFound', 'Not Found')
  const thingName = headers['x-amzn-iot-thingname']
  if (thingName !== undefined && !options.appliances.isAttached(thingName, certificate.certificateId)) {
    throw denied('Invalid thing name passed')
  }
  return { certificate, thingName, aliasName: decode(encodedAlias) }
}

function assumeRole(applicant: Applicant, options: CredentialsProviderOptions): IssuedCredentials {
  const { certificate, aliasName } = applicant
  if (!mayUseAlias(applicant, options)) throw denied('Access Denied')
  const alias = options.roleAliases.get(aliasName)
  if (alias === undefined) throw new ServiceFault(404, 'ResourceNotFoundException', 'Role alias does not exist')
  const role = options.roles.byArn(alias.roleArn)
  if (role === undefined || !trusts(role, applicant, options)) {
    throw badRequest('Unable to assume the role, or the role to assume does not exist')
  }
  if (alias.credentialDurationSeconds > role.maxSessionDurationSeconds) {
    throw badRequest('The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role')
  }
  return options.sessions.issue({
    roleName: role.name,
    sessionName: certificate.certificateId,
    durationSeconds: alias.credentialDurationSeconds,
    context: sessionContext(applicant, options.appliances),
  })
}

function mayUseAlias(
  { certificate, aliasName }: Applicant,
  { account, roleAliases }: CredentialsProviderOptions,
): boolean {
  const decision = evaluatePolicies(certificate.policy === undefined ? [] : [certificate.policy], {
    principal: { kind: 'AWS', arn: certificate.arn, account },
    action: 'iot:AssumeRoleWithCertificate',
    resource: roleAliases.arnOf(aliasName),
    context: {},
  })
  return decision === 'allowed'
}

function trusts(role: Role, applicant: Applicant, options: CredentialsProviderOptions): boolean {
  const decision = evaluatePolicies([role.trustPolicy], {
    principal: { kind: 'Service', service: 'credentials.iot.amazonaws.com' },
    action: 'sts:AssumeRole',
    resource: options.roles.arnOf(role.name),
    context: trustContext(applicant, options),
  })
  return decision === 'allowed'
}

function trustContext(
  { thingName, aliasName }: Applicant,
  options: CredentialsProviderOptions,
): Record<string, string> {
  const { account, region, roleAliases } = options
  const source = options.trustSource()
  switch (source) {
    case 'none':
      return {}
    case 'role-alias':
      return { 'aws:SourceAccount': account, 'aws:SourceArn': roleAliases.arnOf(aliasName) }
    case 'thing':
      if (thingName === undefined) return { 'aws:SourceAccount': account }
      return { 'aws:SourceAccount': account, 'aws:SourceArn': `arn:aws:iot:${region}:${account}:thing/${thingName}` }
  }
}

function sessionContext({ certificate, thingName }: Applicant, appliances: Appliances): Record<string, string> {
  const thingTypeName = thingName === undefined ? undefined : appliances.thingTypeName(thingName)
  return {
    'credentials-iot:AwsCertificateId': certificate.certificateId,
    ...(thingName === undefined ? {} : { 'credentials-iot:ThingName': thingName }),
    ...(thingTypeName === undefined ? {} : { 'credentials-iot:ThingTypeName': thingTypeName }),
  }
}

function respond({ accessKeyId, secretAccessKey, sessionToken, expirationMs }: IssuedCredentials): CloudResponse {
  const expiration = new Date(expirationMs).toISOString().replace(/\.\d+Z$/, 'Z')
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ credentials: { accessKeyId, secretAccessKey, sessionToken, expiration } }),
  }
}

function decode(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    throw new ServiceFault(404, 'NotFound', 'Not Found')
  }
}

function denied(message: string): ServiceFault {
  return new ServiceFault(403, 'AccessDeniedException', message)
}

function badRequest(message: string): ServiceFault {
  return new ServiceFault(400, 'InvalidRequestException', message)
}
