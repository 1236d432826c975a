import { expect, test } from 'vitest'

import { statusLine } from '../../../agent/status/status-line.ts'
import { statusDocument } from '../../support/status-document.ts'

const artifact = { phase: 'idle', files: 1, bytes: 1, fetchedFiles: 0, fetchedBytes: 0 }
const lastError = { name: 'AwsError', message: 's3:ListObjectsV2 failed with AccessDenied' }

test('counts what is well', () => {
  const status = statusDocument({
    artifacts: [{ ...artifact, name: 'model', state: 'ok' }],
    cameras: [
      { name: 'dock-1', state: 'ok' },
      { name: 'dock-2', state: 'ok' },
    ],
  })
  expect(statusLine(status)).toBe('All well: 1 artifact, 2 cameras, 0 log files')
})

test('names what has not had its first pass yet', () => {
  const status = statusDocument({
    identity: { state: 'waiting' },
    artifacts: [{ ...artifact, name: 'model', state: 'starting' }],
  })
  expect(statusLine(status)).toBe('Starting: identity, artifact model')
})

test('names the first thing that fails, in the order of need, and counts the others', () => {
  const status = statusDocument({
    artifacts: [{ ...artifact, name: 'model', state: 'failing', lastError }],
    cameras: [{ name: 'dock-1', state: 'failing' }],
  })
  expect(statusLine(status)).toBe('Failing: artifact model and 1 more: s3:ListObjectsV2 failed with AccessDenied')
  const applications = [{ name: 'gate', state: 'failing', served: 0 }]
  expect(statusLine(statusDocument({ applications }))).toBe('Failing: application gate')
  const missing = { state: 'missing', lastError: { name: 'IdentityError', message: '/key is not there' } }
  expect(statusLine({ ...status, identity: missing })).toBe('Failing: identity and 2 more: /key is not there')
})

test('names sealing and hooks of cameras when they fail', () => {
  const cameraSealing = { key: 'none', state: 'failing', lastError: { name: 'SealingFault', message: 'no key' } }
  expect(statusLine(statusDocument({ cameraSealing }))).toBe('Failing: cameras sealing: no key')
  const cameraHooks = [{ name: 'player', state: 'failing' }]
  expect(statusLine(statusDocument({ cameraHooks }))).toBe('Failing: camera hook player')
})

test('cuts a long error short', () => {
  const status = statusDocument({
    cameras: [{ name: 'dock-1', state: 'failing', lastError: { name: 'AwsError', message: 'x'.repeat(1_000) } }],
  })
  expect(statusLine(status)).toBe(`Failing: camera dock-1: ${'x'.repeat(160)}...`)
})

test('names what is stuck before anything else', () => {
  const status = statusDocument({ cameras: [{ name: 'dock-1', state: 'failing' }], overdue: ['cameras', 'logs'] })
  expect(statusLine(status)).toBe('Stuck: cameras, logs')
})

test('counts what it has no room for, so that it is never too long for systemd', () => {
  const name = 'x'.repeat(64)
  const cameras = Array.from({ length: 1_000 }, () => ({ name, state: 'starting' }))
  const five = Array.from({ length: 5 }, () => `camera ${name}`).join(', ')
  expect(statusLine(statusDocument({ cameras }))).toBe(`Starting: ${five} and 995 more`)
  const overdue = ['a', 'b', 'c', 'd', 'e', 'f']
  expect(statusLine(statusDocument({ overdue }))).toBe('Stuck: a, b, c, d, e and 1 more')
})

test('names a configuration that is not the one that it should be before anything else, and no trial', () => {
  const faults = [{ path: 'role.alias', message: 'is missing' }]
  const configuration = { version: 2, digest: 'd', state: 'fallback', faults } as const
  const failing = { identity: { state: 'failing', lastError } }
  expect(statusLine(statusDocument({ configuration, ...failing }))).toBe(
    'Failing: configuration and 1 more: role.alias: is missing',
  )
  const trial = { ...configuration, state: 'trial', faults: [] } as const
  expect(statusLine(statusDocument({ configuration: trial }))).toMatch(/^All well/)
})
