import { readFile } from 'node:fs/promises'

import fc from 'fast-check'
import { expect, test } from 'vitest'

import { healthOf, reportedState } from '../../../agent/status/reported-state.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import { logsPart, statusDocument } from '../../support/status-document.ts'

const since = '2027-01-01T00:30:00.000Z'
const releaseId = '0123456789abcdef'.repeat(4)
const versionId = '7c741511-283a-40ea-9244-72ae72501ab1'
/** "AWS IoT Device Shadow limits" */
const shadowBytes = 8_192

type Artifact = StatusDocument['artifacts'][number]
type Camera = StatusDocument['cameras'][number]

const artifact = (change: Partial<Artifact> = {}): Artifact => ({
  name: 'model',
  state: 'ok',
  phase: 'idle',
  since,
  releaseId,
  files: 1,
  bytes: 1,
  fetchedFiles: 1,
  fetchedBytes: 1,
  ...change,
})
const camera = (change: Partial<Camera> = {}): Camera => ({ name: 'dock-1', state: 'ok', since, versionId, ...change })
const many = <T>(count: number, one: (index: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, index) => one(index))
const bytesOf = (status: StatusDocument): number => Buffer.byteLength(JSON.stringify(reportedState(status)))

test('has its scalars at paths that stay, and details only of what is not well', () => {
  const manifest = { sequence: 4, version: '1.4', createdAt: since, verified: true }
  const state = reportedState(
    statusDocument({
      configuration: { version: 3, digest: releaseId, state: 'accepted', faults: [] },
      credentials: [{ name: 'role', state: 'ok', fetches: 1 }],
      artifacts: [artifact({ manifest })],
      cameras: [camera(), camera({ name: 'dock-2', state: 'pending' }), camera({ name: 'dock-3', state: 'unproven' })],
      logs: logsPart({ lost: 2, lostBytes: 30, gapsPending: 1 }),
    }),
  )
  expect(state).toEqual({
    agent: { version: '0.1.0', startedAt: '2027-01-01T00:00:00.000Z' },
    configuration: { version: 3, digest: '0123456789ab', state: 'accepted' },
    health: 'failing',
    workers: { credentials: 'ok', artifacts: 'ok', cameras: 'failing', logs: 'ok' },
    artifacts: { model: { state: 'ok', release: '0123456789ab', version: '1.4' } },
    artifactCount: 1,
    cameras: {
      total: 3,
      notWell: 2,
      lagging: 1,
      details: {
        'dock-2': { state: 'pending', versionId: '7c741511-283', since },
        'dock-3': { state: 'unproven', versionId: '7c741511-283', since },
      },
    },
    logs: { lost: 2, lostBytes: 30, gapsPending: 1 },
    certificate: { expiresAt: '2049-12-31T23:59:59.000Z' },
  })
})

test('names certificates that somebody has to deactivate', () => {
  const { identity } = statusDocument({})
  const at = since
  const rotated = { state: 'rotated', at, deactivate: 'old' } as const
  expect(reportedState(statusDocument({ identity: { ...identity, rotation: rotated } }))).toMatchObject({
    certificate: { rotation: 'rotated', rotationAt: at, deactivate: 'old' },
  })
  const failed = { state: 'failed', at, reason: 'not proven', orphan: 'new' } as const
  expect(reportedState(statusDocument({ identity: { ...identity, rotation: failed } }))).toMatchObject({
    certificate: { rotation: 'failed', orphan: 'new' },
  })
  const leftOver = [
    { certificateId: 'old', why: 'deactivate', at },
    { certificateId: 'older', why: 'orphan', at },
  ] as const
  expect(reportedState(statusDocument({ identity: { ...identity, leftOver } }))).toMatchObject({
    certificate: { leftOverCount: 2, leftOver: { old: 'deactivate', older: 'orphan' } },
  })
})

test('says since when an artifact is not well', () => {
  const state = reportedState(statusDocument({ artifacts: [artifact({ state: 'failing' })] }))
  expect(state).toMatchObject({ health: 'failing', artifacts: { model: { state: 'failing', since } } })
})

test('tells of an update on trial, and then how it ended, at once, and never until when a trial lasts', () => {
  const versions = { from: '0.1.0', to: '0.2.0' }
  const until = '2027-01-01T01:08:00.000Z'
  const trial = { ...versions, phase: 'watching', until }
  const last = { ...versions, outcome: 'rolled-back', at: since, reason: 'x'.repeat(2_000) }
  const onTrial = reportedState(
    statusDocument({
      update: { trial, last },
      configuration: { version: 3, digest: releaseId, state: 'trial', until, faults: [] },
    }),
  )
  expect(onTrial).toMatchObject({ update: { state: 'trial', ...versions } })
  expect(JSON.stringify(onTrial)).not.toContain(until)
  const ended = reportedState(statusDocument({ update: { last } }))
  const reason = 'x'.repeat(160)
  expect(ended).toHaveProperty('update', { state: 'rolled-back', ...versions, at: since, reason })
  const before = reportedState(statusDocument())
  expect(before).not.toHaveProperty('update')
  expect(healthOf(ended)).not.toBe(healthOf(before))
})

test('counts a worker that is overdue as not well', () => {
  expect(reportedState(statusDocument({ overdue: ['cameras'] }))).toMatchObject({ health: 'failing' })
})

test('is starting while a part is, and none is worse', () => {
  expect(reportedState(statusDocument({ cameras: [camera({ state: 'starting' })] }))).toMatchObject({
    health: 'starting',
    cameras: { notWell: 0 },
  })
})

test('does not change while only time goes by', () => {
  const at = (now: string, nextAttemptAt: string): unknown =>
    reportedState(
      statusDocument({
        clock: { now, offsetSeconds: 0, known: true },
        artifacts: [artifact({ nextAttemptAt, lastGoodAt: now })],
        cameras: [camera({ state: 'failing', nextAttemptAt })],
        logs: logsPart({ accepted: Date.parse(now), pendingBytes: Date.parse(now) % 100_000 }),
      }),
    )
  expect(at('2027-01-01T01:00:00.000Z', since)).toEqual(at('2027-02-01T01:00:07.000Z', '2027-02-01T01:01:00.000Z'))
})

test('holds instants, never ages', () => {
  const state = reportedState(statusDocument({ artifacts: [artifact({ state: 'failing' })] }))
  const text = JSON.stringify(state)
  expect(text).not.toMatch(/seconds|ago|age"|Ms"/i)
  for (const [, value] of text.matchAll(/"(?:since|startedAt|expiresAt)":("?[^",}]*)/g)) {
    expect(value).toMatch(/^"\d{4}-\d\d-\d\dT/)
  }
})

test('keeps within a shadow with 100 artifacts and 1,000 cameras that all fail', () => {
  const version = 'vé'.repeat(40)
  const why = 'deactivate' as const
  const manifest = { sequence: 1, version, createdAt: since, verified: true }
  const leftOver = many(20, (index) => ({ certificateId: String(index).padEnd(64, 'a'), why, at: since }))
  const status = statusDocument({
    identity: { ...statusDocument().identity, leftOver },
    artifacts: many(100, (index) =>
      artifact({ name: `artifact-${index}`.padEnd(64, 'x'), state: 'failing', manifest }),
    ),
    cameras: many(1_000, (index) => camera({ name: `camera-${index}`.padEnd(64, 'x'), state: 'failing' })),
  })
  expect(bytesOf(status)).toBeLessThan(shadowBytes)
  expect(reportedState(status)).toMatchObject({
    artifactCount: 100,
    cameras: { total: 1_000, notWell: 1_000 },
    certificate: { leftOverCount: 20 },
  })
})

test('drops no more details than it has to', () => {
  const some = statusDocument({ cameras: many(40, (index) => camera({ name: `dock-${index}`, state: 'failing' })) })
  expect(reportedState(some)).toMatchObject({ cameras: { details: { 'dock-0': {}, 'dock-39': {} } } })
  const more = statusDocument({ cameras: many(1_000, (index) => camera({ name: `dock-${index}`, state: 'failing' })) })
  expect(JSON.stringify(reportedState(more)).match(/"dock-/g)).toHaveLength(20)
})

test('is about 2 KB for an appliance of ten artifacts and thirty cameras, three of them not well', () => {
  const status = statusDocument({
    configuration: { version: 3, digest: releaseId, state: 'accepted', faults: [] },
    artifacts: many(10, (index) => artifact({ name: `artifact-${index}` })),
    cameras: many(30, (index) => camera({ name: `dock-${index}`, state: index < 3 ? 'failing' : 'ok' })),
  })
  expect(bytesOf(status)).toBeLessThan(2_048)
})

test('keeps within a shadow whatever the names and versions are', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 64 })
  const state = fc.constantFrom('ok', 'failing', 'pending', 'starting')
  const artifacts = fc.array(
    fc
      .record({ name: text, state, version: text })
      .map(({ version, ...rest }) =>
        artifact({ ...rest, manifest: { sequence: 1, version, createdAt: since, verified: false } }),
      ),
    { maxLength: 100 },
  )
  const cameras = fc.array(fc.record({ name: text, state }).map(camera), { maxLength: 200 })
  fc.assert(
    fc.property(artifacts, cameras, (someArtifacts, someCameras) => {
      expect(bytesOf(statusDocument({ artifacts: someArtifacts, cameras: someCameras }))).toBeLessThan(shadowBytes)
    }),
    { numRuns: 50 },
  )
})

test('takes a change of release, camera or configuration for news, and a log record that waits for none', () => {
  const health = (change: Partial<StatusDocument>): string => healthOf(reportedState(statusDocument(change)))
  const before = health({ artifacts: [artifact()], cameras: [camera()] })
  expect(health({ artifacts: [artifact({ releaseId: 'f'.repeat(64) })], cameras: [camera()] })).not.toBe(before)
  expect(health({ artifacts: [artifact()], cameras: [camera({ state: 'pending' })] })).not.toBe(before)
  expect(health({ artifacts: [artifact()], cameras: [camera()], logs: logsPart({ gapsPending: 1 }) })).toBe(before)
})

test('has every field that the queries of the README ask for', async () => {
  const { identity } = statusDocument({})
  const state: unknown = reportedState(
    statusDocument({
      identity: { ...identity, leftOver: [{ certificateId: 'old', why: 'deactivate', at: since }] },
      configuration: { version: 3, digest: releaseId, state: 'accepted', faults: [] },
      artifacts: [artifact({ name: 'people-counter' })],
      update: { last: { outcome: 'rolled-back', from: '0.1.0', to: '0.2.0' } },
    }),
  )
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8')
  const paths = [...readme.matchAll(/shadow\.name\.panorama-agent\.reported\.([\w.-]+)/g)].map(([, path = '']) => path)
  expect(new Set(paths).size).toBeGreaterThan(6)
  for (const path of paths) expect(state, path).toHaveProperty(path.split('.'))
})

test('names the artifact that is not well, however many are', () => {
  const well = many(99, (index) => artifact({ name: `model-${String(index).padStart(50, '0')}` }))
  const state = reportedState(statusDocument({ artifacts: [...well, artifact({ name: 'broken', state: 'failing' })] }))
  expect(state).toMatchObject({ artifactCount: 100, artifacts: { broken: { state: 'failing', since } } })
})
