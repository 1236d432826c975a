import type { Cloud } from '../cloud/cloud.ts'
import type { PolicyDocument } from '../cloud/iam/policy-document.ts'

/** Takes an action out of every policy that the appliance is under, as if an operator had left it out. */
export function withoutAction({ roles, names, policies, s3 }: Cloud, action: string): void {
  const without = (policy: PolicyDocument): PolicyDocument => ({
    ...policy,
    statements: policy.statements
      .map((statement) => ({ ...statement, actions: statement.actions.filter((each) => each !== action) }))
      .filter(({ actions }) => actions.length > 0),
  })
  const rolePolicies = policies.applianceRolePolicies.map(without)
  roles.put({ name: names.role, trustPolicy: policies.applianceRoleTrust, policies: rolePolicies })
  s3.setAccessPointPolicy(names.accessPoint, without(policies.accessPointPolicy))
  s3.setBucketPolicy(names.bucket, without(policies.bucketPolicy))
}
