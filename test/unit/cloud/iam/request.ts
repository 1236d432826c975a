import { type AccessDecision, evaluatePolicies, type AccessRequest } from '../../../cloud/iam/evaluate.ts'
import { parsePolicy } from '../../../cloud/iam/parse-policy.ts'

export const account = '123456789012'

/** A session of the role `appliance`, reading one object, with nothing in its context. */
export function accessRequest(changes: Partial<AccessRequest> = {}): AccessRequest {
  return {
    principal: { kind: 'AWS', arn: `arn:aws:sts::${account}:assumed-role/appliance/session`, account },
    action: 's3:GetObject',
    resource: 'arn:aws:s3:::bucket/key',
    context: {},
    ...changes,
  }
}

/** What one policy of these statements decides; each statement may leave out what does not matter to it. */
export function decide(
  statements: readonly Readonly<Record<string, unknown>>[],
  changes: Partial<AccessRequest> = {},
): AccessDecision {
  const Statement = statements.map((fields) => ({
    Effect: 'Allow',
    Action: '*',
    ...('Principal' in fields ? {} : { Resource: '*' }),
    ...fields,
  }))
  return evaluatePolicies([parsePolicy({ Version: '2012-10-17', Statement })], accessRequest(changes))
}
