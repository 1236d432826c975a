import { type Caller, ServiceFault } from '../contract.ts'
import { type AccessDecision, evaluatePolicies } from '../iam/evaluate.ts'
import type { Secret } from './secret-store.ts'

export interface SecretAccess {
  readonly account: string
  readonly region: string
  readonly caller: Caller
  /** Names and ARNs that the policy of the VPC endpoint on the way denies. */
  readonly deniedAtEndpoint: ReadonlySet<string>
}

/**
 * Throws AccessDeniedException unless the caller's policies allow the action on the secret. A secret that is not there
 * is authorised first too, by the ARN that it would have, so that nobody without the permission learns what exists.
 */
export function authorizeSecret(
  access: SecretAccess,
  {
    action,
    secretId,
    secret,
  }: { readonly action: string; readonly secretId: string; readonly secret: Secret | undefined },
): void {
  const { account, region } = access
  const unknown = secretId.startsWith('arn:')
    ? secretId
    : `arn:aws:secretsmanager:${region}:${account}:secret:${secretId}`
  const decision = decide(access.caller, `secretsmanager:${action}`, { resource: secret?.arn ?? unknown })
  // The text shows the secret as the caller wrote it, name or ARN.
  if (decision !== 'allowed') throw accessDenied(access.caller, `secretsmanager:${action}`, { decision, secretId })
}

/** Throws AccessDeniedException unless the caller may do what has no resource of its own and is allowed on `*` only. */
export function authorizeEverywhere({ caller }: SecretAccess, action: string): void {
  const decision = decide(caller, `secretsmanager:${action}`, { resource: '*' })
  if (decision !== 'allowed') throw accessDenied(caller, `secretsmanager:${action}`, { decision })
}

/**
 * Throws AccessDeniedException when the VPC endpoint's policy denies reading one of the secrets: then "the entire batch
 * operation fails" ("Retrieve a group of secrets in a batch", AWS Secrets Manager User Guide).
 */
export function authorizeAtEndpoint({ caller, deniedAtEndpoint }: SecretAccess, secrets: readonly SecretNames[]): void {
  const denied = secrets.find(
    ({ secretId, secret }) =>
      deniedAtEndpoint.has(secretId) ||
      (secret !== undefined && (deniedAtEndpoint.has(secret.arn) || deniedAtEndpoint.has(secret.name))),
  )
  if (denied === undefined) return
  const action = 'secretsmanager:GetSecretValue'
  throw new ServiceFault(
    400,
    'AccessDeniedException',
    `User: ${caller.arn} is not authorized to perform: ${action} on resource: ${denied.secretId} because no VPC endpoint policy allows the ${action} action`,
  )
}

interface SecretNames {
  /** As it was asked for. */
  readonly secretId: string
  readonly secret: Secret | undefined
}

/** Throws unless the caller may use the customer managed key of the secret, if it has one, through Secrets Manager. */
export function authorizeKey({ caller, region }: SecretAccess, action: string, { kmsKeyArn, arn }: Secret): void {
  if (kmsKeyArn === undefined) return
  const context = {
    'kms:ViaService': `secretsmanager.${region}.amazonaws.com`,
    'kms:EncryptionContext:SecretARN': arn,
  }
  if (decide(caller, `kms:${action}`, { resource: kmsKeyArn, context }) === 'allowed') return
  throw new ServiceFault(400, 'AccessDeniedException', 'Access to KMS is not allowed')
}

function decide(
  { arn, account, policies, context: session }: Caller,
  action: string,
  { resource, context = {} }: { readonly resource: string; readonly context?: Readonly<Record<string, string>> },
): AccessDecision {
  const principal = { kind: 'AWS', arn, account } as const
  return evaluatePolicies(policies, { principal, action, resource, context: { ...session, ...context } })
}

function accessDenied(
  { arn }: Caller,
  action: string,
  { decision, secretId }: { readonly decision: AccessDecision; readonly secretId?: string },
): ServiceFault {
  const on = secretId === undefined ? '' : ` on resource: ${secretId}`
  const why =
    decision === 'explicit-deny'
      ? 'with an explicit deny in an identity-based policy'
      : `because no identity-based policy allows the ${action} action`
  return new ServiceFault(
    400,
    'AccessDeniedException',
    `User: ${arn} is not authorized to perform: ${action}${on} ${why}`,
  )
}
