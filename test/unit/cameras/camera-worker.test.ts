import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, describe, expect, test, vi } from 'vitest'

import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import type { CameraStatus } from '../../../agent/cameras/camera-states.ts'
import { CameraWorker, type CameraWorkerDeps } from '../../../agent/cameras/camera-worker.ts'
import type { SecretVersion } from '../../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { camerasConfig } from '../../support/cameras-config.ts'
import { FakeCopies } from '../../support/fake-copies.ts'
import { fakeCameraGroups } from '../../support/fake-camera-groups.ts'
import { FakeSecretReader } from '../../support/fake-secret-reader.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'
import { until } from '../../support/wait-until.ts'

const denied = new AgentError('access denied', { hint: 'allow secretsmanager:GetSecretValue' })

afterEach(() => {
  vi.useRealTimers()
})

/** What no test here is about: cameras take every credential. */
function aside(folder: TempFolder) {
  return {
    thingName: 'dock',
    probe: async () => await Promise.resolve({ kind: 'accepted' } as const),
    ledgerPath: join(folder.path, 'state', 'refusals.json'),
    hooks: { changed: () => undefined },
    cloudNow: () => Date.UTC(2027, 0, 1),
  }
}

function version(versionId: string, password = 'hunter2'): SecretVersion {
  return { versionId, text: JSON.stringify({ username: 'admin', password, streamUrl: 'rtsp://10.0.0.5/' }) }
}

/** A worker for cameras given as `{ name: secretId }`. */
function make(
  folder: TempFolder,
  streams: Readonly<Record<string, string>>,
  {
    reader = new FakeSecretReader(),
    ...more
  }: Partial<Pick<CameraWorkerDeps, 'cloudNow' | 'probe'>> & { readonly reader?: FakeSecretReader } = {},
) {
  const log = new RecordingLog()
  const cameras = camerasConfig({ streams: Object.entries(streams).map(([name, secretId]) => ({ name, secretId })) })
  const files = new CameraFiles(folder.path)
  const copies = new FakeCopies()
  const worker = new CameraWorker({
    cameras,
    reader,
    files,
    groups: fakeCameraGroups(),
    log,
    copies,
    ...aside(folder),
    ...more,
  })
  const status = (name: string): CameraStatus | undefined => worker.status().find((camera) => camera.name === name)
  return { worker, reader, log, status, copies }
}

async function fileOf(folder: TempFolder, name: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder.path, `${name}.json`), 'utf8'))
}

test('writes the file of every camera in its first pass', async () => {
  await using folder = await tempFolder()
  const { worker, reader, status, log } = make(folder, { 'dock-3': 'secret-a', 'dock-4': 'secret-b' })
  reader.set('secret-a', version('v1'))
  reader.set('secret-b', version('v7', 'other'))
  expect(status('dock-3')).toMatchObject({ state: 'starting', versionId: undefined })
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  expect(await fileOf(folder, 'dock-3')).toEqual({
    username: 'admin',
    password: 'hunter2',
    streamUrl: 'rtsp://10.0.0.5/',
    streamUrlWithCredentials: 'rtsp://admin:hunter2@10.0.0.5/',
    versionId: 'v1',
    changedAt: '2027-01-01T00:00:00.000Z',
  })
  expect(await fileOf(folder, 'dock-4')).toMatchObject({ password: 'other', versionId: 'v7' })
  expect(status('dock-4')).toMatchObject({ state: 'ok', versionId: 'v7', lastError: undefined })
  expect(log.messages('info')).toEqual(['camera credentials written', 'camera credentials written'])
})

test('seals what it writes, and again when the copy is of another version', async () => {
  await using folder = await tempFolder()
  const { worker, reader, copies } = make(folder, { 'dock-3': 'secret-a' })
  reader.set('secret-a', version('v1'))
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  expect(copies.held.get('dock-3')).toEqual(await fileOf(folder, 'dock-3'))
  copies.held.clear()
  await worker.refreshNow(undefined)
  expect(copies.held.get('dock-3')).toEqual(await fileOf(folder, 'dock-3'))
})

test('writes nothing while the version stays, and says nothing', async () => {
  await using folder = await tempFolder()
  const { worker, reader, log } = make(folder, { 'dock-3': 'secret-a' })
  reader.set('secret-a', version('v1'))
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  const before = await stat(join(folder.path, 'dock-3.json'))
  const said = log.entries.length
  await worker.refreshNow(undefined)
  const after = await stat(join(folder.path, 'dock-3.json'))
  expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs])
  expect(log.entries).toHaveLength(said)
})

test('follows a rotation and tells when it changed', async () => {
  await using folder = await tempFolder()
  let nowMs = Date.UTC(2027, 0, 1)
  const { worker, reader, status } = make(folder, { 'dock-3': 'secret-a' }, { cloudNow: () => nowMs })
  reader.set('secret-a', version('v1'))
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  expect(status('dock-3')?.changedAt).toBe('2027-01-01T00:00:00.000Z')
  nowMs += 1000
  reader.set('secret-a', version('v2', 'rotated'))
  await worker.refreshNow(undefined)
  expect(await fileOf(folder, 'dock-3')).toMatchObject({ password: 'rotated', versionId: 'v2' })
  expect(status('dock-3')?.versionId).toBe('v2')
  expect(status('dock-3')?.changedAt).toBe('2027-01-01T00:00:01.000Z')
})

test('keeps the last good file when the secret is malformed, and shows no value', async () => {
  await using folder = await tempFolder()
  const { worker, reader, status, log } = make(folder, { 'dock-3': 'secret-a' })
  reader.set('secret-a', version('v1'))
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  reader.set('secret-a', { versionId: 'v2', text: '{"username":"leaked"}' })
  await expect(worker.refreshNow('dock-3')).rejects.toThrow('cannot be read as camera credentials')
  expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v1' })
  expect(status('dock-3')).toMatchObject({ state: 'failing', versionId: 'v1' })
  expect(JSON.stringify([log.entries, worker.status()])).not.toContain('leaked')
})

test('does not let a failing camera, nor one that hangs, hold up the others', async () => {
  await using folder = await tempFolder()
  const { worker, reader, status } = make(folder, { bad: 'secret-a', stuck: 'secret-b', good: 'secret-c' })
  reader.set('secret-a', denied)
  reader.hold('secret-b')
  reader.set('secret-c', version('v1'))
  await using _ = running(worker.worker)
  await vi.waitFor(() => {
    expect(status('good')?.state).toBe('ok')
  })
  expect(status('bad')).toMatchObject({ state: 'failing', lastError: { message: 'access denied' } })
  expect(await fileOf(folder, 'good')).toMatchObject({ versionId: 'v1' })
})

test('reports which cameras failed, with the hint, and recovers on its own after a short time', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  await using folder = await tempFolder()
  const { worker, reader, status, log } = make(folder, { 'dock-3': 'secret-a', 'dock-4': 'secret-b' })
  reader.set('secret-a', denied)
  reader.set('secret-b', version('v1'))
  await using _ = running(worker.worker)
  await expect(worker.refreshNow(undefined)).rejects.toMatchObject({
    message: '1 of 2 cameras failed, dock-3: access denied',
    hint: 'allow secretsmanager:GetSecretValue',
  })
  expect(worker.worker.health().state).toBe('failing')
  reader.set('secret-a', version('v1'))
  await vi.waitFor(async () => {
    await vi.advanceTimersByTimeAsync(30_000)
    expect(status('dock-3')?.state).toBe('ok')
  })
  await vi.waitFor(() => {
    expect(worker.worker.health().state).toBe('ok')
  })
  expect(log.messages('error')).toEqual(['camera keeps its last credentials'])
  expect(log.messages('info')).toContain('camera refreshed again')
})

test('stops in the middle of a pass, and does not call that a failure', async () => {
  await using folder = await tempFolder()
  const { worker, reader, status, log } = make(folder, { 'dock-3': 'secret-a' })
  reader.hold('secret-a')
  const run = running(worker.worker)
  const refreshed = expect(worker.refreshNow(undefined)).rejects.toThrow()
  await vi.waitFor(() => {
    expect(reader.calls).toHaveLength(1)
  })
  await run.stop()
  await refreshed
  expect(status('dock-3')).toMatchObject({ state: 'starting', lastError: undefined })
  expect(log.entries).toEqual([])
})

describe('a refresh that whoever asked for it gives up', () => {
  /** Two cameras whose files are written and whose secrets have changed since. */
  async function changed(folder: TempFolder) {
    const made = make(folder, { 'dock-3': 'secret-a', 'dock-4': 'secret-b' })
    for (const secretId of ['secret-a', 'secret-b']) made.reader.set(secretId, version('v1'))
    const run = running(made.worker.worker)
    await made.worker.refreshNow(undefined)
    for (const secretId of ['secret-a', 'secret-b']) made.reader.set(secretId, version('v2'))
    return { ...made, [Symbol.asyncDispose]: () => run[Symbol.asyncDispose]() }
  }

  test('begins no other camera, but those that somebody else asked for', async () => {
    await using folder = await tempFolder()
    await using site = await changed(folder)
    const { worker, reader } = site
    const end = new AbortController()
    reader.beforeAnswer = () => {
      end.abort(new Error('the job was withdrawn'))
    }
    const others = worker.refreshNow('dock-4')
    await worker.refreshNow(undefined, end.signal).catch(() => undefined)
    await others
    expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v1' })
    expect(await fileOf(folder, 'dock-4')).toMatchObject({ versionId: 'v2' })
    reader.beforeAnswer = () => undefined
    await worker.refreshNow(undefined)
    expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v2' })
  })

  test('reads nothing where it had not begun', async () => {
    await using folder = await tempFolder()
    await using site = await changed(folder)
    const { worker, reader } = site
    const end = new AbortController()
    const answered = Promise.withResolvers<undefined>()
    reader.beforeAnswer = async () => {
      await answered.promise
    }
    const before = reader.calls.length
    const first = worker.refreshNow('dock-4')
    await until(() => reader.calls.length > before)
    const second = worker.refreshNow('dock-3', end.signal)
    end.abort(new Error('the job was withdrawn'))
    answered.resolve(undefined)
    await Promise.all([first, second.catch(() => undefined)])
    expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v1' })
    expect(reader.calls.slice(before)).toEqual(['secret-b'])
    await expect(worker.refreshNow('dock-3', end.signal)).rejects.toThrow('the job was withdrawn')
  })
})

test('tells a refresh that a stop cut short that it failed, not that it went well', async () => {
  await using folder = await tempFolder()
  const { worker, reader } = make(folder, { 'dock-3': 'secret-a' })
  reader.set('secret-a', version('v1'))
  const run = running(worker.worker)
  await worker.refreshNow(undefined)
  reader.hold('secret-a')
  const callsBefore = reader.calls.length
  const answers = [worker.refreshNow(undefined), worker.refreshNow('dock-3')].map(async (answer) => {
    return await answer.then(
      () => 'went well',
      () => 'failed',
    )
  })
  await vi.waitFor(() => {
    expect(reader.calls.length).toBeGreaterThan(callsBefore)
  })
  await run.stop()
  expect(await Promise.all(answers)).toEqual(['failed', 'failed'])
})

test('reports the version on disk after a restart without network, and keeps the file', async () => {
  await using folder = await tempFolder()
  const first = make(folder, { 'dock-3': 'secret-a' })
  first.reader.set('secret-a', version('v1'))
  const run = running(first.worker.worker)
  await first.worker.refreshNow(undefined)
  await run.stop()

  const second = make(folder, { 'dock-3': 'secret-a' })
  second.reader.set('secret-a', new AgentError('no network', { retryable: true }))
  await using _ = running(second.worker.worker)
  await expect(second.worker.refreshNow(undefined)).rejects.toThrow('no network')
  expect(second.status('dock-3')).toMatchObject({ state: 'failing', versionId: 'v1' })
  expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v1', password: 'hunter2' })
})

test('removes the file of a camera that is not configured any more', async () => {
  await using folder = await tempFolder()
  const first = make(folder, { gone: 'secret-a', kept: 'secret-a' })
  first.reader.set('secret-a', version('v1'))
  const run = running(first.worker.worker)
  await first.worker.refreshNow(undefined)
  await run.stop()
  const second = make(folder, { kept: 'secret-a' }, { reader: first.reader })
  await using _ = running(second.worker.worker)
  await second.worker.refreshNow(undefined)
  expect(await readdir(folder.path)).toEqual(['kept.json'])
})

test('asks once for a secret that many cameras share', async () => {
  await using folder = await tempFolder()
  const names = Array.from({ length: 50 }, (_, index) => `camera-${index}`)
  const streams = Object.fromEntries(names.map((name) => [name, 'shared']))
  const { worker, reader } = make(folder, streams)
  reader.set('shared', version('v1'))
  await using _ = running(worker.worker)
  await until(() => worker.worker.health().passes === 1)
  expect(reader.calls).toEqual(['shared'])
  expect(await readdir(folder.path)).toHaveLength(50)
})

test('answers a refresh of one camera by how that camera fared', async () => {
  await using folder = await tempFolder()
  const { worker, reader } = make(folder, { bad: 'secret-a', good: 'secret-b' })
  reader.set('secret-a', denied)
  reader.set('secret-b', version('v1'))
  await using _ = running(worker.worker)
  await worker.refreshNow('good')
  expect(await fileOf(folder, 'good')).toMatchObject({ versionId: 'v1' })
  await expect(worker.refreshNow('bad')).rejects.toMatchObject({
    message: 'access denied',
    hint: 'allow secretsmanager:GetSecretValue',
  })
})

test('rests well when there are no cameras', async () => {
  await using folder = await tempFolder()
  const { worker, reader } = make(folder, {})
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  expect(worker.worker.health().state).toBe('ok')
  expect(reader.calls).toEqual([])
})

describe('a camera with a group', () => {
  const isRoot = process.getuid?.() === 0
  if (!isRoot) console.log('skipped, because only root can give files to any group: camera files with a group')
  const viewers = 60_124
  const others = 60_125

  interface Readers {
    readonly mode: number
    readonly gid: number
  }

  async function readersOf(folder: TempFolder, name: string): Promise<Readers> {
    const { mode, gid } = await stat(join(folder.path, `${name}.json`))
    return { mode: mode & 0o7777, gid }
  }

  interface Stream {
    readonly name: string
    readonly secretId: string
    readonly group?: string
  }

  /** A pass of a worker of its own, as after a change of the configuration. */
  async function refresh(folder: TempFolder, streams: readonly Stream[], reader: FakeSecretReader) {
    const log = new RecordingLog()
    const cameras = camerasConfig({ streams: [...streams] })
    const groups = fakeCameraGroups({ viewers, others })
    const files = new CameraFiles(folder.path)
    const copies = new FakeCopies()
    const worker = new CameraWorker({ cameras, reader, files, groups, log, copies, ...aside(folder) })
    await using _ = running(worker.worker)
    await worker.refreshNow(undefined).catch(() => undefined)
    return { log, statuses: worker.status() }
  }

  const own = process.getegid?.() ?? 0
  const secretId = 'secret-a'

  test.runIf(isRoot)('has a file that its group may read', async () => {
    await using folder = await tempFolder()
    const reader = new FakeSecretReader()
    reader.set(secretId, version('v1'))
    await refresh(folder, [{ name: 'dock-3', secretId, group: 'viewers' }], reader)
    expect(await readersOf(folder, 'dock-3')).toEqual({ mode: 0o640, gid: viewers })
    expect(await fileOf(folder, 'dock-3')).toMatchObject({ password: 'hunter2' })
  })

  test.runIf(isRoot)('has other readers when its group changes, though the version does not', async () => {
    await using folder = await tempFolder()
    const reader = new FakeSecretReader()
    reader.set(secretId, version('v1'))
    const camera = { name: 'dock-3', secretId }
    const seen: Readers[] = []
    for (const stream of [camera, { ...camera, group: 'viewers' }, { ...camera, group: 'others' }, camera]) {
      await refresh(folder, [stream], reader)
      seen.push(await readersOf(folder, 'dock-3'))
    }
    expect(seen).toEqual([
      { mode: 0o600, gid: own },
      { mode: 0o640, gid: viewers },
      { mode: 0o640, gid: others },
      { mode: 0o600, gid: own },
    ])
  })

  test.runIf(isRoot)('is not written again while nothing changes', async () => {
    await using folder = await tempFolder()
    const reader = new FakeSecretReader()
    reader.set(secretId, version('v1'))
    const streams = [{ name: 'dock-3', secretId, group: 'viewers' }]
    await refresh(folder, streams, reader)
    const before = await stat(join(folder.path, 'dock-3.json'))
    await refresh(folder, streams, reader)
    const after = await stat(join(folder.path, 'dock-3.json'))
    expect(after.ino).toBe(before.ino)
  })

  test('that is missing is at fault by name, keeps its file, and holds up no camera with the same secret', async () => {
    await using folder = await tempFolder()
    const reader = new FakeSecretReader()
    reader.set(secretId, version('v1'))
    await refresh(folder, [{ name: 'dock-3', secretId }], reader)
    reader.set(secretId, version('v2', 'newer'))
    const streams = [
      { name: 'dock-3', secretId, group: 'nobody-here' },
      { name: 'dock-4', secretId },
    ]
    const { statuses, log } = await refresh(folder, streams, reader)
    expect(statuses).toMatchObject([
      {
        name: 'dock-3',
        state: 'failing',
        versionId: 'v1',
        lastError: { message: 'the group nobody-here is missing', hint: 'join nobody-here' },
      },
      { name: 'dock-4', state: 'ok', versionId: 'v2' },
    ])
    expect(await fileOf(folder, 'dock-3')).toMatchObject({ versionId: 'v1' })
    expect(log.messages('error')).toEqual(['camera keeps its last credentials'])
  })
})
