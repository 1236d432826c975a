import { lstat, mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { FakeArtifactSource, silence } from '../../support/fake-artifact-source.ts'
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

describe('a first pass', () => {
  it('installs every object below the prefix as one release', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ 'model.bin': 'weights', 'config/a.json': '{}', empty: '' })
    await using running = startWorker(state, source)
    await running.pass()
    expect(await installedFiles(state)).toEqual({ 'model.bin': 'weights', 'config/a.json': '{}', empty: '' })
    expect(running.status()).toMatchObject({ name: 'app', files: 3, bytes: 9, fetchedFiles: 3, fetchedBytes: 9 })
    expect(running.status()).toMatchObject({ phase: 'idle', progress: undefined })
    expect(await readlink(join(appFolder(state), 'current'))).toBe(`releases/${String(running.status().releaseId)}`)
  })

  it('gives files and folders their modes whatever the umask', async () => {
    const umask = process.umask(0o077)
    try {
      await using state = await tempFolder()
      await using running = startWorker(state, sourceOf({ 'a/b': 'text' }))
      await running.pass()
      const folder = appFolder(state)
      expect(await modeOf(join(folder, 'current/a/b'))).toBe(0o444)
      const folders = ['..', '.', 'releases', 'store', 'store/sha256', 'current/', 'current/a/']
      for (const path of folders) expect([path, await modeOf(join(folder, path))]).toEqual([path, 0o755])
    } finally {
      process.umask(umask)
    }
  })

  it('logs one line about what it installed', async () => {
    await using state = await tempFolder()
    await using running = startWorker(state, sourceOf({ a: '1', b: '22' }))
    await running.pass()
    const releaseId = String(running.status().releaseId)
    expect(running.lines.map(({ text }) => text.replace(/^\S+ /, ''))).toEqual([
      `INFO  artifacts:app: release installed releaseId=${releaseId} files=2 bytes=3`,
    ])
  })

  it('installs a release without files when the source holds nothing', async () => {
    await using state = await tempFolder()
    await using running = startWorker(state, new FakeArtifactSource('app/'))
    await running.pass()
    expect(await installedFiles(state)).toEqual({})
  })

  it('keeps the installed release, and says so, when the source holds nothing any more', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'one' })
    await using running = startWorker(state, source)
    await running.pass()
    source.remove('app/a')
    await expect(running.pass()).rejects.toThrow('holds nothing there any more')
    expect(await installedFiles(state)).toEqual({ a: 'one' })
  })

  it('ignores folder markers', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ '': '', 'a/': '', 'a/b': 'text' })
    await using running = startWorker(state, source)
    await running.pass()
    expect(await installedFiles(state)).toEqual({ 'a/b': 'text' })
  })

  it('stores equal content once', async () => {
    await using state = await tempFolder()
    await using running = startWorker(state, sourceOf({ a: 'same', b: 'same' }))
    await running.pass()
    const [one, two] = await Promise.all(['a', 'b'].map((name) => stat(join(appFolder(state), 'current', name))))
    expect(one?.ino).toBe(two?.ino)
  })
})

describe('a later pass', () => {
  it('fetches nothing, logs nothing and writes nothing when nothing changed', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', 'b/c': '2' })
    await using running = startWorker(state, source)
    await running.pass()
    const before = await snapshot(state)
    const lines = running.lines.length
    await running.pass()
    expect(source.opened).toHaveLength(2)
    expect(running.lines).toHaveLength(lines)
    expect(await snapshot(state)).toEqual(before)
  })

  it('fetches only what changed, and leaves the release before it as it was', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'old', b: 'same' })
    await using running = startWorker(state, source)
    await running.pass()
    const old = await readlink(join(appFolder(state), 'current'))
    expect(source.opened.toSorted()).toEqual(['app/a', 'app/b']) // side by side
    source.put('app/a', 'new')
    await running.pass()
    expect(source.opened.slice(2)).toEqual(['app/a'])
    expect(await installedFiles(state)).toEqual({ a: 'new', b: 'same' })
    expect(await filesBelow(join(appFolder(state), old))).toEqual(['a', 'b'])
  })

  it('drops files that are gone from the source', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', b: '2' })
    await using running = startWorker(state, source)
    await running.pass()
    source.remove('app/a')
    await running.pass()
    expect(await installedFiles(state)).toEqual({ b: '2' })
  })

  it('keeps the previous release and its content, and nothing older', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'one' })
    await using running = startWorker(state, source)
    const ids: string[] = []
    for (const content of ['one', 'two', 'three']) {
      source.put('app/a', content)
      await running.pass()
      ids.push(String(running.status().releaseId))
    }
    const [, two, three] = ids
    expect((await readdir(join(appFolder(state), 'releases'))).sort()).toEqual(
      [two, `${String(two)}.json`, three, `${String(three)}.json`].sort(),
    )
    const index = await readFile(join(appFolder(state), 'index.json'), 'utf8')
    expect(index).toContain(sha256('two'))
    expect(index).not.toContain(sha256('one'))
    expect(await storedContent(state)).toEqual([`${sha256('three')}-0444`, `${sha256('two')}-0444`].sort())
  })

  it('keeps the newest content that no release needs up to maxStoreBytes, and installs it again without a fetch', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'one' })
    await using running = startWorker(state, source, { maxStoreBytes: 6 })
    for (const content of ['one', 'two', '3rd', '4th', '5th', 'two']) {
      source.put('app/a', content)
      await running.pass()
    }
    expect(source.opened).toHaveLength(5)
    expect(await installedFiles(state)).toEqual({ a: 'two' })
    source.put('app/a', 'one')
    await running.pass()
    expect(source.opened).toHaveLength(6)
  })

  it('goes back to the previous release without fetching anything', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'one' })
    await using running = startWorker(state, source)
    await running.pass()
    const first = running.status().releaseId
    source.put('app/a', 'two')
    await running.pass()
    source.put('app/a', 'one')
    await running.pass()
    expect(running.status().releaseId).toBe(first)
    expect(await installedFiles(state)).toEqual({ a: 'one' })
    expect(source.opened).toHaveLength(2)
  })

  it('fetches at most as many objects at a time as it may', async () => {
    await using state = await tempFolder()
    const names = Array.from({ length: 12 }, (_, index) => `file-${index}`)
    const source = sourceOf(Object.fromEntries(names.map((name) => [name, name])))
    const allOpen = Promise.withResolvers<undefined>()
    source.beforeChunk = async () => {
      if (source.openBodies === 3) allOpen.resolve(undefined)
      await allOpen.promise
    }
    await using running = startWorker(state, source, { concurrency: 3 })
    await running.pass()
    expect(source.maxOpenBodies).toBe(3)
    expect(source.openBodies).toBe(0)
  })

  it('shows how far it is', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'x'.repeat(1500), b: 'y' })
    await using running = startWorker(state, source, { concurrency: 1 })
    const seen: unknown[] = []
    source.beforeChunk = (object, offset) => {
      if (object.key === 'app/b' || offset > 0) seen.push(running.status())
    }
    await running.pass()
    expect(seen).toMatchObject([
      { phase: 'downloading', progress: { files: 0, totalFiles: 2, bytes: 1024, totalBytes: 1501 } },
      { phase: 'downloading', progress: { files: 1, totalFiles: 2, bytes: 1500, totalBytes: 1501 } },
    ])
  })
})

describe('the schedule', () => {
  it('has the next pass due in pollSeconds, give or take a tenth', async () => {
    await using state = await tempFolder()
    await using running = startWorker(state, sourceOf({}))
    await running.pass()
    await new Promise(setImmediate)
    const { lastPassMs = 0, nextPassMs = 0 } = running.worker.health()
    expect(nextPassMs - lastPassMs).toBeGreaterThan(269_000)
    expect(nextPassMs - lastPassMs).toBeLessThan(331_000)
  })

  it('shows a sign of life with every chunk', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'x'.repeat(3000) })
    await using running = startWorker(state, source, { idleTimeoutMs: 1_000_000 })
    const dueMs: number[] = []
    source.beforeChunk = async () => {
      dueMs.push(performance.now() - running.worker.overdueMs())
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await running.pass()
    const [first = 0, second = 0, third = 0] = dueMs
    expect(second - first).toBeGreaterThan(5)
    expect(third - second).toBeGreaterThan(5)
  })
})

describe('a pass that fails', () => {
  it('says what to do when the disk is full, and keeps the installed release', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'old' })
    await using running = startWorker(state, source)
    await running.pass()
    source.put('app/a', 'new')
    source.beforeChunk = () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    }
    await expect(running.pass()).rejects.toMatchObject({ hint: expect.stringContaining('free space') as unknown })
    expect(await installedFiles(state)).toEqual({ a: 'old' })
    source.beforeChunk = () => undefined
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: 'new' })
  })

  it('keeps the installed release when the listing fails, and recovers', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'old' })
    await using running = startWorker(state, source)
    await running.pass()
    source.put('app/a', 'new')
    source.beforeList = () => {
      throw new AgentError('no network', { retryable: true })
    }
    await expect(running.pass()).rejects.toThrow('no network')
    expect(await installedFiles(state)).toEqual({ a: 'old' })
    expect(running.worker.health().state).toBe('failing')
    source.beforeList = () => undefined
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: 'new' })
    expect(running.worker.health().state).toBe('ok')
  })

  it('keeps what it fetched before an object failed', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', b: '2', c: '3' })
    source.beforeOpen = ({ key }) => {
      if (key === 'app/c') throw new AgentError('denied')
    }
    await using running = startWorker(state, source, { concurrency: 1 })
    await expect(running.pass()).rejects.toThrow('denied')
    expect(await installedFiles(state)).toBeUndefined()
    source.beforeOpen = () => undefined
    await running.pass()
    expect(source.opened).toEqual(['app/a', 'app/b', 'app/c'])
  })

  it('installs the new content when an object is replaced between listing and download', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'old', b: 'same' })
    source.beforeOpen = ({ key }) => {
      source.beforeOpen = () => undefined
      source.put(key, 'new')
    }
    await using running = startWorker(state, source, { concurrency: 1 })
    await expect(running.pass()).rejects.toMatchObject({ name: 'ObjectChangedError', retryable: true })
    expect(await installedFiles(state)).toBeUndefined()
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: 'new', b: 'same' })
  })

  it('keeps the installed release when content is not what its name says, and does not fetch it again', async () => {
    await using state = await tempFolder()
    const name = `binaries/${sha256('good')}.tar.gz`
    const source = sourceOf({ a: 'old' })
    await using running = startWorker(state, source)
    await running.pass()
    source.put(`app/${name}`, 'evil')
    await expect(running.pass()).rejects.toMatchObject({ name: 'WrongContentError', retryable: false })
    await expect(running.pass()).rejects.toMatchObject({ name: 'WrongContentError' })
    expect(source.opened).toEqual(['app/a', `app/${name}`])
    expect(await installedFiles(state)).toEqual({ a: 'old' })
    source.put(`app/${name}`, 'good')
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: 'old', [name]: 'good' })
  })

  it.each([
    ['shorter', 1, 'ended after 2 of 3 bytes'],
    ['longer', -1, 'is longer than the 1 bytes'],
  ])('refuses content that is %s than it was listed', async (_, difference, message) => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '12' })
    const list = source.list.bind(source)
    source.list = async (signal) =>
      (await list(signal)).map((object) => ({ ...object, sizeBytes: object.sizeBytes + difference }))
    await using running = startWorker(state, source)
    await expect(running.pass()).rejects.toThrow(message)
    expect(await filesBelow(join(appFolder(state), 'incoming'))).toEqual([])
    expect(source.openBodies).toBe(0)
  })

  it.each(['../a', '/a', 'a//b', './a', 'a\0b', 'x'.repeat(256)])(
    'refuses the path %j and names the key',
    async (path) => {
      await using state = await tempFolder()
      const source = sourceOf({ good: 'old' })
      await using running = startWorker(state, source)
      await running.pass()
      source.put('app/good', 'new')
      source.put(`app/${path}`, 'evil')
      await expect(running.pass()).rejects.toThrow(JSON.stringify(`app/${path}`))
      expect(source.opened).toEqual(['app/good'])
      expect(await installedFiles(state)).toEqual({ good: 'old' })
    },
  )

  it('gives up on a body that falls silent, and closes it', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'x'.repeat(3000) })
    source.beforeChunk = async (_, offset, signal) => {
      if (offset > 0 || source.opened.length > 1) await silence(signal)
    }
    await using running = startWorker(state, source, { idleTimeoutMs: 20 })
    await expect(running.pass()).rejects.toMatchObject({ name: 'DeadlineError', retryable: true })
    expect(source.ranges.map(({ start }) => start)).toEqual([0, 1024, 1024, 1024])
    expect(source.openBodies).toBe(0)
    expect(await filesBelow(join(appFolder(state), 'incoming'))).toEqual([])
    expect(running.status()).toMatchObject({ phase: 'idle', fetchedFiles: 0, fetchedBytes: 1024 })
    expect(running.status().progress).toBeUndefined()
  })

  it('waits for a slow body as long as it keeps sending', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: 'x'.repeat(5000) })
    await using running = startWorker(state, source, { idleTimeoutMs: 2000 })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      source.beforeChunk = () => {
        expect(vi.getTimerCount()).toBeGreaterThan(0)
        vi.advanceTimersByTime(1500)
      }
      await running.pass()
    } finally {
      vi.useRealTimers()
    }
    expect(await installedFiles(state)).toEqual({ a: 'x'.repeat(5000) })
  })
})

describe('a stop in mid-pass', () => {
  it('leaves no temporary file, no open body and no release, and the next process fetches only the rest', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', b: 'x'.repeat(3000) })
    const reached = Promise.withResolvers<undefined>()
    source.beforeChunk = async ({ key }, offset, signal) => {
      if (key !== 'app/b' || offset === 0) return
      reached.resolve(undefined)
      await silence(signal)
    }
    await using running = startWorker(state, source, { concurrency: 1 })
    const pass = expect(running.pass()).rejects.toThrow('the worker is stopped')
    await reached.promise
    await running.stop()
    await pass
    expect(source.openBodies).toBe(0)
    expect(await installedFiles(state)).toBeUndefined()
    expect(await filesBelow(join(appFolder(state), 'incoming'))).toEqual([])

    source.beforeChunk = () => undefined
    await using next = startWorker(state, source)
    await next.pass()
    expect(source.opened).toEqual(['app/a', 'app/b', 'app/b'])
    expect(await installedFiles(state)).toEqual({ a: '1', b: 'x'.repeat(3000) })
  })
})

describe('a restart', () => {
  it('reports the installed release before the network answers', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '123' })
    const first = await runOnce(state, source)
    source.beforeList = () => {
      throw new AgentError('no network', { retryable: true })
    }
    await using running = startWorker(state, source)
    await expect(running.pass()).rejects.toThrow('no network')
    expect(running.status()).toMatchObject({ releaseId: first.releaseId, files: 1, bytes: 3, fetchedFiles: 0 })
    expect(running.status().installedAtMs).toBe(first.installedAtMs)
  })

  it('fetches nothing that is installed already', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', b: '2' })
    await runOnce(state, source)
    await runOnce(state, source)
    expect(source.opened).toHaveLength(2)
  })

  it('fetches nothing again after a crash between the last download and the switch', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1', b: '2' })
    await runOnce(state, source)
    await rm(join(appFolder(state), 'current'))
    await rm(join(appFolder(state), 'releases'), { recursive: true })
    await runOnce(state, source)
    expect(source.opened).toHaveLength(2)
    expect(await installedFiles(state)).toEqual({ a: '1', b: '2' })
  })

  it('removes what a crash left behind', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1' })
    await runOnce(state, source)
    const before = await filesBelow(appFolder(state))
    const folder = appFolder(state)
    await mkdir(join(folder, 'incoming/half-built/sub'), { recursive: true })
    await mkdir(join(folder, 'releases/never-switched-to'))
    await mkdir(join(folder, 'store/sha256/ff'), { recursive: true })
    const leftovers = [
      'incoming/half',
      'incoming/half-built/sub/file',
      '.0123456789ab.tmp',
      'releases/.0123456789ab.tmp',
      'releases/never-switched-to/a',
      `store/sha256/ff/ff${'0'.repeat(62)}-0444`,
    ]
    for (const path of leftovers) await writeFile(join(folder, path), 'left')
    await runOnce(state, source)
    expect(await filesBelow(folder)).toEqual(before)
  })

  it('starts over, with a warning, when the index cannot be read', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1' })
    await runOnce(state, source)
    const index = join(appFolder(state), 'index.json')
    await writeFile(index, '{"version":1,')
    source.put('app/b', '2')
    await using running = startWorker(state, source)
    await running.pass()
    expect(running.lines.map(({ text }) => text)).toEqual([
      expect.stringContaining('state file cannot be read'),
      expect.stringContaining('release installed'),
    ])
    expect(await installedFiles(state)).toEqual({ a: '1', b: '2' })
  })

  it('does not read the index, which may be large, when nothing changed', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1' })
    await runOnce(state, source)
    const index = join(appFolder(state), 'index.json')
    await writeFile(index, '{"version":1,')
    await using running = startWorker(state, source)
    await running.pass()
    expect(running.lines).toEqual([])
    expect(await readFile(index, 'utf8')).toBe('{"version":1,')
  })

  it('installs the release again when its tree or its record is gone', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1' })
    const { releaseId } = await runOnce(state, source)
    await rm(join(appFolder(state), `releases/${String(releaseId)}.json`))
    expect(await runOnce(state, source)).toMatchObject({ releaseId, files: 1 })
    await rm(join(appFolder(state), `releases/${String(releaseId)}`), { recursive: true })
    await runOnce(state, source)
    expect(await installedFiles(state)).toEqual({ a: '1' })
  })

  it('installs the release again, with one warning, when a folder stands where the link should be', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '1' })
    await runOnce(state, source)
    await rm(join(appFolder(state), 'current'))
    await mkdir(join(appFolder(state), 'current'))
    await using running = startWorker(state, source)
    await running.pass()
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: '1' })
    expect(running.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    expect(source.opened).toHaveLength(1)
  })

  it('fetches stored content again when it was damaged', async () => {
    await using state = await tempFolder()
    const source = sourceOf({ a: '12' })
    await runOnce(state, source)
    const path = join(appFolder(state), 'store/sha256', sha256('12').slice(0, 2), `${sha256('12')}-0444`)
    await rm(path)
    await writeFile(path, '1')
    source.put('app/b', 'more')
    await using running = startWorker(state, source)
    await expect(running.pass()).rejects.toThrow('has 1 bytes instead of 2')
    await running.pass()
    expect(await installedFiles(state)).toEqual({ a: '12', b: 'more' })
  })
})

function sourceOf(files: Readonly<Record<string, string>>): FakeArtifactSource {
  const source = new FakeArtifactSource('app/')
  for (const [path, content] of Object.entries(files)) source.put(`app/${path}`, content)
  return source
}

async function runOnce(state: TempFolder, source: FakeArtifactSource): Promise<ReturnType<RunningWorker['status']>> {
  await using running = startWorker(state, source)
  await running.pass()
  return running.status()
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o7777
}

/** Name, inode, times of everything in the folder: changes with every write. */
async function snapshot(state: TempFolder): Promise<readonly unknown[]> {
  const root = appFolder(state)
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = entries.map((entry) => join(entry.parentPath, entry.name)).sort()
  const shown = paths.map(async (path) => {
    const { ino, mtimeMs, ctimeMs } = await lstat(path)
    return { path, ino, mtimeMs, ctimeMs }
  })
  return await Promise.all(shown)
}

async function storedContent(state: TempFolder): Promise<readonly string[]> {
  const files = await filesBelow(join(appFolder(state), 'store/sha256'))
  return files.map((path) => path.slice(3)).sort()
}
