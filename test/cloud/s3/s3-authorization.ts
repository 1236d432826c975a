import type { ServiceContext } from '../contract.ts'
import type { AccessDecision, AccessRequest, evaluatePolicies } from '../iam/evaluate.ts'
import type { PolicyDocument, PolicyStatement } from '../iam/policy-document.ts'
import { accessDenied, type S3Fault } from './s3-faults.ts'
import type { AccessPoint, Bucket, StoredObject } from './s3-store.ts'

/** Who asks through which access point, for all decisions of one request. */
export interface S3Door {
  readonly caller: ServiceContext['caller']
  readonly accessPoint: AccessPoint
  readonly bucket: Bucket
  readonly evaluate: typeof evaluatePolicies
}

export interface S3Access {
  readonly action: string
  /** Absent for actions on the bucket. */
  readonly key?: string
  /** Condition keys of this action, such as `s3:prefix`. */
  readonly context?: Readonly<Record<string, string>>
}

/**
 * Decides a request twice, on the access point's ARN and on the bucket's ("Configuring IAM policies for using access
 * points": both must permit it). At each level, as in IAM's evaluation logic: an explicit deny anywhere refuses; within
 * one account the role's policies or the resource's policy must allow, across accounts both must. The stricter reading
 * is taken twice: a resource policy that names the account instead of the role only hands the decision to the role's
 * policies, and a request without a prefix has no `s3:prefix` at all. Returns the refusal, undefined when allowed.
 */
export function findRefusal(door: S3Door, access: S3Access): S3Fault | undefined {
  return levelsOf(door, access)
    .map((level) => refusalAt(level, door, access))
    .find((refusal) => refusal !== undefined)
}

/**
 * Objects under a customer managed key need `kms:Decrypt` on it, or `kms:GenerateDataKey` to be written, by S3 and for
 * this object only ("Using server-side
 * encryption with AWS KMS keys"). The key's own policy is taken to leave the decision to IAM, as the default one does.
 */
export function findKeyRefusal(
  door: S3Door,
  key: string,
  object: Pick<StoredObject, 'kmsKeyArn'>,
  action: 'kms:Decrypt' | 'kms:GenerateDataKey' = 'kms:Decrypt',
): S3Fault | undefined {
  if (object.kmsKeyArn === undefined) return undefined
  const request = {
    principal: principalOf(door.caller),
    action,
    resource: object.kmsKeyArn,
    context: {
      ...callerContext(door),
      'kms:ViaService': `s3.${door.accessPoint.region}.amazonaws.com`,
      'kms:CallerAccount': door.caller.account,
      'kms:EncryptionContext:aws:s3:arn': `${bucketArn(door.bucket)}/${key}`,
    },
  }
  const identity = door.evaluate(door.caller.policies, request)
  return identity === 'allowed' ? undefined : refused(request, { identity, resource: 'implicit-deny' })
}

interface Level {
  readonly account: string
  readonly resource: string
  readonly policy: PolicyDocument | undefined
}

function levelsOf({ accessPoint, bucket }: S3Door, { key }: S3Access): readonly Level[] {
  const { account, arn, policy } = accessPoint
  return [
    { account, policy, resource: key === undefined ? arn : `${arn}/object/${key}` },
    {
      account: bucket.account,
      policy: bucket.policy,
      resource: key === undefined ? bucketArn(bucket) : `${bucketArn(bucket)}/${key}`,
    },
  ]
}

function refusalAt(level: Level, door: S3Door, access: S3Access): S3Fault | undefined {
  const sameAccount = level.account === door.caller.account
  const request = {
    principal: principalOf(door.caller),
    action: access.action,
    resource: level.resource,
    context: { ...callerContext(door), ...accessPointContext(door), ...access.context },
  }
  const policies = level.policy === undefined ? [] : [sameAccount ? withoutAccountGrants(level.policy) : level.policy]
  const identity = door.evaluate(door.caller.policies, request)
  const resource = door.evaluate(policies, request)
  const decisions = [identity, resource]
  if (decisions.includes('explicit-deny')) return refused(request, { identity, resource })
  if (sameAccount) return decisions.includes('allowed') ? undefined : refused(request, { identity, resource })
  return decisions.includes('implicit-deny') ? accessDenied() : undefined
}

/** `Principal: {"AWS": "account or its root"}` lets the account's own policies decide, for a role of that account. */
function withoutAccountGrants(policy: PolicyDocument): PolicyDocument {
  return { ...policy, statements: policy.statements.flatMap(withoutAccountPrincipals) }
}

function withoutAccountPrincipals(statement: PolicyStatement): readonly PolicyStatement[] {
  const named = statement.principals?.['AWS']
  if (statement.effect === 'Deny' || named === undefined) return [statement]
  const kept = named.filter((principal) => !/^(\d{12}|arn:aws[a-z-]*:iam::\d{12}:root)$/.test(principal))
  if (kept.length > 0) return [{ ...statement, principals: { ...statement.principals, AWS: kept } }]
  const others = Object.entries(statement.principals ?? {}).filter(([kind]) => kind !== 'AWS')
  return others.length === 0 ? [] : [{ ...statement, principals: Object.fromEntries(others) }]
}

function principalOf({ arn, account }: S3Door['caller']): AccessRequest['principal'] & { readonly kind: 'AWS' } {
  return { kind: 'AWS', arn, account }
}

function callerContext({ caller, bucket }: S3Door): Readonly<Record<string, string>> {
  return {
    ...caller.context,
    'aws:PrincipalArn': caller.roleArn,
    'aws:PrincipalAccount': caller.account,
    'aws:ResourceAccount': bucket.account,
    'aws:SecureTransport': 'true',
  }
}

function accessPointContext({ accessPoint }: S3Door): Readonly<Record<string, string>> {
  return {
    's3:DataAccessPointArn': accessPoint.arn,
    's3:DataAccessPointAccount': accessPoint.account,
    's3:AccessPointNetworkOrigin': 'Internet',
  }
}

function bucketArn(bucket: Bucket): string {
  return `arn:aws:s3:::${bucket.name}`
}

/** The text that S3 gives within one account ("Troubleshoot access denied (403 Forbidden) errors in Amazon S3"). */
function refused(
  { principal, action, resource }: AccessRequest & { readonly principal: { readonly arn: string } },
  decisions: { readonly identity: AccessDecision; readonly resource: AccessDecision },
): S3Fault {
  const who = `User: ${principal.arn} is not authorized to perform: ${action} on resource: "${resource}"`
  if (decisions.identity === 'explicit-deny')
    return accessDenied(`${who} with an explicit deny in an identity-based policy`)
  if (decisions.resource === 'explicit-deny')
    return accessDenied(`${who} with an explicit deny in a resource-based policy`)
  return accessDenied(`${who} because no identity-based policy allows the ${action} action`)
}
