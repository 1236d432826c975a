import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { removeUnfinished, writeFileAtomic } from '../../../agent/lib/atomic-file.ts'
import { tempFolder } from '../../support/temp-folder.ts'

if (process.getuid?.() !== 0)
  console.log('skipped, because only root can give files to any group: writing with a group')

test('replaces the content and leaves nothing else in the folder', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'state.json')
  await writeFileAtomic(path, 'a long first content', { mode: 0o600 })
  await writeFileAtomic(path, 'second', { mode: 0o600 })
  expect(await readFile(path, 'utf8')).toBe('second')
  expect(await readdir(folder.path)).toEqual(['state.json'])
})

test('writes bytes as they are', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'bytes')
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  await writeFileAtomic(path, bytes, { mode: 0o600 })
  expect(new Uint8Array(await readFile(path))).toEqual(bytes)
})

test.each([0o600, 0o640, 0o666])('gives the file mode %o whatever the umask and the file before', async (mode) => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'file')
  const umask = process.umask(0o077)
  try {
    await writeFileAtomic(path, 'before', { mode: 0o400 })
    await writeFileAtomic(path, 'after', { mode })
  } finally {
    process.umask(umask)
  }
  expect((await stat(path)).mode & 0o7777).toBe(mode)
})

test.runIf(process.getuid?.() === 0)('gives the file to a group before anybody can see it', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'file')
  await writeFileAtomic(path, 'content', { mode: 0o640, gid: 60_124 })
  const { mode, gid, uid } = await stat(path)
  expect({ mode: mode & 0o7777, gid, uid }).toEqual({ mode: 0o640, gid: 60_124, uid: 0 })
})

test('leaves no temporary file behind when the rename fails', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'taken')
  await mkdir(join(path, 'by-a-folder'), { recursive: true })
  await expect(writeFileAtomic(path, 'content', { mode: 0o600 })).rejects.toMatchObject({ code: 'EISDIR' })
  expect(await readdir(folder.path)).toEqual(['taken'])
})

test('throws the error of the file system when the folder is not there', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'missing', 'file')
  await expect(writeFileAtomic(path, 'content', { mode: 0o600 })).rejects.toMatchObject({ code: 'ENOENT' })
})

test('lets a reader find the old content or the new one and nothing between', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'file')
  const contents = ['a', 'b'].map((letter) => letter.repeat(200_000))
  await writeFileAtomic(path, 'a'.repeat(200_000), { mode: 0o600 })
  const seen = new Set<string>()
  for (let round = 0; round < 10; round += 1) {
    const writing = writeFileAtomic(path, contents[round % 2] ?? '', { mode: 0o600 })
    seen.add(await readFile(path, 'utf8'))
    await writing
    seen.add(await readFile(path, 'utf8'))
  }
  expect([...seen].every((content) => contents.includes(content))).toBe(true)
})

test('removes what a crash left unfinished, and nothing else', async () => {
  await using folder = await tempFolder()
  const names = ['.0123456789ab.tmp', '.keep.tmp', 'ledger.json']
  for (const name of names) await writeFile(join(folder.path, name), '')
  await removeUnfinished(folder.path)
  expect(await readdir(folder.path)).toEqual(['.keep.tmp', 'ledger.json'])
  await expect(removeUnfinished(join(folder.path, 'missing'))).resolves.toBeUndefined()
})
