import { expect, test } from 'vitest'

import { policyOf, ProvisioningError } from '../../../agent/aws/iot-provisioning-errors.ts'

test.each([
  ['claim', 'iot-claim-policy.json'],
  ['appliance', 'iot-rotation-policy.json'],
] as const)('names the policy of the certificate that asks: %s', (asker, policy) => {
  const context = { operation: 'CreateCertificateFromCsr', template: 'template', clientId: 'dock-1', asker }
  expect(new ProvisioningError({ statusCode: 403, errorCode: 'Denied' }, context).hint).toContain(policy)
  expect(policyOf(asker)).toContain(policy)
})
