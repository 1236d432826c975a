import { ServiceFault, type Caller, type CloudRequest, type CloudResponse, type CloudService } from './contract.ts'
import { evaluatePolicies } from './iam/evaluate.ts'
import type { Role, Roles } from './roles.ts'
import type { IssuedCredentials, Sessions } from './sessions.ts'

export interface StsOptions {
  readonly roles: Roles
  readonly sessions: Sessions
}

const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/'
const chainedMaxSeconds = 3600
const assumeRoleParameters = ['Action', 'Version', 'RoleArn', 'RoleSessionName', 'DurationSeconds']

/**
 * AssumeRole and GetCallerIdentity in the AWS query protocol. Every caller here has temporary credentials, so every
 * AssumeRole is role chaining: at most one hour, and the caller's session variables are dropped. An AssumeRole
 * parameter that is not modelled is refused.
 */
export function createStsService({ roles, sessions }: StsOptions): CloudService {
  return {
    name: 'sts',
    // by the plain name for clients such as awscli, whose resolver knows no names below localhost
    serves: (host) => host === 'sts.localhost' || host === 'localhost',
    actionOf: (request) => formOf(request).get('Action') ?? 'Unknown',
    handle: (request, { caller }) => Promise.resolve(handle({ request, caller, roles, sessions })),
    formatFault,
  }
}

interface Call extends StsOptions {
  readonly request: CloudRequest
  readonly caller: Caller
}

function handle(call: Call): CloudResponse {
  const form = formOf(call.request)
  const action = form.get('Action') ?? ''
  switch (action) {
    case 'AssumeRole':
      return assumeRole(form, call)
    case 'GetCallerIdentity':
      return getCallerIdentity(call)
    default:
      throw new ServiceFault(400, 'InvalidAction', `Could not find operation ${action} for version 2011-06-15`)
  }
}

function assumeRole(form: URLSearchParams, { request, caller, roles, sessions }: Call): CloudResponse {
  for (const name of form.keys()) {
    if (!assumeRoleParameters.includes(name)) throw invalid(`The local cloud does not know the parameter ${name}`)
  }
  const roleArn = form.get('RoleArn') ?? ''
  const sessionName = sessionNameOf(form)
  const durationSeconds = durationOf(form)
  const role = roles.byArn(roleArn)
  if (role === undefined || !mayAssume(caller, role, roleArn)) {
    throw new ServiceFault(
      403,
      'AccessDenied',
      `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${roleArn}`,
    )
  }
  if (durationSeconds > role.maxSessionDurationSeconds) {
    throw invalid('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.')
  }
  if (durationSeconds > chainedMaxSeconds) {
    throw invalid('The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining')
  }
  const credentials = sessions.issue({ roleName: role.name, sessionName, durationSeconds, context: {} })
  const arn = sessions.arnOf(role.name, sessionName)
  return xml('AssumeRole', request, [
    element('AssumedRoleUser', [text('Arn', arn), text('AssumedRoleId', `${roleIdOf(role.name)}:${sessionName}`)]),
    credentialsXml(credentials),
  ])
}

/** Both must allow it. AWS would let a same-account trust policy that names the session suffice; this is stricter. */
function mayAssume(caller: Caller, role: Role, roleArn: string): boolean {
  const access = {
    principal: { kind: 'AWS', arn: caller.arn, account: caller.account },
    action: 'sts:AssumeRole',
    resource: roleArn,
    context: { ...caller.context, 'aws:PrincipalArn': caller.roleArn, 'aws:PrincipalAccount': caller.account },
  } as const
  return (
    evaluatePolicies(caller.policies, access) === 'allowed' &&
    evaluatePolicies([role.trustPolicy], access) === 'allowed'
  )
}

function getCallerIdentity({ request, caller }: Call): CloudResponse {
  const [, roleName = '', sessionName = ''] = caller.arn.split('/')
  return xml('GetCallerIdentity', request, [
    text('Arn', caller.arn),
    text('UserId', `${roleIdOf(roleName)}:${sessionName}`),
    text('Account', caller.account),
  ])
}

function sessionNameOf(form: URLSearchParams): string {
  const name = form.get('RoleSessionName') ?? ''
  if (!/^[\w+=,.@-]*$/.test(name)) {
    throw constraint(name, 'roleSessionName', 'Member must satisfy regular expression pattern: [\\w+=,.@-]*')
  }
  if (name.length < 2) throw constraint(name, 'roleSessionName', 'Member must have length greater than or equal to 2')
  if (name.length > 64) throw constraint(name, 'roleSessionName', 'Member must have length less than or equal to 64')
  return name
}

function durationOf(form: URLSearchParams): number {
  const value = form.get('DurationSeconds') ?? '3600'
  const seconds = Number(value)
  if (!Number.isInteger(seconds) || seconds < 900) {
    throw constraint(value, 'durationSeconds', 'Member must have value greater than or equal to 900')
  }
  if (seconds > 43_200) {
    throw constraint(value, 'durationSeconds', 'Member must have value less than or equal to 43200')
  }
  return seconds
}

function constraint(value: string, member: string, rule: string): ServiceFault {
  return invalid(`1 validation error detected: Value '${value}' at '${member}' failed to satisfy constraint: ${rule}`)
}

function invalid(message: string): ServiceFault {
  return new ServiceFault(400, 'ValidationError', message)
}

function formatFault({ status, code, message, headers }: ServiceFault, { id }: CloudRequest): CloudResponse {
  const error = element('Error', [
    text('Type', status < 500 ? 'Sender' : 'Receiver'),
    text('Code', code),
    text('Message', message),
  ])
  return {
    status,
    headers: { 'content-type': 'text/xml', ...headers },
    body: `<ErrorResponse xmlns="${namespace}">${error}${text('RequestId', id)}</ErrorResponse>\n`,
  }
}

function xml(action: string, { id }: CloudRequest, result: readonly string[]): CloudResponse {
  const metadata = element('ResponseMetadata', [text('RequestId', id)])
  return {
    status: 200,
    headers: { 'content-type': 'text/xml' },
    body: `<${action}Response xmlns="${namespace}">${element(`${action}Result`, result)}${metadata}</${action}Response>\n`,
  }
}

function credentialsXml({ accessKeyId, secretAccessKey, sessionToken, expirationMs }: IssuedCredentials): string {
  return element('Credentials', [
    text('AccessKeyId', accessKeyId),
    text('SecretAccessKey', secretAccessKey),
    text('SessionToken', sessionToken),
    text('Expiration', new Date(expirationMs).toISOString().replace(/\.\d+Z$/, 'Z')),
  ])
}

function element(name: string, children: readonly string[]): string {
  return `<${name}>${children.join('')}</${name}>`
}

function text(name: string, value: string): string {
  return element(name, [value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')])
}

function roleIdOf(roleName: string): string {
  return `AROA${Buffer.from(roleName).toString('hex').toUpperCase().padEnd(17, '0').slice(0, 17)}`
}

function formOf({ body }: CloudRequest): URLSearchParams {
  return new URLSearchParams(Buffer.from(body).toString('utf8'))
}
