import type { PolicyDocument } from '../../../cloud/iam/policy-document.ts'
import type { IotPrincipal } from '../../../cloud/iot/iot-policy.ts'

export const thing = 'panorama_dock-1'

/** An attached thing that is connected under its own name, with this policy. */
export function principal(policy: PolicyDocument | undefined): IotPrincipal {
  return {
    certificate: {
      certificateId: 'c'.repeat(64),
      arn: `arn:aws:iot:us-west-2:123456789012:cert/${'c'.repeat(64)}`,
      status: 'ACTIVE',
      notAfterMs: Infinity,
      policy,
    },
    clientId: thing,
    thingName: thing,
    thingTypeName: undefined,
  }
}
