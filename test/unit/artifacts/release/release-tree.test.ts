import { chmod, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

import type { Release } from '../../../../agent/artifacts/artifact-plan.ts'
import { ContentStore } from '../../../../agent/artifacts/content-store.ts'
import { ReleaseTree } from '../../../../agent/artifacts/release/release-tree.ts'
import type { LogLine } from '../../../../agent/lib/log.ts'
import { appFolder, installedFiles, recordedLog, sha256, tempFolder, type TempFolder } from '../artifact-fixture.ts'

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

it.each([
  [
    'a folder',
    async (path: string) => {
      await mkdir(join(path, 'sub'), { recursive: true })
    },
  ],
  [
    'a file',
    async (path: string) => {
      await writeFile(path, 'text')
    },
  ],
])('sets %s aside that stands where the link should be, with one warning', async (_, occupy) => {
  await using state = await tempFolder()
  const { tree, install, lines } = await openTree(state)
  for (const content of ['one', 'two']) {
    await rm(join(appFolder(state), 'current'), { force: true })
    await occupy(join(appFolder(state), 'current'))
    await tree.prepare()
    expect(await tree.currentId()).toBeUndefined()
    await install(content)
    await tree.prepare()
    expect(await tree.currentId()).toBe(`id-${content}`)
  }
  expect(await readdir(appFolder(state))).toContain('current.unreadable')
  expect(lines.map(({ level, text }) => [level, text.includes('current.unreadable')])).toEqual([
    ['warn', true],
    ['warn', true],
  ])
})

it('takes a link that leads to itself, or through a file, for none', async () => {
  await using state = await tempFolder()
  const { tree, install } = await openTree(state)
  for (const target of ['current', 'releases/id-one.json/x']) {
    await install('one')
    await rm(join(appFolder(state), 'current'))
    await symlink(target, join(appFolder(state), 'current'))
    await tree.prepare()
    expect(await tree.currentId()).toBeUndefined()
  }
  await install('two')
  expect(await tree.currentId()).toBe('id-two')
})

interface OpenTree {
  readonly tree: ReleaseTree
  /** Installs a release of one file. */
  readonly install: (content: string, installSignal?: AbortSignal) => Promise<void>
  readonly lines: readonly LogLine[]
}

async function openTree(state: TempFolder): Promise<OpenTree> {
  await mkdir(dirname(appFolder(state)))
  const { log, lines } = recordedLog()
  const tree = new ReleaseTree(appFolder(state), log)
  await tree.prepare()
  const store = new ContentStore(join(appFolder(state), 'store'))
  await store.load()
  return {
    tree,
    lines,
    install: async (content, installSignal = signal) => {
      const file = join(tree.incoming, 'file')
      await writeFile(file, content)
      await chmod(file, 0o444)
      const release = releaseOf(content)
      for (const each of release.files) await store.add([{ file, content: each }])
      await tree.install(release, { store, signal: installSignal })
    },
  }
}

function releaseOf(content: string): Release {
  const file = { path: 'a/file', sizeBytes: content.length, sha256: sha256(content), executable: false }
  return { releaseId: `id-${content}`, files: [file] }
}
