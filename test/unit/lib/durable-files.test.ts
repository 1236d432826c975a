import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

import { makeFolder, renameDurably } from '../../../agent/lib/durable-files.ts'

it('makes a folder with exactly the mode asked for, whatever the umask', async () => {
  await using root = await privateFolder()
  await makeFolder(join(root.path, 'a'), 0o755)
  expect((await stat(join(root.path, 'a'))).mode & 0o7777).toBe(0o755)
})

it('corrects the mode of a folder that is there, and leaves a right one alone', async () => {
  await using root = await privateFolder()
  const path = join(root.path, 'a')
  await makeFolder(path, 0o755)
  const { ctimeMs } = await stat(path)
  await makeFolder(path, 0o755)
  expect((await stat(path)).ctimeMs).toBe(ctimeMs)
  await chmod(path, 0o700)
  await makeFolder(path, 0o755)
  expect((await stat(path)).mode & 0o7777).toBe(0o755)
})

it('throws when the folder above is missing', async () => {
  await using root = await privateFolder()
  await expect(makeFolder(join(root.path, 'a/b'), 0o755)).rejects.toMatchObject({ code: 'ENOENT' })
})

it('renames onto what is there', async () => {
  await using root = await privateFolder()
  await writeFile(join(root.path, 'new'), 'new')
  await writeFile(join(root.path, 'old'), 'old')
  await renameDurably(join(root.path, 'new'), join(root.path, 'old'))
  expect(await readFile(join(root.path, 'old'), 'utf8')).toBe('new')
  await expect(stat(join(root.path, 'new'))).rejects.toMatchObject({ code: 'ENOENT' })
})

/** A temporary folder, and a umask that lets nobody else in while it is there. */
async function privateFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const umask = process.umask(0o077)
  const path = await mkdtemp(join(tmpdir(), 'panorama-durable-'))
  return {
    path,
    async [Symbol.asyncDispose]() {
      process.umask(umask)
      await rm(path, { recursive: true, force: true })
    },
  }
}
