import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { CameraFiles } from '../../../agent/cameras/camera-files.ts'
import { cameraFile } from '../../support/camera-file.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const content = cameraFile()
/** As the first version of the agent wrote it. */
const first = { username: 'admin', password: 'p@ss', streamUrl: 'rtsp://other:pw@10.0.0.5/1', versionId: 'v1' }

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

test.each([
  '',
  '{',
  'null',
  '{"username":"admin"}',
  JSON.stringify({ ...content, versionId: 7 }),
  JSON.stringify({ ...first, password: null }),
])('takes a file with %j for none of its own', async (foreign) => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'dock-3.json'), foreign)
  expect(await new CameraFiles(folder.path).read('dock-3')).toBeUndefined()
})

test('knows nothing of a camera without a file', async () => {
  await using folder = await tempFolder()
  expect(await new CameraFiles(folder.path).read('dock-3')).toBeUndefined()
})

test('reads what the first version of the agent wrote, and writes it anew for the same readers', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'dock-3.json')
  await writeFile(path, JSON.stringify(first))
  await chmod(path, 0o640)
  const files = new CameraFiles(folder.path)
  const expected = {
    username: 'admin',
    password: 'p@ss',
    streamUrl: 'rtsp://10.0.0.5/1',
    streamUrlWithCredentials: 'rtsp://admin:p%40ss@10.0.0.5/1',
    versionId: 'v1',
    changedAt: (await stat(path)).mtime.toISOString(),
  }
  expect(await files.read('dock-3')).toEqual(expected)
  await files.upgrade('dock-3')
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(expected)
  expect((await stat(path)).mode & 0o7777).toBe(0o640)
  const { ino } = await stat(path)
  await files.upgrade('dock-3')
  expect((await stat(path)).ino).toBe(ino)
})

test('takes user name and password out of the URL of such a file where it has no others', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'dock-3.json'), JSON.stringify({ ...first, username: '', password: '' }))
  expect(await new CameraFiles(folder.path).read('dock-3')).toMatchObject({
    username: 'other',
    password: 'pw',
    streamUrlWithCredentials: 'rtsp://other:pw@10.0.0.5/1',
  })
})

test('looks different after each change of a file, of who may read it, and of whether it is there', async () => {
  await using folder = await tempFolder()
  const files = new CameraFiles(folder.path)
  const looks = [await files.look('dock-3')]
  await files.write('dock-3', content)
  looks.push(await files.look('dock-3'))
  await files.write('dock-3', content)
  looks.push(await files.look('dock-3'))
  await chmod(join(folder.path, 'dock-3.json'), 0o640)
  looks.push(await files.look('dock-3'))
  expect(new Set(looks).size).toBe(4)
  expect(await files.look('dock-3')).toBe(looks[3])
})
