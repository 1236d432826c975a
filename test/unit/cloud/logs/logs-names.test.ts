import { expect, test } from 'vitest'

import { checkGroupName, checkNewGroupName, checkStreamName } from '../../../cloud/logs/logs-names.ts'

test.each(['a', '/aws/panorama/devices/device-1', 'A.b-c_d/e#9', 'g'.repeat(512)])('accepts the group %s', (name) => {
  expect(checkNewGroupName(name)).toBe(name)
})

test.each(['', 'a b', 'a:b', 'é', 'a*', 'g'.repeat(513)])('refuses the group %j', (name) => {
  expect(() => checkGroupName(name)).toThrow(/at 'logGroupName' failed to satisfy constraint/)
})

test.each([null, undefined])('refuses %j for a name', (name) => {
  expect(() => checkGroupName(name)).toThrow(
    /^1 validation error detected: Value null at 'logGroupName' .* must not be null/,
  )
  expect(() => checkStreamName(name)).toThrow(
    /^1 validation error detected: Value null at 'logStreamName' .* must not be null/,
  )
})

test.each(['aws/mine', 'AWS/mine'])('leaves the group %s to Amazon', (name) => {
  expect(() => checkNewGroupName(name)).toThrow('Log groups starting with AWS/ are reserved for AWS.')
})

test.each(['a', 'dock 3/é', 's'.repeat(512)])('accepts the stream %s', (name) => {
  expect(checkStreamName(name)).toBe(name)
})

test.each(['', 'a:b', 'a*b', 's'.repeat(513)])('refuses the stream %j', (name) => {
  expect(() => checkStreamName(name)).toThrow(/at 'logStreamName' failed to satisfy constraint/)
})
