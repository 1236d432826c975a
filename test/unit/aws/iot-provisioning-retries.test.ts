import { expect, test } from 'vitest'

import { ProvisioningError } from '../../../agent/aws/iot-provisioning-errors.ts'

const context = {
  operation: 'RegisterThing',
  template: 'panorama-appliance',
  clientId: 'panorama-appliance-A1',
  asker: 'claim',
} as const

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
