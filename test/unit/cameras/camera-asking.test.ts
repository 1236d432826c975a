import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test, vi } from 'vitest'

import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import type { CameraStatus } from '../../../agent/cameras/camera-states.ts'
import { CameraWorker } from '../../../agent/cameras/camera-worker.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { camerasConfig } from '../../support/cameras-config.ts'
import { FakeCameras } from '../../support/fake-cameras.ts'
import { FakeCopies } from '../../support/fake-copies.ts'
import { fakeCameraGroups } from '../../support/fake-camera-groups.ts'
import { FakeSecretReader } from '../../support/fake-secret-reader.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

/** Cameras whose names are their secrets' as well; all take `one`. */
function make(folder: TempFolder, names: readonly string[]) {
  const reader = new FakeSecretReader()
  const cameras = new FakeCameras()
  const log = new RecordingLog()
  const rotate = (name: string, password: string, host = name): string =>
    reader.store(name, JSON.stringify({ username: 'admin', password, streamUrl: `rtsp://${host}/` }))
  for (const name of names) {
    cameras.put(name, 'one')
    rotate(name, 'one')
  }
  const files = new CameraFiles(join(folder.path, 'run'))
  const start = (configured = names): CameraWorker =>
    new CameraWorker({
      cameras: camerasConfig({ streams: configured.map((name) => ({ name, secretId: name })) }),
      thingName: 'dock',
      reader,
      probe: cameras.probe,
      files,
      copies: new FakeCopies(),
      groups: fakeCameraGroups(),
      hooks: { changed: () => undefined },
      ledgerPath: join(folder.path, 'state', 'refusals.json'),
      cloudNow: () => Date.now(),
      log,
    })
  return { reader, cameras, files, log, rotate, start }
}

function stateOf(worker: CameraWorker, name: string): CameraStatus['state'] | undefined {
  return worker.status().find((camera) => camera.name === name)?.state
}

async function fileOf(folder: TempFolder, name: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder.path, 'run', `${name}.json`), 'utf8'))
}

test('does not let a camera that hangs hold up others, those on its host excepted', async () => {
  await using folder = await tempFolder()
  const { cameras, start } = make(folder, ['stuck', 'good', 'better'])
  cameras.beforeAnswer = async (host, signal) => {
    if (host !== 'stuck') return
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  }
  const worker = start()
  await using _ = running(worker.worker)
  await vi.waitFor(() => {
    expect([stateOf(worker, 'good'), stateOf(worker, 'better')]).toEqual(['ok', 'ok'])
  })
  expect(stateOf(worker, 'stuck')).toBe('starting')
})

test('reads the secret of the camera that is asked for, and no other', async () => {
  await using folder = await tempFolder()
  const { reader, start } = make(folder, ['left', 'right'])
  const worker = start()
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  reader.calls.length = 0
  await worker.refreshNow('left')
  expect(reader.calls).toEqual(['left'])
})

test('reads only what failed before the next refresh', async () => {
  await using folder = await tempFolder()
  const { reader, start } = make(folder, ['left', 'right', 'broken'])
  reader.set('broken', new AgentError('down', { retryable: true }))
  const worker = start()
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined).catch(() => undefined)
  reader.calls.length = 0
  await worker.worker.requestPass().catch(() => undefined)
  expect(reader.calls).toEqual(['broken'])
})

test('asks no camera while no secret changes, whatever happens to the camera', async () => {
  await using folder = await tempFolder()
  const { cameras, start } = make(folder, ['left'])
  const worker = start()
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  const camera = cameras.put('left', 'changed')
  const { asked } = camera
  for (let pass = 0; pass < 3; pass += 1) await worker.refreshNow(undefined)
  expect([camera.asked, stateOf(worker, 'left')]).toEqual([asked, 'ok'])
})

test('follows a secret to another host, once the camera there has taken it', async () => {
  await using folder = await tempFolder()
  const { cameras, rotate, start } = make(folder, ['left'])
  const worker = start()
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  const there = cameras.put('new-host', 'other')
  rotate('left', 'two', 'new-host')
  await expect(worker.refreshNow('left')).rejects.toThrow('the camera refuses the credential of the secret')
  expect(await fileOf(folder, 'left')).toMatchObject({ password: 'one', streamUrl: 'rtsp://left/' })
  rotate('left', 'other', 'new-host')
  await worker.refreshNow('left')
  expect(await fileOf(folder, 'left')).toMatchObject({ password: 'other', streamUrl: 'rtsp://new-host/' })
  expect(there.refusedAtMs).toHaveLength(1)
})

test('asks no camera about a version that says the same', async () => {
  await using folder = await tempFolder()
  const { cameras, rotate, start } = make(folder, ['left'])
  const worker = start()
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  const versionId = rotate('left', 'one')
  await worker.refreshNow(undefined)
  expect(await fileOf(folder, 'left')).toMatchObject({ versionId })
  expect(cameras.get('left')?.asked).toBe(1)
})

test('forgets what a camera refused that leaves the configuration, and warns of one that waits once', async () => {
  await using folder = await tempFolder()
  const { rotate, start, log } = make(folder, ['left', 'right'])
  {
    const worker = start()
    await using _ = running(worker.worker)
    await worker.refreshNow(undefined)
    rotate('right', 'wrong')
    for (let pass = 0; pass < 3; pass += 1) await worker.refreshNow(undefined).catch(() => undefined)
    expect(stateOf(worker, 'right')).toBe('pending')
  }
  expect(log.messages('warn')).toEqual(['camera keeps its last credentials'])
  const ledger = async (): Promise<string> => await readFile(join(folder.path, 'state', 'refusals.json'), 'utf8')
  expect(await ledger()).toContain('"right"')
  const worker = start(['left'])
  await using _ = running(worker.worker)
  await worker.refreshNow(undefined)
  expect(await ledger()).not.toContain('"right":')
})

test('lets what was not refused yet go first, so that wrong passwords of a recorder hold up no right one', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] })
  try {
    await using folder = await tempFolder()
    const wrong = ['wrong-1', 'wrong-2', 'wrong-3', 'wrong-4', 'wrong-5']
    const { cameras, rotate, start } = make(folder, [...wrong, 'right'])
    cameras.put('recorder', 'one')
    for (const name of [...wrong, 'right']) rotate(name, 'one', 'recorder')
    const worker = start()
    await using _ = running(worker.worker)
    await worker.refreshNow(undefined)
    for (const name of wrong) rotate(name, name, 'recorder')
    for (let quarters = 0; quarters < 8; quarters += 1) {
      await worker.refreshNow(undefined).catch(() => undefined)
      vi.advanceTimersByTime(15 * 60_000)
    }
    cameras.put('recorder', 'two')
    rotate('right', 'two', 'recorder')
    for (let quarters = 0; quarters < 3; quarters += 1) {
      await worker.refreshNow(undefined).catch(() => undefined)
      vi.advanceTimersByTime(15 * 60_000)
    }
    expect(await fileOf(folder, 'right')).toMatchObject({ password: 'two' })
  } finally {
    vi.useRealTimers()
  }
})

test('writes AWSPREVIOUS at the next pass, where the camera took it and the file could not be written', async () => {
  await using folder = await tempFolder()
  const { cameras, files, reader, rotate, start } = make(folder, ['door'])
  cameras.put('door', 'two')
  rotate('door', 'two')
  rotate('door', 'three')
  const write = vi.spyOn(files, 'write').mockRejectedValueOnce(new AgentError('the disk is full', { retryable: true }))
  const worker = start()
  await using _ = running(worker.worker)
  await vi.waitFor(() => {
    expect(write).toHaveBeenCalled()
  })
  await expect(worker.refreshNow('door')).rejects.toThrow('takes AWSPREVIOUS, which is in the file')
  expect(await fileOf(folder, 'door')).toMatchObject({ password: 'two' })
  await worker.refreshNow('door').catch(() => undefined)
  expect([write.mock.calls.length, reader.previousCalls.length]).toEqual([2, 2])
})
