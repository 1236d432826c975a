import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

import type { Release } from '../../../agent/artifacts/artifact-plan.ts'
import { ContentStore } from '../../../agent/artifacts/content-store.ts'
import { ReleaseTree } from '../../../agent/artifacts/release-tree.ts'
import { appFolder, installedFiles, recordedLog, sha256, tempFolder, type TempFolder } from './artifact-fixture.ts'

const { signal } = new AbortController()

it('never removes the release that is current, whatever it is told to keep', async () => {
  await using state = await tempFolder()
  const { tree, install } = await openTree(state)
  await install('one')
  await install('two')
  await tree.collect([])
  expect(await installedFiles(state)).toEqual({ 'a/file': 'two' })
  expect((await readdir(join(appFolder(state), 'releases'))).sort()).toEqual(['id-two', 'id-two.json'])
})

it('remembers which release was current before', async () => {
  await using state = await tempFolder()
  const { tree, install } = await openTree(state)
  await install('one')
  await install('two')
  await install('two')
  expect(await tree.record('id-one')).not.toHaveProperty('previous')
  expect(await tree.currentId()).toBe('id-two')
  await install('one')
  expect(await tree.record('id-one')).toMatchObject({ releaseId: 'id-one', previous: 'id-two' })
})

it('switches nothing when the signal aborts while it builds', async () => {
  await using state = await tempFolder()
  const { tree, install } = await openTree(state)
  await install('one')
  await expect(install('two', AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop')
  expect(await installedFiles(state)).toEqual({ 'a/file': 'one' })
  expect(await tree.currentId()).toBe('id-one')
})

it('takes a link to a release that is gone for none', async () => {
  await using state = await tempFolder()
  const { tree, install } = await openTree(state)
  expect(await tree.currentId()).toBeUndefined()
  await install('one')
  await rm(join(appFolder(state), 'releases/id-one'), { recursive: true })
  expect(await tree.currentId()).toBeUndefined()
})

interface OpenTree {
  readonly tree: ReleaseTree
  /** Installs a release of one file. */
  readonly install: (content: string, installSignal?: AbortSignal) => Promise<void>
}

async function openTree(state: TempFolder): Promise<OpenTree> {
  await mkdir(dirname(appFolder(state)))
  const tree = new ReleaseTree(appFolder(state), recordedLog().log)
  await tree.prepare()
  const store = new ContentStore(join(appFolder(state), 'store'))
  await store.load()
  return {
    tree,
    install: async (content, installSignal = signal) => {
      const file = join(tree.incoming, 'file')
      await writeFile(file, content)
      await chmod(file, 0o444)
      const release = releaseOf(content)
      for (const each of release.files) await store.add(file, each)
      await tree.install(release, store, installSignal)
    },
  }
}

function releaseOf(content: string): Release {
  const file = { path: 'a/file', sizeBytes: content.length, sha256: sha256(content), executable: false }
  return { releaseId: `id-${content}`, files: [file] }
}
