import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const content = { username: 'admin', password: 'hunter2', streamUrl: 'rtsp://10.0.0.5/', versionId: 'v1' }

test('writes a file that only the own user may read, and nothing beside it', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'cameras')
  const files = new CameraFiles(path)
  await files.prepare(['dock-3'])
  await files.write('dock-3', content)
  expect(JSON.parse(await readFile(join(path, 'dock-3.json'), 'utf8'))).toEqual(content)
  expect((await stat(join(path, 'dock-3.json'))).mode & 0o7777).toBe(0o600)
  expect((await stat(path)).mode & 0o7777).toBe(0o755)
  expect(await readdir(path)).toEqual(['dock-3.json'])
})

test('replaces a file as a whole, so that an open reader keeps the old one', async () => {
  await using folder = await tempFolder()
  const files = new CameraFiles(folder.path)
  await files.write('dock-3', content)
  const { ino } = await stat(join(folder.path, 'dock-3.json'))
  await files.write('dock-3', { ...content, versionId: 'v2' })
  expect((await stat(join(folder.path, 'dock-3.json'))).ino).not.toBe(ino)
  expect(await files.read('dock-3')).toEqual({ ...content, versionId: 'v2' })
})

test('removes the files of cameras that are gone and leftovers, and keeps the others and what is not its own', async () => {
  await using folder = await tempFolder()
  const files = new CameraFiles(folder.path)
  await files.write('kept', content)
  await files.write('gone', content)
  await writeFile(join(folder.path, '.0a1b2c3d4e5f.tmp'), 'half')
  await mkdir(join(folder.path, 'new.json', 'deep'), { recursive: true })
  await mkdir(join(folder.path, 'of-somebody', 'deep'), { recursive: true })
  await writeFile(join(folder.path, 'notes.txt'), 'mine')
  await files.prepare(['kept', 'new'])
  expect((await readdir(folder.path)).sort()).toEqual(['kept.json', 'notes.txt', 'of-somebody'])
  expect(await files.read('kept')).toEqual(content)
})

test.each(['', '{', 'null', '{"username":"admin"}', JSON.stringify({ ...content, versionId: 7 })])(
  'takes a file with %j for none of its own',
  async (foreign) => {
    await using folder = await tempFolder()
    await writeFile(join(folder.path, 'dock-3.json'), foreign)
    expect(await new CameraFiles(folder.path).read('dock-3')).toBeUndefined()
  },
)

test('knows nothing of a camera without a file', async () => {
  await using folder = await tempFolder()
  expect(await new CameraFiles(folder.path).read('dock-3')).toBeUndefined()
})
