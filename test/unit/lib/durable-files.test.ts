import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { makeFolder, renameDurably } from '../../../agent/lib/durable-files.ts'

const umask = process.umask()
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'panorama-durable-'))
  process.umask(0o077)
})

afterEach(async () => {
  process.umask(umask)
  await rm(root, { recursive: true, force: true })
})

it('makes a folder with exactly the mode asked for, whatever the umask', async () => {
  await makeFolder(join(root, 'a'), 0o755)
  expect((await stat(join(root, 'a'))).mode & 0o7777).toBe(0o755)
})

it('corrects the mode of a folder that is there, and leaves a right one alone', async () => {
  const path = join(root, 'a')
  await makeFolder(path, 0o755)
  const { ctimeMs } = await stat(path)
  await makeFolder(path, 0o755)
  expect((await stat(path)).ctimeMs).toBe(ctimeMs)
  await chmod(path, 0o700)
  await makeFolder(path, 0o755)
  expect((await stat(path)).mode & 0o7777).toBe(0o755)
})

it('throws when the folder above is missing', async () => {
  await expect(makeFolder(join(root, 'a/b'), 0o755)).rejects.toMatchObject({ code: 'ENOENT' })
})

it('renames onto what is there', async () => {
  await writeFile(join(root, 'new'), 'new')
  await writeFile(join(root, 'old'), 'old')
  await renameDurably(join(root, 'new'), join(root, 'old'))
  expect(await readFile(join(root, 'old'), 'utf8')).toBe('new')
  await expect(stat(join(root, 'new'))).rejects.toMatchObject({ code: 'ENOENT' })
})
