import { expect, test } from 'vitest'

import { colourPaint } from '../../../agent/lib/terminal-text.ts'
import { renderStatus } from '../../../agent/status/render-status.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import { logsPart, statusDocument } from '../../support/status-document.ts'

/** Half an hour before the instant of the document. */
const since = '2027-01-01T00:30:00.000Z'
/** 40 s after it. */
const soon = '2027-01-01T01:00:40.000Z'
const artifact = { state: 'ok', files: 3, bytes: 99, fetchedFiles: 0, fetchedBytes: 0, phase: 'idle' }

/** The lines with their columns set one blank apart. */
function linesOf(change: Partial<StatusDocument> = {}): readonly string[] {
  return renderStatus(statusDocument(change))
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
}

/** What stands above the parts. */
function head(change: Partial<StatusDocument> = {}): readonly string[] {
  const lines = linesOf(change)
  return lines.slice(0, lines.indexOf(''))
}

test('says first that all is well, or what is wrong and what to do', () => {
  expect(head()).toEqual(['All well: 0 artifacts, 0 cameras, 0 log files'])
  const lastError = { name: 'AgentError', message: 'denied', hint: 'allow it' }
  expect(head({ cameras: [{ name: 'dock-3', state: 'failing', lastError }] })).toEqual([
    'Failing: camera dock-3: denied',
    'To do: allow it',
  ])
  expect(head({ cameras: [{ name: 'dock-3', state: 'failing' }] })[1]).toBe(
    'To do: panorama-agent doctor looks for the cause, panorama-agent logs shows what led to it',
  )
  expect(head({ overdue: ['cameras'] })[0]).toBe('Stuck: cameras')
  expect(head({ cameras: [{ name: 'dock-3', state: 'starting' }] })).toEqual(['Starting: camera dock-3'])
})

test('notes what no part fails for: a certificate near its end, a clock that is off, a trial, lost logs', () => {
  const clock = { now: '2027-01-01T01:00:00.000Z', offsetSeconds: -7_200, known: true }
  const notes = head({
    clock,
    identity: { state: 'ok', certificateExpiresAt: '2027-01-13T04:00:00.000Z' },
    configuration: { version: 1, digest: 'd', state: 'trial', faults: [] },
    logs: logsPart({ lost: 1, lostBytes: 7 }),
  }).slice(1)
  expect(notes).toEqual([
    'Note: the certificate runs out in 12 d 3 h: it has to be replaced before',
    'Note: the system clock is 2 h ahead: see to its synchronisation',
    'Note: a new configuration is on trial, and goes back unless it proves itself',
    'Note: logs were lost since the agent started: 1 event and 7 bytes never read',
  ])
  const unknown = { clock: { ...clock, offsetSeconds: 0, known: false } }
  expect(head({ ...unknown, identity: { state: 'ok', certificateExpiresAt: since } })).toHaveLength(1)
})

test('shows the way to the cloud, and says when the bytes of the month are used up', () => {
  const traffic = { month: '2027-01', bytes: 3_000_000_000, maxBytes: 3_000_000_000, state: 'paused' } as const
  const network = { proxy: 'proxy.local:3128', traffic: { ...traffic, until: '2027-02-01T00:00:00.000Z' } }
  expect(head({ network })).toContain(
    "Note: this month's bytes are used up: downloads and log uploads wait for the next month",
  )
  expect(renderStatus(statusDocument({ network }))).toMatch(
    /^network +paused +by the proxy proxy\.local:3128, 3\.0 GB of 3\.0 GB in 2027-01, downloads and log uploads wait for \d+ d/m,
  )
})

test('shows agent, device and identity, and ends with a line break', () => {
  expect(linesOf()).toContain('agent running version 0.1.0, pid 42, for 1 h')
  expect(linesOf()).toContain('device dock-1, thing thing-1, id device-1, region us-west-2')
  expect(linesOf()).toContain('identity ok certificate valid until 2049-12-31')
  expect(linesOf({ identity: { state: 'ok', certificateExpiresAt: since } })).toContain(
    'identity ok certificate ran out 30 min ago',
  )
  expect(renderStatus(statusDocument())).toMatch(/[^\n]\n$/)
})

test('shows the last rotation of the certificate where somebody has to know of it', () => {
  type Identity = StatusDocument['identity']
  const shown = (rotation: NonNullable<Identity['rotation']>, leftOver: NonNullable<Identity['leftOver']> = []) => {
    const change = { identity: { ...statusDocument().identity, rotation, leftOver } }
    const lines = linesOf(change)
    const at = lines.findIndex((line) => line.startsWith('identity'))
    return { notes: head(change).slice(1), lines: lines.slice(at, at + 2).filter((line) => !line.startsWith('logs')) }
  }
  const id = '0123456789abcdef'.repeat(4)
  const valid = 'identity ok certificate valid until 2049-12-31'
  expect(shown({ state: 'under-way', at: since })).toEqual({
    notes: [],
    lines: [`${valid}, its rotation is under way for 30 min`],
  })
  expect(shown({ state: 'under-way', at: since, reason: 'no answer' })).toEqual({
    notes: ['Note: the rotation of the certificate does not get on: no answer'],
    lines: [`${valid}, its rotation is under way for 30 min`, 'error rotation: no answer'],
  })
  expect(shown({ state: 'trial', at: since })).toEqual({
    notes: ['Note: a new certificate is on trial, and the one before comes back unless it proves itself'],
    lines: [`${valid}, on trial for 30 min`],
  })
  const before = { certificateId: id, why: 'deactivate', at: since } as const
  const orphan = { ...before, why: 'orphan' } as const
  expect(shown({ state: 'rotated', at: since, deactivate: id }, [before])).toEqual({
    notes: [],
    lines: [`${valid}, rotated 30 min ago, the one before, 0123456789ab, can be deactivated in AWS IoT`],
  })
  expect(shown({ state: 'failed', at: since, reason: 'no\u001b[2J connection', orphan: id }, [orphan])).toEqual({
    notes: ['Note: the last rotation of the certificate failed: no\\x1b[2J connection'],
    lines: [
      `${valid}, a rotation failed 30 min ago, the one that was given up, 0123456789ab, can be deactivated in AWS IoT`,
      'error rotation: no\\x1b[2J connection',
    ],
  })
  expect(shown({ state: 'rotated', at: since }, [orphan, orphan, before]).lines).toEqual([
    `${valid}, rotated 30 min ago, the one before, 0123456789ab, and 2 more can be deactivated in AWS IoT`,
  ])
  expect(shown({ state: 'failed', at: since, reason: 'x'.repeat(900) }).notes).toEqual([
    `Note: the last rotation of the certificate failed: ${'x'.repeat(160)}...`,
  ])
})

test('names a device once where name, id and thing are the same', () => {
  const device = { thingName: 'dock-1', id: 'dock-1', name: 'dock-1', region: 'us-west-2' }
  expect(linesOf({ device })).toContain('device thing dock-1, region us-west-2')
})

test('shows what came of setting a clock that is off', () => {
  const lastStep = { result: 'refused', code: 'verb-not-allowed', at: since }
  const clock = { now: '2027-01-01T01:00:00.000Z', offsetSeconds: 7_200, known: true, lastStep }
  expect(linesOf({ clock })).toContain(
    'clock known 2027-01-01 01:00:00 UTC, the system clock is 2 h behind, setting it: refused, verb-not-allowed (30 min ago)',
  )
})

test('shows whether the time is known', () => {
  expect(linesOf()).toContain('clock known 2027-01-01 01:00:00 UTC')
  const clock = { now: since, offsetSeconds: 0, known: false }
  expect(linesOf({ clock })).toContain('clock unconfirmed 2027-01-01 00:30:00 UTC, no server has told the time yet')
})

test('shows how long credentials hold', () => {
  const held = { name: 'role', state: 'ok', since, fetches: 1, expiresAt: '2027-01-01T02:00:00.000Z' }
  const none = { name: 'base', state: 'starting', fetches: 0 }
  const lines = linesOf({ credentials: [held, none, { ...held, name: 'old', expiresAt: since }] })
  expect(lines).toContain('role ok valid for 1 h')
  expect(lines).toContain('base starting none yet')
  expect(lines).toContain('old ok ran out 30 min ago')
})

test('shows an artifact with its release, and what it is doing', () => {
  const installed = { ...artifact, releaseId: '0123456789abcdef0123' }
  const progress = { files: 1, totalFiles: 3, bytes: 1_500, totalBytes: 3_000_000 }
  const lines = linesOf({
    artifacts: [
      { ...installed, name: 'installed', lastGoodAt: since },
      { ...installed, name: 'listing', phase: 'listing', files: 1 },
      { ...installed, name: 'busy', phase: 'downloading', progress },
      { ...installed, name: 'late', phase: 'waiting', waitsUntil: soon },
      { ...artifact, name: 'empty' },
    ],
  })
  expect(lines).toContain('artifact installed ok release 0123456789ab, 3 files, 99 bytes, checked 30 min ago')
  expect(lines).toContain('artifact listing ok release 0123456789ab, 1 file, 99 bytes, listing')
  expect(lines).toContain('artifact busy ok release 0123456789ab, 3 files, 99 bytes, downloading 1.5 kB of 3.0 MB')
  expect(lines).toContain('artifact late ok release 0123456789ab, 3 files, 99 bytes, downloads wait for 40 s')
  expect(lines).toContain('artifact empty ok no release yet')
})

test('shows a camera with the version of its secret', () => {
  const cameras = [
    { name: 'dock-3', state: 'ok', versionId: 'e84cc003-d11d', changedAt: since },
    { name: 'dock-4', state: 'pending', detail: 'the camera is not reachable' },
  ]
  expect(linesOf({ cameras })).toContain('camera dock-3 ok version e84cc003, written 30 min ago')
  expect(linesOf({ cameras })).toContain('camera dock-4 pending no credentials yet, the camera is not reachable')
})

test('lists of many cameras only those that are not well', () => {
  const cameras = Array.from({ length: 12 }, (_, index) => ({ name: `dock-${index}`, state: 'ok' }))
  expect(linesOf({ cameras })).toContain('cameras ok all 12 are well')
  const lines = linesOf({ cameras: [...cameras, { name: 'gate', state: 'failing' }] })
  expect(lines.filter((line) => line.startsWith('camera'))).toEqual([
    'camera gate failing no credentials yet',
    'cameras ok 12 of 13 are well',
  ])
})

test('shows an application with the end of its credentials and how often it got them', () => {
  const applications = [
    { name: 'people-counter', state: 'ok', served: 3, expiresAt: '2027-01-01T02:00:00.000Z' },
    { name: 'gate', state: 'starting', served: 0 },
  ]
  const lines = linesOf({ applications })
  expect(lines).toContain('application people-counter ok valid for 1 h, served 3')
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
    { name: 'player', state: 'failing', since, lastError, nextAttemptAt: soon },
    { name: 'other', state: 'ok' },
  ]
  const lines = linesOf({ cameraHooks })
  expect(lines).toContain('camera hook player failing after changes of camera files, for 30 min, next attempt in 40 s')
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
  const at = lines.indexOf('logs ok 5 accepted, 1 lost and 7 bytes never read, 10 bytes waiting, to /group')
  expect(lines.slice(at + 1, at + 4)).toEqual([
    'a failing /var/log/a: 10 bytes waiting',
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
    'logs ok 0 accepted, 0 lost, 3 left out, 4 bytes jumped over, 30 bytes waiting, 1 gap record waiting, catching up, to /group',
  )
  expect(lines).toContain('a ok a.service: 30 bytes waiting, 2 h behind, to /other')
  expect(lines).toContain('b ok b.service')
})

test('shows what went wrong, when, what to do, and when it tries again, below a part that fails', () => {
  const lastError = { name: 'AgentError', message: 'denied', hint: 'allow it', at: since }
  const lines = linesOf({ cameras: [{ name: 'dock-3', state: 'failing', since, lastError, nextAttemptAt: soon }] })
  const at = lines.findIndex((line) => line.startsWith('camera dock-3 failing'))
  expect(lines[at]).toBe('camera dock-3 failing no credentials yet, for 30 min, next attempt in 40 s')
  expect(lines.slice(at + 1, at + 3)).toEqual(['error denied (30 min ago)', 'hint allow it'])
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
  expect(linesOf({ configuration: { ...configuration, until: soon } })).toContain(
    'configuration trial version 3, job job-1, digest 0123456789ab, goes back in 40 s unless it proves itself',
  )
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
    'connection connected to AWS IoT Core for 30 min',
  )
  const lastError = { name: 'AgentError', message: 'not authorized (reason code 0x87)', hint: 'attach the thing' }
  const lines = linesOf({ connection: { state: 'down', since, lastError } })
  const at = lines.indexOf('connection down to AWS IoT Core, for 30 min')
  expect(lines.slice(at + 1, at + 3)).toEqual(['error not authorized (reason code 0x87)', 'hint attach the thing'])
})

test('shows the job that runs, the last one, and an end that the cloud does not know yet', () => {
  const current = { jobId: 'job-2', operation: 'sync-artifacts', status: 'IN_PROGRESS', at: since }
  const last = { jobId: 'job-1', operation: 'configure', status: 'FAILED', at: since }
  expect(linesOf().some((line) => line.startsWith('jobs'))).toBe(false)
  expect(linesOf({ jobs: { state: 'ok', unreported: 0 } })).toContain('jobs ok none runs')
  expect(linesOf({ jobs: { state: 'ok', current, last, unreported: 0 } })).toContain(
    'jobs ok sync-artifacts job-2 IN_PROGRESS, 30 min ago; last: configure job-1 FAILED, 30 min ago',
  )
  const late = { ...last, status: 'SUCCEEDED', cloudStatus: 'CANCELED' }
  expect(linesOf({ jobs: { state: 'ok', last: late, unreported: 0 } })).toContain(
    'jobs ok none runs; last: configure job-1 SUCCEEDED, 30 min ago (CANCELED in AWS)',
  )
  const refused = { ...last, endRefused: 'InvalidRequest' }
  expect(linesOf({ jobs: { state: 'ok', last: refused, unreported: 0 } })).toContain(
    'jobs ok none runs; last: configure job-1 FAILED, 30 min ago (AWS does not take its end: InvalidRequest)',
  )
  expect(linesOf({ jobs: { state: 'failing', last, unreported: 1 } })).toContain(
    'jobs failing none runs; last: configure job-1 FAILED, 30 min ago; its end is not reported yet',
  )
})

test('breaks lines at the width of the terminal, with the text below the text', () => {
  const lastError = { name: 'AgentError', message: 'denied '.repeat(30).trim(), hint: 'x'.repeat(100) }
  const status = statusDocument({ cameras: [{ name: 'dock-3', state: 'failing', lastError }] })
  for (const width of [30, 40, 80, 132]) {
    const longest = Math.max(
      ...renderStatus(status, { width })
        .split('\n')
        .map((line) => line.length),
    )
    expect(longest).toBeLessThanOrEqual(width)
  }
  expect(renderStatus(status, { width: 80 })).toContain(
    [
      'camera dock-3 failing no credentials yet',
      '              error   denied denied denied denied denied denied denied denied',
      '                      denied denied denied denied denied denied denied denied',
    ].join('\n'),
  )
})

test('colours what is wrong, only where colours are asked for', () => {
  const failing = statusDocument({ cameras: [{ name: 'dock-3', state: 'failing' }] })
  expect(renderStatus(failing, { paint: colourPaint })).toContain('\u001b[31mFailing: camera dock-3\u001b[0m')
  expect(renderStatus(statusDocument(), { paint: colourPaint })).toContain('\u001b[32mAll well')
  expect(renderStatus(failing)).not.toContain('\u001b')
})

test('passes no control character on, wherever it comes from', () => {
  const evil = 'a\u001b]0;owned\u0007\nb\u202e\u009bc'
  const status = statusDocument({
    cameras: [{ name: evil, state: 'failing', lastError: { name: evil, message: evil, hint: evil } }],
    logs: logsPart({ group: evil, sources: [{ state: evil, name: evil, group: evil, stream: evil }] }),
  })
  const text = renderStatus(status)
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
  expect(text).toContain('a\\x1b]0;owned\\x07\\x0ab\\u{202e}\\x9bc')
})
