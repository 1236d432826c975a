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
  expect(discard(handle, 'mine', { entriesLeft: 10, top: handle })).toBe(true)
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
  expect(discard(handle, 'tree', { entriesLeft: 10, top: handle })).toBe(true)
  expect(await readdir(folder.path)).toEqual(['victim'])
  expect(await readFile(join(folder.path, 'victim', 'precious'), 'utf8')).toBe('content')
})

test('brings to the top what lies too deep, so that it can be removed from there', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'tree', ...Array.from({ length: 20 }, () => 'deeper')), { recursive: true })
  using handle = new FolderHandle(folder.path)
  const clearing = { entriesLeft: 100, top: handle }
  expect(discard(handle, 'tree', clearing)).toBe(true)
  const [deep = ''] = await readdir(folder.path)
  expect(deep).toMatch(/^deep-/)
  expect(discard(handle, deep, clearing)).toBe(true)
  for (const name of await readdir(folder.path)) discard(handle, name, clearing)
  expect(await readdir(folder.path)).toEqual([])
})

test('leaves for another time what is more than it may look at, and still removes a file', async () => {
  await using folder = await tempFolder()
  for (const name of ['a', 'b', 'c', 'd']) await mkdir(join(folder.path, 'tree', name), { recursive: true })
  await writeFile(join(folder.path, 'file'), '')
  using handle = new FolderHandle(folder.path)
  const clearing = { entriesLeft: 3, top: handle }
  expect(discard(handle, 'tree', clearing)).toBe(false)
  expect(await readdir(join(folder.path, 'tree'))).toHaveLength(2)
  expect(discard(handle, 'file', clearing)).toBe(true)
})
