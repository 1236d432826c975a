import { expect, test } from 'vitest'

import { policyOf, ProvisioningError } from '../../../agent/aws/iot-provisioning-errors.ts'

const context = { operation: 'RegisterThing', template: 'template', clientId: 'dock-1', asker: 'claim' } as const

test.each([
  ['claim', 'iot-claim-policy.json'],
  ['appliance', 'iot-rotation-policy.json'],
] as const)('names the policy of the certificate that asks: %s', (asker, policy) => {
  const error = new ProvisioningError(
    { statusCode: 403, errorCode: 'Denied' },
    { ...context, operation: 'CreateCertificateFromCsr', asker },
  )
  expect(error.hint).toContain(policy)
  expect(policyOf(asker)).toContain(policy)
})

test.each([
  [429, 'ThrottlingException', true],
  [500, 'InternalError', true],
  [503, 'ServiceUnavailable', true],
  [400, 'InvalidCertificateOwnershipToken', true],
  [400, 'InvalidParameters', false],
  [403, 'AccessDenied', false],
  [404, 'ResourceNotFound', false],
])('whether %s %s passes by itself: %s', (statusCode, errorCode, passes) => {
  const error = new ProvisioningError({ statusCode, errorCode }, context)
  expect(error.retryable).toBe(passes)
  expect(error.isOverloaded).toBe(statusCode === 429)
})
