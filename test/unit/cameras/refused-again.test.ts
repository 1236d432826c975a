import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import { CameraWorker } from '../../../agent/cameras/camera-worker.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { camerasConfig } from '../../support/cameras-config.ts'
import { fakeCameraGroups } from '../../support/fake-camera-groups.ts'
import { FakeCameras } from '../../support/fake-cameras.ts'
import { FakeCopies } from '../../support/fake-copies.ts'
import { FakeSecretReader } from '../../support/fake-secret-reader.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const minuteMs = 60_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** An appliance with the camera `door`, which takes `one`, and what its secret holds at first. */
async function site(whenUnreachable: 'wait' | 'swap', first: string) {
  await using owned = new AsyncDisposableStack()
  const { path } = owned.use(await tempFolder())
  const reader = new FakeSecretReader()
  const cameras = new FakeCameras(() => Date.now())
  const rotate = (password: string): string =>
    reader.store('door', JSON.stringify({ username: 'admin', password, streamUrl: 'rtsp://door/' }))
  rotate(first)
  const camera = cameras.put('door', 'one')
  const worker = new CameraWorker({
    cameras: camerasConfig({ whenUnreachable, streams: [{ name: 'door', secretId: 'door' }] }),
    thingName: 'dock',
    reader,
    probe: cameras.probe,
    files: new CameraFiles(join(path, 'run')),
    copies: new FakeCopies(),
    groups: fakeCameraGroups(),
    hooks: { changed: () => undefined },
    ledgerPath: join(path, 'state', 'refusals.json'),
    cloudNow: () => Date.now(),
    log: new RecordingLog(),
  })
  owned.use(running(worker.worker))
  const refresh = async (): Promise<string | undefined> => {
    await worker.refreshNow('door').catch(() => undefined)
    return worker.status()[0]?.state
  }
  const file = async (): Promise<unknown> =>
    await readFile(join(path, 'run', 'door.json'), 'utf8').then(JSON.parse, () => undefined)
  const stack = owned.move()
  return { reader, cameras, camera, rotate, refresh, file, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('keeps what a camera took that refused the new credential and cannot be reached afterwards', async () => {
  await using at = await site('swap', 'one')
  expect(await at.refresh()).toBe('ok')
  at.rotate('two')
  expect(await at.refresh()).toBe('pending')
  vi.advanceTimersByTime(11 * minuteMs)
  at.camera.isReachable = false
  expect(await at.refresh()).toBe('pending')
  expect(await at.file()).toMatchObject({ password: 'one' })
  at.cameras.put('door', 'two').isReachable = true
  expect(await at.refresh()).toBe('ok')
  expect(await at.file()).toMatchObject({ password: 'two' })
})

test('writes nothing for a camera without a file that refused the credential and cannot be reached afterwards', async () => {
  await using at = await site('wait', 'two')
  expect(await at.refresh()).toBe('failing')
  vi.advanceTimersByTime(11 * minuteMs)
  at.camera.isReachable = false
  expect(await at.refresh()).toBe('failing')
  expect(await at.file()).toBeUndefined()
  at.rotate('three')
  expect(await at.refresh()).toBe('unproven')
})

test('tries a refused credential again although AWSPREVIOUS cannot be read', async () => {
  await using at = await site('wait', 'one')
  expect(await at.refresh()).toBe('ok')
  at.cameras.put('door', 'three')
  at.rotate('two')
  at.reader.setPrevious('door', new AgentError('AWSPREVIOUS is denied'))
  expect(await at.refresh()).toBe('failing')
  at.cameras.put('door', 'two')
  for (let minutes = 0; minutes < 45; minutes += 5) {
    vi.advanceTimersByTime(5 * minuteMs)
    await at.refresh()
  }
  expect(await at.file()).toMatchObject({ password: 'two' })
})
