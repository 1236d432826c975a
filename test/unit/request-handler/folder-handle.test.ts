import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { discard, FolderHandle } from '../../../agent/request-handler/folder-handle.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('holds no folder that a symlink leads to, and no file', async () => {
  await using folder = await tempFolder()
  await symlink(folder.path, join(folder.path, 'link'))
  await writeFile(join(folder.path, 'file'), '')
  for (const name of ['link', 'file', 'missing']) expect(() => new FolderHandle(join(folder.path, name))).toThrow()
})

test('goes on to hold the folder that it opened when another takes its path', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'a')
  await mkdir(path)
  await writeFile(join(path, 'mine'), '')
  using handle = new FolderHandle(path)
  await rename(path, join(folder.path, 'b'))
  await symlink('/etc', path)
  expect(handle.names(10).map(String)).toEqual(['mine'])
  expect(discard(handle, 'mine')).toBe(true)
  expect(await readdir(join(folder.path, 'b'))).toEqual([])
})

test('reads names as they are, and no more than it is asked for', async () => {
  await using folder = await tempFolder()
  const odd = Buffer.from([0xff, 0x0a, 0x41])
  await writeFile(Buffer.concat([Buffer.from(`${folder.path}/`), odd]), '')
  await writeFile(join(folder.path, 'é'), '')
  using handle = new FolderHandle(folder.path)
  const names = handle.names(10).map((name) => name.toString('hex'))
  expect(names.toSorted()).toEqual([Buffer.from('é').toString('hex'), odd.toString('hex')].toSorted())
  expect(handle.names(1)).toHaveLength(1)
})

test('removes a tree without following what leads out of it', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'victim'))
  await writeFile(join(folder.path, 'victim', 'precious'), 'content')
  await mkdir(join(folder.path, 'tree', 'deep'), { recursive: true })
  await symlink(join(folder.path, 'victim'), join(folder.path, 'tree', 'deep', 'link'))
  using handle = new FolderHandle(folder.path)
  expect(discard(handle, 'tree')).toBe(true)
  expect(await readdir(folder.path)).toEqual(['victim'])
  expect(await readFile(join(folder.path, 'victim', 'precious'), 'utf8')).toBe('content')
})

test('leaves a tree that is too deep, and says so', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'tree', ...Array.from({ length: 20 }, () => 'deeper')), { recursive: true })
  using handle = new FolderHandle(folder.path)
  expect(discard(handle, 'tree')).toBe(false)
  expect(await readdir(folder.path)).toEqual(['tree'])
})
