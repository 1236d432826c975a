import { expect, test } from 'vitest'

import { changesOf } from '../../../agent/status/status-changes.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import type { Transfer } from '../../../agent/status/transfer-bars.ts'
import { logsPart, statusDocument, unprovisionedStatus } from '../../support/status-document.ts'

const artifact = { state: 'ok', files: 3, bytes: 99, fetchedFiles: 0, fetchedBytes: 0, phase: 'idle', name: 'model' }
const lastError = { name: 'AgentError', message: 'denied', hint: 'allow it' }
const at = '2027-01-01T00:30:00.000Z'

function news(
  before: Partial<StatusDocument> | undefined,
  after: Partial<StatusDocument>,
  transfers: { readonly before?: readonly Transfer[]; readonly after?: readonly Transfer[] } = {},
): readonly string[] {
  const look = (change: Partial<StatusDocument>, going: readonly Transfer[] = []) => ({
    status: statusDocument(change),
    transfers: going,
  })
  return changesOf(before === undefined ? undefined : look(before, transfers.before), look(after, transfers.after))
}

test('says at first how it is, and then nothing while nothing happens', () => {
  expect(news(undefined, {})).toEqual(['All well: 0 artifacts, 0 cameras, 0 log files'])
  const later = { ...statusDocument().clock, now: '2027-01-01T01:00:01.000Z' }
  expect(news({}, { clock: later, logs: logsPart({ accepted: 7, pendingBytes: 5 }) })).toEqual([])
})

test('says what has begun to fail, why, what to do, and when it is well again', () => {
  const well = { cameras: [{ name: 'dock-3', state: 'ok', versionId: 'v1' }] }
  const failing = { cameras: [{ name: 'dock-3', state: 'failing', versionId: 'v1', lastError }] }
  expect(news(well, failing)).toEqual([
    'Failing: camera dock-3: denied',
    'to do: allow it',
    'camera dock-3, version v1: failing: denied',
  ])
  expect(news(failing, well)).toEqual(['All well: 0 artifacts, 1 camera, 0 log files', 'camera dock-3, version v1: ok'])
})

test('says what came: a release, credentials of a camera, a configuration, a job and its end, a loss', () => {
  const configuration = { version: 1, digest: 'd', state: 'accepted', faults: [] } as const
  const job = { jobId: 'job-1', operation: 'sync-artifacts', status: 'IN_PROGRESS', at }
  const before = {
    artifacts: [artifact],
    cameras: [{ name: 'dock-3', state: 'ok', versionId: 'v1' }],
    configuration,
    jobs: { state: 'ok', unreported: 0 },
  }
  expect(news(before, { ...before, artifacts: [{ ...artifact, releaseId: '0123456789abcdef' }] })).toEqual([
    'artifact model: release 0123456789ab is installed, 99 bytes',
  ])
  expect(news(before, { ...before, cameras: [{ name: 'dock-3', state: 'ok', versionId: 'v2' }] })).toEqual([
    'camera dock-3, version v2: new, ok',
  ])
  expect(news(before, { ...before, configuration: { ...configuration, version: 2 } })).toEqual([
    'configuration version 2: new, accepted',
  ])
  const running = { ...before, jobs: { state: 'ok', unreported: 0, current: job } }
  expect(news(before, running)).toEqual(['job job-1: sync-artifacts runs'])
  const ended = { ...before, jobs: { state: 'ok', unreported: 0, last: { ...job, status: 'SUCCEEDED' } } }
  expect(news(running, ended)).toEqual(['job job-1: sync-artifacts SUCCEEDED'])
  const endedAt = (end: string) => ({
    ...before,
    jobs: { state: 'ok', unreported: 0, last: { ...job, status: 'SUCCEEDED', at: end } } as const,
  })
  const first = endedAt('2026-11-23T01:00:00.000Z')
  expect(news(first, endedAt('2026-11-23T01:00:01.200Z'))).toEqual([]) // the clock was corrected
  expect(news(first, endedAt('2026-11-23T02:00:00.000Z'))).toEqual(['job job-1: sync-artifacts SUCCEEDED'])
  expect(news({}, { logs: logsPart({ lost: 3 }) })).toEqual(['logs: 3 more events were lost'])
})

test('says how a rotation of the certificate goes', () => {
  const { identity } = statusDocument()
  const rotated = { ...identity, rotation: { state: 'rotated', at, deactivate: 'old' } } as const
  const trial = { ...identity, rotation: { state: 'trial', at } } as const
  const failed = { ...identity, rotation: { state: 'failed', at, reason: 'no connection' } } as const
  expect(news({ identity }, { identity: trial })).toEqual(['rotation of the certificate: new, trial'])
  expect(news({ identity: trial }, { identity: rotated })).toEqual(['rotation of the certificate: rotated'])
  expect(news({ identity: trial }, { identity: failed })).toEqual([
    'rotation of the certificate: failed: no connection',
  ])
})

test('says how an update of the agent goes', () => {
  const versions = { from: '0.1.0', to: '0.2.0' }
  const trial = { update: { trial: { ...versions, phase: 'watching' } } }
  const confirmed = { update: { last: { ...versions, outcome: 'confirmed' } } }
  const back = { update: { last: { ...versions, outcome: 'rolled-back', reason: 'not confirmed' } } }
  expect(news({}, trial)).toEqual(['update of the agent to 0.2.0: new, trial'])
  expect(news(trial, confirmed)).toEqual(['update of the agent to 0.2.0: confirmed'])
  expect(news(trial, back)).toEqual(['update of the agent to 0.2.0: rolled-back: not confirmed'])
})

test('says what keeps an appliance from an identity, when that changes, and when it has one', () => {
  const refused = { status: unprovisionedStatus(), transfers: [] }
  const { claim, template } = refused.status.provisioning
  const asking = unprovisionedStatus({ provisioning: { state: 'starting', step: 'claim', claim, template } })
  const well = { status: statusDocument({ cameras: [{ name: 'dock-3', state: 'ok' }] }), transfers: [] }
  const news = ['Not provisioned: register: RegisterThing: 403 AccessDenied', 'to do: ask the hook']
  expect(changesOf(undefined, refused)).toEqual(news)
  expect(changesOf(refused, refused)).toEqual([])
  expect(changesOf({ status: asking, transfers: [] }, refused)).toEqual(news)
  expect(changesOf(refused, well)).toEqual(['provisioned as thing-1', 'All well: 0 artifacts, 1 camera, 0 log files'])
  expect(changesOf(well, refused)).toEqual(news)
})

test('says how far a transfer is at each tenth, and that it has ended', () => {
  const transfer = (bytes: number): readonly Transfer[] => [
    { what: 'artifact model: downloading', bytes, totalBytes: 1_000_000 },
  ]
  expect(news({}, {}, { after: transfer(0) })).toEqual(['artifact model: downloading 0 bytes of 1.0 MB (0 %)'])
  expect(news({}, {}, { before: transfer(110_000), after: transfer(190_000) })).toEqual([])
  expect(news({}, {}, { before: transfer(190_000), after: transfer(310_000) })).toEqual([
    'artifact model: downloading 310 kB of 1.0 MB (31 %)',
  ])
  expect(news({}, {}, { before: transfer(990_000) })).toEqual(['artifact model: downloading: no longer'])
})

test('passes no control character on', () => {
  const cameras = [{ name: 'dock\u001b[2J', state: 'failing', lastError: { ...lastError, message: 'a\nb' } }]
  expect(news({}, { cameras }).join('')).not.toMatch(/[\p{Cc}]/u)
})
