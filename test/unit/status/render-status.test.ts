import { expect, test } from 'vitest'

import { renderStatus } from '../../../agent/status/render-status.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import { logsPart, statusDocument } from '../../support/status-document.ts'

const since = '2027-01-01T00:30:00.000Z'

/** The lines with their columns set one blank apart. */
function linesOf(change: Partial<StatusDocument> = {}): readonly string[] {
  return renderStatus(statusDocument(change))
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
}

test('shows agent, device and identity, and ends with a line break', () => {
  expect(linesOf()).toContain('agent running version 0.1.0, pid 42, since 2027-01-01T00:00:00.000Z')
  expect(linesOf()).toContain('device dock-1 thing thing-1, id device-1, region us-west-2')
  expect(linesOf()).toContain('identity ok certificate valid until 2049-12-31T23:59:59.000Z')
  expect(renderStatus(statusDocument())).toMatch(/[^\n]\n$/)
})

test('shows what came of setting a clock that is off', () => {
  const lastStep = { result: 'refused', code: 'verb-not-allowed', at: since }
  const clock = { now: since, offsetSeconds: 7_200, known: true, lastStep }
  expect(linesOf({ clock })).toContain(
    `clock known ${since}, the system clock is off by 7200 s, setting it: refused, verb-not-allowed (${since})`,
  )
})

test('shows whether the time is known and how far the system clock is off', () => {
  expect(linesOf()).toContain('clock known 2027-01-01T01:00:00.000Z')
  const clock = { now: since, offsetSeconds: -7_200, known: false }
  expect(linesOf({ clock })).toContain(`clock unconfirmed ${since}, the system clock is off by -7200 s`)
})

test('shows credentials with their end and how often they were fetched', () => {
  const held = { name: 'role', state: 'ok', since, fetches: 1, expiresAt: '2027-01-01T02:00:00.000Z' }
  const none = { name: 'base', state: 'starting', fetches: 0 }
  const lines = linesOf({ credentials: [held, none] })
  expect(lines).toContain(`role ok valid until 2027-01-01T02:00:00.000Z, 1 fetch, since ${since}`)
  expect(lines).toContain('base starting none yet, 0 fetches')
})

test('shows an artifact with its release, and what it is doing', () => {
  const artifact = { state: 'ok', files: 3, bytes: 99, fetchedFiles: 0, fetchedBytes: 0 }
  const lines = linesOf({
    artifacts: [
      { ...artifact, name: 'installed', phase: 'idle', releaseId: '0123456789abcdef0123' },
      { ...artifact, name: 'busy', phase: 'downloading', releaseId: '0123456789abcdef0123', files: 1 },
      { ...artifact, name: 'empty', phase: 'idle' },
    ],
  })
  expect(lines).toContain('artifact installed ok release 0123456789ab, 3 files, 99 bytes')
  expect(lines).toContain('artifact busy ok release 0123456789ab, 1 file, 99 bytes, downloading')
  expect(lines).toContain('artifact empty ok no release yet')
})

test('shows a camera with the version of its secret', () => {
  const cameras = [
    { name: 'dock-3', state: 'ok', versionId: 'v1' },
    { name: 'dock-4', state: 'starting' },
  ]
  expect(linesOf({ cameras })).toContain('camera dock-3 ok version v1')
  expect(linesOf({ cameras })).toContain('camera dock-4 starting version none yet')
})

test('shows an application with the end of its credentials and how often it got them', () => {
  const applications = [
    { name: 'people-counter', state: 'ok', served: 3, expiresAt: '2027-01-01T02:00:00.000Z' },
    { name: 'gate', state: 'starting', served: 0 },
  ]
  const lines = linesOf({ applications })
  expect(lines).toContain('application people-counter ok valid until 2027-01-01T02:00:00.000Z, served 3')
  expect(lines).toContain('application gate starting none yet, served 0')
})

test('shows where the key of the sealed copies comes from, and what is wrong with them', () => {
  const shown = (key: string): readonly string[] => linesOf({ cameraSealing: { key, state: 'ok' } })
  expect(linesOf().some((line) => line.startsWith('cameras sealing'))).toBe(false)
  expect(shown('file')).toContain(
    'cameras sealing ok key from a file of the agent: protects a copied file, not a stolen disk',
  )
  expect(shown('systemd-credential')).toContain(
    'cameras sealing ok key from the systemd credential panorama-agent.sealing-key',
  )
  const early = { key: 'none', state: 'starting' }
  expect(linesOf({ cameraSealing: early })).toContain('cameras sealing starting the key has not been looked for yet')
  const lastError = { name: 'SealingFault', message: 'the sealing key is no key', hint: 'put it back' }
  const lines = linesOf({ cameraSealing: { key: 'none', state: 'failing', lastError } })
  expect(lines).toContain('cameras sealing failing no key: nothing is kept for a reboot without network')
  expect(lines).toContain('error the sealing key is no key')
  expect(lines).toContain('hint put it back')
})

test('shows each hook of cameras with its own error', () => {
  const lastError = { name: 'AgentError', message: 'hook player: failed, exit-1' }
  const cameraHooks = [
    { name: 'player', state: 'failing', since, lastError, nextAttemptAt: since },
    { name: 'other', state: 'ok' },
  ]
  const lines = linesOf({ cameraHooks })
  expect(lines).toContain(
    `camera hook player failing after changes of camera files, since ${since}, next attempt ${since}`,
  )
  expect(lines).toContain('error hook player: failed, exit-1')
  expect(lines).toContain('camera hook other ok after changes of camera files')
})

test('shows the logs and, below, each source with its own error', () => {
  const file = { name: '/var/log/a', path: '/var/log/a', positionBytes: 10, sizeBytes: 20 }
  const source = { ...file, group: '/group', stream: 'a' }
  const lastError = { name: 'AgentError', message: 'cannot be read', hint: 'chmod it' }
  const sources = [{ ...source, state: 'failing', lastError }]
  const logs = logsPart({ accepted: 5, lost: 1, lostBytes: 7, pendingBytes: 10, sources })
  const lines = linesOf({ logs })
  const at = lines.indexOf('logs ok /group: 5 accepted, 1 lost and 7 bytes never read, 10 bytes pending')
  expect(lines.slice(at + 1, at + 4)).toEqual([
    'a failing /var/log/a: 10 of 20 bytes sent',
    'error cannot be read',
    'hint chmod it',
  ])
})

test('shows how far behind the logs are, what was left out of them, and what is not told yet', () => {
  const sources = [
    { state: 'ok', name: 'a.service', group: '/other', stream: 'a', backlogBytes: 30, lagSeconds: 7_200 },
    { state: 'ok', name: 'b.service', group: '/group', stream: 'b', lagSeconds: 10 },
  ]
  const lines = linesOf({
    logs: logsPart({ leftOut: 3, leftOutBytes: 4, pendingBytes: 30, gapsPending: 1, catchingUp: true, sources }),
  })
  expect(lines).toContain(
    'logs ok /group: 0 accepted, 0 lost, 3 left out, 4 bytes jumped over, 30 bytes pending, 1 gap record pending, catching up',
  )
  expect(lines).toContain('a ok a.service: 30 bytes pending, 7200 s behind, to /other')
  expect(lines).toContain('b ok b.service')
})

test('shows what went wrong, when, what to do, and when it tries again, below a part that fails', () => {
  const lastError = { name: 'AgentError', message: 'denied', hint: 'allow it', at: since }
  const nextAttemptAt = '2027-01-01T01:01:00.000Z'
  const lines = linesOf({ cameras: [{ name: 'dock-3', state: 'failing', since, lastError, nextAttemptAt }] })
  const at = lines.findIndex((line) => line.startsWith('camera dock-3 failing'))
  expect(lines[at]).toBe(`camera dock-3 failing version none yet, since ${since}, next attempt ${nextAttemptAt}`)
  expect(lines.slice(at + 1, at + 3)).toEqual([`error denied (${since})`, 'hint allow it'])
})

test('does not show the last error of a part that is well again', () => {
  const lastError = { name: 'AgentError', message: 'was denied' }
  expect(renderStatus(statusDocument({ cameras: [{ name: 'dock-3', state: 'ok', lastError }] }))).not.toContain(
    'denied',
  )
})

test('shows a worker that is overdue', () => {
  expect(linesOf({ overdue: ['cameras'] })).toContain(
    'cameras OVERDUE it neither ended nor progressed by its own deadline',
  )
})

test('shows which configuration is in use, and what is wrong with the one that should be', () => {
  const job = { jobId: 'job-1', executionNumber: 1 }
  const configuration = { version: 3, digest: '0123456789abcdef', state: 'trial', job, faults: [] } as const
  expect(linesOf({ configuration })).toContain('configuration trial version 3, job job-1, digest 0123456789ab')
  const faults = [
    { path: 'role.alias', message: 'is missing' },
    { path: '', message: 'unreadable' },
  ]
  const lines = linesOf({ configuration: { version: 0, digest: 'd', state: 'fallback', faults } })
  expect(lines).toEqual(
    expect.arrayContaining([
      'configuration fallback the base file alone',
      'error role.alias: is missing',
      'error unreadable',
    ]),
  )
})

test('shows the connection to AWS IoT Core, and what to do while there is none', () => {
  expect(linesOf().some((line) => line.startsWith('connection'))).toBe(false)
  expect(linesOf({ connection: { state: 'connected', since } })).toContain(
    `connection connected to AWS IoT Core, since ${since}`,
  )
  const lastError = { name: 'AgentError', message: 'not authorized (reason code 0x87)', hint: 'attach the thing' }
  const lines = linesOf({ connection: { state: 'down', since, lastError } })
  const at = lines.indexOf(`connection down to AWS IoT Core, since ${since}`)
  expect(lines.slice(at + 1, at + 3)).toEqual(['error not authorized (reason code 0x87)', 'hint attach the thing'])
})

test('shows the job that runs, the last one, and an end that the cloud does not know yet', () => {
  const current = { jobId: 'job-2', operation: 'sync-artifacts', status: 'IN_PROGRESS', at: since }
  const last = { jobId: 'job-1', operation: 'configure', status: 'FAILED', at: since }
  expect(linesOf().some((line) => line.startsWith('jobs'))).toBe(false)
  expect(linesOf({ jobs: { state: 'ok', unreported: 0 } })).toContain('jobs ok none runs')
  expect(linesOf({ jobs: { state: 'ok', current, last, unreported: 0 } })).toContain(
    `jobs ok sync-artifacts job-2 IN_PROGRESS at ${since}, last: configure job-1 FAILED at ${since}`,
  )
  const late = { ...last, status: 'SUCCEEDED', cloudStatus: 'CANCELED' }
  expect(linesOf({ jobs: { state: 'ok', last: late, unreported: 0 } })).toContain(
    `jobs ok none runs, last: configure job-1 SUCCEEDED at ${since} (CANCELED in AWS)`,
  )
  expect(linesOf({ jobs: { state: 'failing', last, unreported: 1 } })).toContain(
    `jobs failing none runs, last: configure job-1 FAILED at ${since}, its end is not reported yet`,
  )
})
