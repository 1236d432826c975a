import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { FakeArtifactSource } from '../../support/fake-artifact-source.ts'
import { sharedTransfers } from '../../support/shared-transfers.ts'
import {
  appFolder,
  filesBelow,
  installedFiles,
  sha256,
  startWorker,
  tempFolder,
  type RunningWorker,
  type TempFolder,
} from './artifact-fixture.ts'

it('drops what a release that was given up left in the store before it fetches the next one', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.failToInstall({ b: 'given up', full: 'too much' })
  expect(await storedContent(site.state)).toContain('given up')

  site.publish({ c: 'three' })
  const stored = await site.storedWhenOpening('app/c')

  expect(stored).toEqual(['one'])
  expect(await installedFiles(site.state)).toEqual({ c: 'three' })
})

it('drops it after a restart as well', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.failToInstall({ b: 'given up', full: 'too much' })
  await site.restart()

  site.publish({ c: 'three' })

  expect(await site.storedWhenOpening('app/c')).toEqual(['one'])
})

it('keeps what it fetched of a release that the source still holds', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.failToInstall({ b: 'three', full: 'too much' })

  site.publish({ b: 'three', c: 'more' })

  expect(await site.storedWhenOpening('app/c')).toEqual(['one', 'three'])
  expect(site.source.opened.filter((key) => key === 'app/b')).toHaveLength(1)
})

it('keeps the previous release while there is space', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.install({ a: 'two' })

  site.publish({ c: 'three' })

  expect(await site.storedWhenOpening('app/c')).toEqual(['one', 'two'])
})

it('gives up the previous release, never the current one, when a fetch ran out of space', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.install({ a: 'two' })
  const current = site.status().releaseId ?? ''
  await site.failToInstall({ full: 'three' })
  expect(await storedContent(site.state)).toEqual(['one', 'two'])

  expect(await site.storedWhenOpening('app/full')).toEqual(['two'])

  expect(await installedFiles(site.state)).toEqual({ full: 'three' })
  expect(site.treesWhenOpening).toEqual([current])
  expect(site.lines().filter((line) => line.includes('previous release'))).toHaveLength(1)
})

it('keeps content of the previous release that the next one wants', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.install({ a: 'two' })
  await site.failToInstall({ a: 'one', full: 'three' })

  expect(await site.storedWhenOpening('app/full')).toEqual(['one', 'two'])

  expect(site.source.opened.filter((key) => key === 'app/a')).toHaveLength(2)
  expect(await installedFiles(site.state)).toEqual({ a: 'one', full: 'three' })
})

it('keeps the previous release after a failure that has nothing to do with space', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.install({ a: 'two' })
  await site.failToInstall({ full: 'three' }, 'ECONNRESET')

  expect(await site.storedWhenOpening('app/full')).toEqual(['one', 'two'])
})

it('keeps the previous release, and fetches nothing, when one does not fit without it either', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.install({ a: 'two' })
  await site.failToInstall({ full: 'three' }) // which costs the previous release, if that can help
  await site.restart({ minFreeBytes: Number.MAX_SAFE_INTEGER })
  site.source.opened.length = 0
  for (let pass = 0; pass < 3; pass += 1) await site.failToFit()
  expect(site.source.opened).toEqual([])
  expect(await storedContent(site.state)).toEqual(['one', 'two'])
  expect(site.releases()).toBe(2)

  await site.restart()
  expect(await site.storedWhenOpening('app/full')).toEqual(['one', 'two'])
  expect(await installedFiles(site.state)).toEqual({ full: 'three' })
})

it('drops what came to nothing also when the next release never fits', async () => {
  await using site = await openSite()
  await site.install({ a: 'one' })
  await site.failToInstall({ b: 'given up', full: 'too much' })
  await site.restart({ minFreeBytes: Number.MAX_SAFE_INTEGER })
  site.publish({ c: 'three' })
  await site.failToFit()
  expect(await storedContent(site.state)).toEqual(['one'])
})

const contents = ['one', 'two', 'three', 'more', 'given up', 'too much']

type Files = Readonly<Record<string, string>>

/** An artifact whose disk is full whenever `failToInstall` says so: at the object `full`, the last one to be fetched. */
class Site implements AsyncDisposable {
  readonly state: TempFolder
  readonly source = new FakeArtifactSource('app/')
  treesWhenOpening: readonly string[] = []
  #running: RunningWorker
  #published: readonly string[] = []

  constructor(state: TempFolder) {
    this.state = state
    this.#running = startWorker(state, this.source, { concurrency: 1 })
  }

  publish(files: Files): void {
    for (const key of this.#published) this.source.remove(key)
    for (const [path, content] of Object.entries(files)) this.source.put(`app/${path}`, content)
    this.#published = Object.keys(files).map((path) => `app/${path}`)
  }

  async install(files: Files): Promise<void> {
    this.publish(files)
    await this.#running.pass()
  }

  async failToInstall(files: Files, code = 'ENOSPC'): Promise<void> {
    this.publish(files)
    this.source.beforeChunk = ({ key }) => {
      if (key === 'app/full') throw Object.assign(new Error(`${code}: write`), { code })
    }
    await expect(this.#running.pass()).rejects.toThrow()
    this.source.beforeChunk = () => undefined
  }

  /** Runs a pass that ends well, and answers what was stored when it opened the object. */
  async storedWhenOpening(key: string): Promise<readonly string[]> {
    let stored: readonly string[] = ['never opened']
    this.source.beforeOpen = async (object) => {
      if (object.key !== key) return
      stored = await storedContent(this.state)
      const releases = await readdir(join(appFolder(this.state), 'releases'))
      this.treesWhenOpening = releases.filter((name) => !name.endsWith('.json'))
    }
    await this.#running.pass()
    this.source.beforeOpen = () => undefined
    return stored
  }

  async failToFit(): Promise<void> {
    await expect(this.#running.pass()).rejects.toMatchObject({ name: 'NeverFitsError', retryable: false })
  }

  async restart(limits: Parameters<typeof sharedTransfers>[0] = {}): Promise<void> {
    await this.#running.stop()
    this.#running = startWorker(this.state, this.source, { concurrency: 1, transfers: sharedTransfers(limits) })
  }

  releases(): number {
    return this.#running.releases().length
  }

  status(): ReturnType<RunningWorker['status']> {
    return this.#running.status()
  }

  lines(): readonly string[] {
    return this.#running.lines.map(({ text }) => text)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop()
    await this.state[Symbol.asyncDispose]()
  }
}

async function openSite(): Promise<Site> {
  return new Site(await tempFolder())
}

/** The known contents that are in the store. */
async function storedContent(state: TempFolder): Promise<readonly string[]> {
  const files = await filesBelow(join(appFolder(state), 'store/sha256'))
  const digests = new Set(files.map((path) => path.slice(3, 67)))
  return contents.filter((content) => digests.has(sha256(content)))
}
