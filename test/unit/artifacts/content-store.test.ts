import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'

import type { ReleaseFile } from '../../../agent/artifacts/artifact-plan.ts'
import { ContentStore } from '../../../agent/artifacts/content-store.ts'
import { filesBelow, sha256, tempFolder, type TempFolder } from './artifact-fixture.ts'

it('finds content again after a restart, and ignores what is no content', async () => {
  await using folder = await tempFolder()
  await add(folder, await openStore(folder), 'one')
  await writeFile(join(folder.path, 'store/sha256/stray'), '')
  await mkdir(join(folder.path, `store/sha256/${sha256('two').slice(0, 2)}/${sha256('two')}-0444`), { recursive: true })
  const store = await openStore(folder)
  expect(store.has(fileOf('one'))).toBe(true)
  expect(store.has({ ...fileOf('one'), executable: true })).toBe(false)
  expect(store.has(fileOf('two'))).toBe(false)
})

it('follows no link in the place of a folder, and removes what is in the way of content', async () => {
  await using folder = await tempFolder()
  await using elsewhere = await tempFolder()
  await writeFile(join(elsewhere.path, `${sha256('one')}-0444`), 'bad')
  const root = join(folder.path, 'store/sha256')
  const [one, two] = [sha256('one').slice(0, 2), sha256('two').slice(0, 2)]
  await mkdir(root, { recursive: true })
  await symlink(elsewhere.path, join(root, one))
  await mkdir(join(root, two, `${sha256('two')}-0444`), { recursive: true })
  await mkdir(join(root, 'ab'))
  await writeFile(join(root, 'ab/xyz'), 'stray')
  const store = await openStore(folder)
  expect(store.has(fileOf('one'))).toBe(false)
  await add(folder, store, 'one')
  await add(folder, store, 'two')
  await store.collect(() => true)
  expect(await filesBelow(folder.path)).toEqual(
    [`store/sha256/${one}/${sha256('one')}-0444`, `store/sha256/${two}/${sha256('two')}-0444`].sort(),
  )
  expect(await readFile(join(elsewhere.path, `${sha256('one')}-0444`), 'utf8')).toBe('bad')
})

it.each(['store', 'store/sha256'])('takes no link for its own folder %s', async (path) => {
  await using folder = await tempFolder()
  await using elsewhere = await tempFolder()
  if (path !== 'store') await mkdir(join(folder.path, 'store'))
  await symlink(elsewhere.path, join(folder.path, path))
  await add(folder, await openStore(folder), 'one')
  expect(await filesBelow(elsewhere.path)).toEqual([])
})

it('makes a folder again that went away since the last look', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  await add(folder, store, 'one')
  await rm(join(folder.path, 'store'), { recursive: true })
  await store.load()
  await add(folder, store, 'one')
  expect(store.has(fileOf('one'))).toBe(true)
})

it('keeps content that is right when the size that is asked for is wrong', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  await add(folder, store, 'one')
  const linked = store.link({ ...fileOf('one'), sizeBytes: 4 }, join(folder.path, 'linked'))
  await expect(linked).rejects.toThrow('"one" has 4 bytes in the source, but what has its sha256 has 3')
  expect(store.has(fileOf('one'))).toBe(true)
})

it('gives a hard link to content', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  await add(folder, store, 'one')
  const target = join(folder.path, 'linked')
  await store.link(fileOf('one'), target)
  const path = `store/sha256/${sha256('one').slice(0, 2)}/${sha256('one')}-0444`
  expect((await stat(target)).ino).toBe((await stat(join(folder.path, path))).ino)
})

it.each(['EMLINK', 'EXDEV', 'EPERM'])('gives a read-only copy where a link is refused with %s', async (code) => {
  await using folder = await tempFolder()
  const refuse = (): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }))
  const store = await openStore(folder, refuse)
  await add(folder, store, 'one')
  const target = join(folder.path, 'copied')
  await store.link(fileOf('one'), target)
  expect(await readFile(target, 'utf8')).toBe('one')
  expect((await stat(target)).mode & 0o7777).toBe(0o444)
  expect((await stat(target)).nlink).toBe(1)
  expect((await filesBelow(folder.path)).filter((path) => path.includes('.copy'))).toEqual([])
})

it('throws what else the file system says about a link', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  await add(folder, store, 'one')
  await expect(store.link(fileOf('one'), join(folder.path, 'missing/target'))).rejects.toMatchObject({ code: 'ENOENT' })
})

it('drops content that is gone, so that it is fetched again', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  const target = join(folder.path, 'linked')
  await expect(store.link(fileOf('one'), target)).rejects.toMatchObject({ retryable: true })
  await add(folder, store, 'one')
  await store.link(fileOf('one'), target)
  expect(await readFile(target, 'utf8')).toBe('one')
})

it('removes what is not wanted and answers how much that was', async () => {
  await using folder = await tempFolder()
  const store = await openStore(folder)
  for (const content of ['one', 'two', 'three']) await add(folder, store, content)
  const isWanted = (key: string): boolean => key.startsWith(sha256('two'))
  expect(await store.collect(isWanted)).toBe(2)
  expect(await store.collect(isWanted)).toBe(0)
  expect(store.has(fileOf('one'))).toBe(false)
  expect(await filesBelow(folder.path)).toEqual([`store/sha256/${sha256('two').slice(0, 2)}/${sha256('two')}-0444`])
})

async function openStore(folder: TempFolder, hardLink?: () => Promise<never>): Promise<ContentStore> {
  const store = new ContentStore(join(folder.path, 'store'), hardLink)
  await store.load()
  return store
}

async function add(folder: TempFolder, store: ContentStore, content: string): Promise<void> {
  const file = join(folder.path, 'incoming')
  await writeFile(file, content)
  await chmod(file, 0o444)
  await store.add([{ file, content: fileOf(content) }])
}

function fileOf(content: string): ReleaseFile {
  return { path: content, sizeBytes: content.length, sha256: sha256(content), executable: false }
}
