import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { FakeArtifactSource } from '../../../support/fake-artifact-source.ts'
import { waitUntil } from '../../../support/wait-until.ts'
import { appFolder, installedFiles, startWorker, tempFolder } from '../artifact-fixture.ts'

const { signal } = new AbortController()

it('finds nothing in a release that is whole', async () => {
  await using state = await tempFolder()
  await using running = startWorker(state, sourceOf({ a: 'one', 'b/c': 'two', empty: '' }))
  await running.pass()
  const { releaseId } = running.status()
  expect(await running.verify(signal)).toEqual({ releaseId, files: 3, bytes: 6, damaged: [] })
})

it('says how far it is, and nothing when it has ended', async () => {
  await using state = await tempFolder()
  const mib = 'x'.repeat(1_048_576)
  await using running = startWorker(state, sourceOf({ a: mib, b: `${mib}${mib}`, empty: '' }))
  await running.pass()
  const seen = new Set<string>()
  const ended = new AbortController()
  const verified = running.verify(signal).finally(() => {
    ended.abort()
  })
  while (!ended.signal.aborted) {
    const { files, totalFiles, bytes, totalBytes } = running.status().verification ?? {}
    if (files !== undefined)
      seen.add(`${files}/${totalFiles ?? 0} ${(bytes ?? 0) / mib.length}/${(totalBytes ?? 0) / mib.length}`)
    await new Promise(setImmediate)
  }
  expect((await verified).bytes).toBe(3 * mib.length)
  expect(seen).toContain('0/3 0/3')
  expect(seen).toContain('1/3 2/3')
  expect(running.status().verification).toBeUndefined()
})

it('names a file that changed and one that is gone, and builds them anew beside the damaged tree', async () => {
  await using state = await tempFolder()
  const source = sourceOf({ a: 'one', 'b/c': 'two', d: 'three' })
  await using running = startWorker(state, source)
  await running.pass()
  const { releaseId } = running.status()
  await damage(join(appFolder(state), 'current/a'), 'own')
  await damage(join(appFolder(state), 'current/b/c'), 'twofold')
  expect(await running.verify(signal)).toMatchObject({ releaseId, damaged: ['a', 'b/c'] })
  await waitUntil('the release is mended', async () => (await installedFiles(state))?.['a'] === 'one')
  await running.pass()
  expect(await installedFiles(state)).toEqual({ a: 'one', 'b/c': 'two', d: 'three' })
  expect(source.opened.toSorted()).toEqual(['app/a', 'app/a', 'app/b/c', 'app/b/c', 'app/d'])
  expect((await readdir(join(appFolder(state), 'releases'))).sort()).toEqual([`${releaseId}.json`, `${releaseId}~1`])
  expect(running.status().releaseId).toBe(releaseId)
  expect(await running.verify(signal)).toMatchObject({ damaged: [] })
})

it('never writes into the tree that is damaged', async () => {
  await using state = await tempFolder()
  await using running = startWorker(state, sourceOf({ a: 'one' }))
  await running.pass()
  const releaseId = String(running.status().releaseId)
  const file = join(appFolder(state), 'releases', releaseId, 'a')
  await damage(file, 'own')
  await running.verify(signal)
  await waitUntil('the release is mended', async () => (await installedFiles(state))?.['a'] === 'one')
  expect(await readFile(file, 'utf8')).toBe('own')
})

it('drops the releases that share what is damaged', async () => {
  await using state = await tempFolder()
  const source = sourceOf({ a: 'same', b: 'one' })
  await using running = startWorker(state, source)
  await running.pass()
  source.put('app/b', 'two')
  await running.pass()
  await damage(join(appFolder(state), 'current/a'), 'else')
  await running.verify(signal)
  expect(running.releases()).toHaveLength(1)
})

it('says so when the damaged release is not what the source wishes', async () => {
  await using state = await tempFolder()
  const source = sourceOf({ a: 'one' })
  await using running = startWorker(state, source)
  await running.pass()
  source.put('app/a', 'two')
  await running.pass()
  await running.rollBack(undefined)
  await damage(join(appFolder(state), 'current/a'), 'own')
  await running.verify(signal)
  await expect(running.pass()).rejects.toThrow('damaged, and the source does not wish it any more')
})

it('ends when it is not wanted any more, and refuses where nothing is installed', async () => {
  await using state = await tempFolder()
  await using running = startWorker(state, sourceOf({ a: 'one' }))
  await expect(running.verify(signal)).rejects.toThrow('no release is installed')
  await running.pass()
  await expect(running.verify(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
})

async function damage(file: string, content: string): Promise<void> {
  await chmod(file, 0o644)
  await writeFile(file, content)
}

function sourceOf(files: Readonly<Record<string, string>>): FakeArtifactSource {
  const source = new FakeArtifactSource('app/')
  for (const [path, content] of Object.entries(files)) source.put(`app/${path}`, content)
  return source
}
