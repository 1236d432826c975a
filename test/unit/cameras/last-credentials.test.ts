import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect, test } from 'vitest'

import type { CameraFile } from '../../../agent/cameras/camera-file.ts'
import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import { serveLastCredentials } from '../../../agent/cameras/last-credentials.ts'
import { SealedCameras } from '../../../agent/cameras/sealed-cameras.ts'
import { cameraFile } from '../../support/camera-file.ts'
import { camerasConfig } from '../../support/cameras-config.ts'
import { fakeCameraGroups } from '../../support/fake-camera-groups.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const own = process.getegid?.() ?? 0
const never = new AbortController().signal

interface Bench extends AsyncDisposable {
  readonly runtime: string
  readonly state: string
  readonly files: CameraFiles
  readonly copies: SealedCameras
  readonly log: RecordingLog
  /** What was told of the files of cameras, by name, in the last call of `serve`. */
  readonly told: Map<string, CameraFile>
  /** For cameras with these names, or names and groups. */
  readonly serve: (streams: readonly (string | readonly [string, string])[], signal?: AbortSignal) => Promise<void>
}

async function bench(): Promise<Bench> {
  const root = await tempFolder()
  const at = { runtime: join(root.path, 'run', 'cameras'), state: join(root.path, 'cameras') }
  const log = new RecordingLog()
  const files = new CameraFiles(at.runtime)
  const keySources = { identityFolder: root.path }
  const copies = new SealedCameras({ folder: at.state, thingName: 'thing', keySources, log })
  const groups = fakeCameraGroups({ viewers: own })
  const told = new Map<string, CameraFile>()
  return {
    ...at,
    files,
    copies,
    log,
    told,
    serve: async (streams, signal = never) => {
      const cameras = camerasConfig({
        streams: streams.map((each) => {
          if (typeof each === 'string') return { name: each, secretId: each }
          const [name, group] = each
          return { name, secretId: name, group }
        }),
      })
      told.clear()
      const onFile = (name: string, file: CameraFile): void => {
        told.set(name, file)
      }
      await serveLastCredentials({ cameras, files, copies, groups, onFile, log }, signal)
    },
    [Symbol.asyncDispose]: () => root[Symbol.asyncDispose](),
  }
}

test('writes the file of each camera that has none from its copy, for its readers', async () => {
  await using at = await bench()
  await at.copies.write('dock-3', cameraFile({ password: 'three' }))
  await at.copies.write('dock-4', cameraFile({ password: 'four' }))
  await at.serve([['dock-3', 'viewers'], 'dock-4', 'dock-5'])
  expect(await at.files.read('dock-3')).toEqual(cameraFile({ password: 'three' }))
  expect(await at.files.read('dock-4')).toEqual(cameraFile({ password: 'four' }))
  expect((await readdir(at.runtime)).sort()).toEqual(['dock-3.json', 'dock-4.json'])
  expect(await at.files.hasReaders('dock-3', own)).toBe(true)
  expect(await at.files.hasReaders('dock-4', undefined)).toBe(true)
  expect(at.log.entries.filter(({ message }) => message.includes('from sealed copies'))).toMatchObject([
    { level: 'info', fields: { cameras: 2 } },
  ])
})

test('tells what is in each file, whether it was there or had to be written', async () => {
  await using at = await bench()
  await mkdir(at.runtime, { recursive: true })
  await at.files.write('there', cameraFile({ versionId: 'newer' }))
  for (const name of ['there', 'not-there', 'no-group'])
    await at.copies.write(name, cameraFile({ versionId: 'copied' }))
  await at.serve(['there', 'not-there', ['no-group', 'nobody'], 'no-copy'])
  const versions = [...at.told].map(([name, { versionId }]) => `${name} ${versionId}`)
  expect(versions.sort()).toEqual(['not-there copied', 'there newer'])
})

test('leaves a file that is there as it is, and makes its copy the same', async () => {
  await using at = await bench()
  await at.copies.write('dock-3', cameraFile({ versionId: 'v1' }))
  await at.serve(['dock-3'])
  await at.files.write('dock-3', cameraFile({ versionId: 'v2' }))
  const before = await at.files.look('dock-3')
  await at.serve(['dock-3'])
  expect(await at.files.look('dock-3')).toBe(before)
  expect(await at.copies.read('dock-3')).toEqual(cameraFile({ versionId: 'v2' }))
})

test('replaces a file that cannot be read as one of ours', async () => {
  await using at = await bench()
  await at.copies.write('dock-3', cameraFile())
  await mkdir(at.runtime, { recursive: true })
  await writeFile(join(at.runtime, 'dock-3.json'), '{"username":')
  await at.serve(['dock-3'])
  expect(await at.files.read('dock-3')).toEqual(cameraFile())
})

test('has a key at once, unless there is no camera to keep anything of', async () => {
  await using at = await bench()
  await at.serve([])
  expect(at.copies.status()).toEqual({ key: 'none' })
  await at.serve(['dock-3'])
  expect(at.copies.status()).toEqual({ key: 'file' })
})

test('holds up no camera for another whose copy or group is at fault', async () => {
  await using at = await bench()
  for (const name of ['damaged', 'no-group', 'well']) await at.copies.write(name, cameraFile())
  await writeFile(join(at.state, 'damaged.sealed'), 'nothing of ours')
  await at.serve(['damaged', ['no-group', 'nobody'], 'well'])
  expect(await readdir(at.runtime)).toEqual(['well.json'])
  expect(at.copies.status().fault).toMatch(/damaged is damaged$/)
  expect(
    at.log.entries
      .filter(({ level }) => level === 'warn')
      .map(({ fields }) => fields['camera'])
      .sort(),
  ).toEqual(['damaged', 'no-group'])
})

test('seals and upgrades what the first version of the agent left, without network', async () => {
  await using at = await bench()
  await mkdir(at.runtime, { recursive: true })
  const path = join(at.runtime, 'dock-3.json')
  const first = { username: 'admin', password: 'hunter2', streamUrl: 'rtsp://10.0.0.5/', versionId: 'v1' }
  await writeFile(path, JSON.stringify(first), { mode: 0o600 })
  await utimes(path, new Date('2027-01-01'), new Date('2027-01-01'))
  await at.serve(['dock-3'])
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(cameraFile())
  expect(await at.copies.read('dock-3')).toEqual(cameraFile())
})

test('removes files and copies of cameras that are not configured any more, and what a crash left', async () => {
  await using at = await bench()
  for (const name of ['kept', 'gone']) await at.copies.write(name, cameraFile())
  await writeFile(join(at.state, '.0a1b2c3d4e5f.tmp'), 'half')
  await at.serve(['kept', 'gone'])
  await at.serve(['kept'])
  expect(await readdir(at.state)).toEqual(['kept.sealed'])
  expect(await readdir(at.runtime)).toEqual(['kept.json'])
})

test('writes nothing to disk when all is there', async () => {
  await using at = await bench()
  await at.copies.write('dock-3', cameraFile())
  await at.serve(['dock-3'])
  const before = [await stat(at.state), await stat(join(at.state, 'dock-3.sealed'))].map(({ ctimeMs }) => ctimeMs)
  await at.serve(['dock-3'])
  const after = [await stat(at.state), await stat(join(at.state, 'dock-3.sealed'))].map(({ ctimeMs }) => ctimeMs)
  expect(after).toEqual(before)
})

test('writes nothing once it is to stop, nor where the folder cannot be made', async () => {
  await using at = await bench()
  await at.copies.write('dock-3', cameraFile())
  await at.serve(['dock-3'], AbortSignal.abort())
  expect(await readdir(at.runtime)).toEqual([])
  await using blocked = await bench()
  await writeFile(dirname(blocked.runtime), 'in the way')
  await blocked.serve(['dock-3'])
  expect(blocked.log.messages('warn')).toEqual(['the folder of camera files cannot be made'])
})

test('writes nothing any more when the copy was read too late', async () => {
  await using at = await bench()
  const { files, copies, log } = at
  await copies.write('dock-3', cameraFile({ password: 'old' }))
  const stop = new AbortController()
  const idOf = async (): Promise<number> => {
    await files.write('dock-3', cameraFile({ password: 'new' }))
    stop.abort()
    return own
  }
  const cameras = camerasConfig({ streams: [{ name: 'dock-3', secretId: 'dock-3', group: 'viewers' }] })
  const onFile = (): void => undefined
  await serveLastCredentials({ cameras, files, copies, groups: { idOf }, onFile, log }, stop.signal)
  expect(await files.read('dock-3')).toEqual(cameraFile({ password: 'new' }))
})
