import { expect, it } from 'vitest'

import { endpointAddress } from '../../../agent/aws/endpoint-address.ts'
import { loopbackLookup } from '../../../agent/aws/loopback-lookup.ts'
import { endpointsSection } from '../../../agent/config/endpoints-config.ts'

it.each([
  ['a1-ats.iot.us-west-2.amazonaws.com', 'a1-ats.iot.us-west-2.amazonaws.com', 8883],
  ['localhost:443', 'localhost', 443],
  ['[fd00::1]', 'fd00::1', 8883],
  ['[fd00::1]:443', 'fd00::1', 443],
])('takes %s apart', (endpoint, host, port) => {
  expect(endpointAddress(endpoint, 8883)).toEqual({ host, port })
})

it.each([
  ['[fd00::1]:443', true],
  ['[fd00::1]', true],
  ['[::ffff:10.0.0.1]:8883', true],
  ['fd00::1', false],
  ['[fd00::1', false],
  ['[fd00:::1]', false],
  ['[fd00::1]:70000', false],
])('takes %s for an endpoint: %s', (mqtt, isOne) => {
  expect(endpointsSection.safeParse({ credentials: 'c1.example', mqtt }).success).toBe(isOne)
})

it('resolves names below localhost to the address of the family that is asked for', async () => {
  const resolve = async (options: Parameters<typeof loopbackLookup>[1]): Promise<unknown> => {
    const { promise, resolve: done } = Promise.withResolvers()
    loopbackLookup('s3.localhost', options, (_error, found) => {
      done(found)
    })
    return await promise
  }
  expect(await resolve({ family: 6 })).toBe('::1')
  expect(await resolve({})).toBe('127.0.0.1')
})
