import { randomBytes } from 'node:crypto'
import { appendFile, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { planParts } from '../../../../agent/artifacts/transfer/part-plan.ts'
import { AgentError } from '../../../../agent/lib/errors.ts'
import { FakeArtifactSource, silence } from '../../../support/fake-artifact-source.ts'
import { manifestPayload, unsigned } from '../../../support/signed-manifest.ts'
import { appFolder, filesBelow, sha256, startWorker, tempFolder, type TempFolder } from '../artifact-fixture.ts'

const sizes = { largeObjectBytes: 20_000, partBytes: 10_000 }
const content = randomBytes(95_000)
const allParts = planParts(content.byteLength, sizes.partBytes).map(({ start }) => start)

describe('a large object', () => {
  it('is fetched in parts, each once, and installed as it is', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toEqual(allParts)
    expect(source.ranges.every(({ start, end }) => end - start <= sizes.partBytes)).toBe(true)
    expect(await installed(state)).toEqual(content)
    expect(await partials(state)).toEqual([])
    expect(running.status().fetchedBytes).toBe(content.byteLength)
  })

  it('is whole whatever the order is in which its parts come', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    source.beforeChunk = async (_, offset) => {
      if (offset === 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
    }
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(await installed(state)).toEqual(content)
  })

  it('is fetched several parts at a time', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const enough = Promise.withResolvers<undefined>()
    source.beforeChunk = async () => {
      if (source.openBodies === 8) enough.resolve(undefined)
      await enough.promise
    }
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(source.maxOpenBodies).toBe(8)
  })

  it('costs only the rest of a part when a connection breaks off', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    let broken = 0
    source.beforeChunk = (_, offset) => {
      if (offset < 4_096 || broken > 0) return
      broken += 1
      throw new AgentError('the line is gone', { retryable: true })
    }
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(await installed(state)).toEqual(content)
    expect(running.status().fetchedBytes).toBe(content.byteLength)
    expect(source.ranges).toHaveLength(allParts.length + 1)
  })

  it('is dropped when it is replaced in mid-download, and fetched anew by the next pass', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const next = randomBytes(95_000)
    source.beforeOpen = () => {
      if (source.opened.length === 5) source.put('app/model', next)
    }
    await using running = startWorker(state, source, { sizes })
    await expect(running.pass()).rejects.toMatchObject({ name: 'ObjectChangedError', retryable: true })
    expect(await partials(state)).toEqual([])
    await running.pass()
    expect(await installed(state)).toEqual(next)
  })
})

describe('a large object of a manifest, whose version nobody has named', () => {
  it('costs one byte more, which names the version of all parts', async () => {
    await using state = await tempFolder()
    const source = manifestOf(content)
    const asked: (string | undefined)[] = []
    source.beforeOpen = ({ etag }) => {
      asked.push(etag)
    }
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(source.ranges[0]).toEqual({ key: 'app/model', start: 0, end: 1 })
    expect(starts(source).slice(1)).toEqual(allParts)
    const [first, ...others] = asked
    expect(first).toBeUndefined()
    expect(new Set(others)).toEqual(new Set([expect.stringMatching(/^"[0-9a-f]{32}"$/)]))
    expect(await installed(state)).toEqual(content)
  })

  it('costs that byte once, however often it is interrupted', async () => {
    await using state = await tempFolder()
    const source = manifestOf(content)
    source.beforeOpen = () => {
      if (source.opened.length >= 5) throw new AgentError('denied')
    }
    for (let pass = 0; pass < 2; pass += 1) {
      await using running = startWorker(state, source, { sizes })
      await expect(running.pass()).rejects.toThrow('denied')
    }
    source.beforeOpen = () => undefined
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(source.ranges.filter(({ end }) => end === 1)).toHaveLength(1)
    expect(source.ranges).toHaveLength(1 + allParts.length)
    expect(await installed(state)).toEqual(content)
  })

  it('is dropped when it is replaced between that byte and the first part, and fetched anew by the next pass', async () => {
    await using state = await tempFolder()
    const source = manifestOf(content, randomBytes(content.byteLength))
    source.beforeOpen = () => {
      if (source.opened.length === 1) source.put('app/model', content)
    }
    await using running = startWorker(state, source, { sizes })
    await expect(running.pass()).rejects.toMatchObject({ name: 'ObjectChangedError', retryable: true })
    expect(source.ranges).toEqual([{ key: 'app/model', start: 0, end: 1 }])
    expect(await partials(state)).toEqual([])
    source.beforeOpen = () => undefined
    await running.pass()
    expect(await installed(state)).toEqual(content)
  })

  it('is asked for by the versionId of the manifest where that has one, without a byte more', async () => {
    await using state = await tempFolder()
    const source = manifestOf(content, content, { versionId: 'v1' })
    const asked = new Set<string | undefined>()
    source.beforeOpen = ({ versionId }) => {
      asked.add(versionId)
    }
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toEqual(allParts)
    expect(asked).toEqual(new Set(['v1']))
  })

  it('is installed in both modes where one path may be run and another not', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const file = { key: 'model', size: content.byteLength, sha256: sha256(content) }
    const files = [
      { ...file, path: 'model' },
      { ...file, path: 'run', executable: true },
    ]
    source.put('app/release.jws', unsigned(manifestPayload({ files })))
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(await installed(state)).toEqual(content)
    const modes = ['model', 'run'].map(
      async (path) => (await stat(join(appFolder(state), 'current', path))).mode & 0o777,
    )
    expect(await Promise.all(modes)).toEqual([0o444, 0o555])
    expect(await partials(state)).toEqual([])
  })
})

describe('an interrupted large object', () => {
  it('goes on after a failure with the parts that are missing', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const fetched = await failAfter(state, source, 4)
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toEqual(allParts.filter((start) => !fetched.includes(start)))
    expect(await installed(state)).toEqual(content)
    expect(running.status().fetchedBytes).toBeLessThan(content.byteLength)
  })

  it('counts what it has already in its progress', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const fetched = await failAfter(state, source, 4)
    await using running = startWorker(state, source, { sizes })
    const seen: number[] = []
    source.beforeOpen = () => {
      seen.push(running.status().progress?.bytes ?? -1)
    }
    await running.pass()
    expect(seen[0]).toBe(fetched.length * sizes.partBytes)
  })

  it('goes on after a stop in mid-part', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const reached = Promise.withResolvers<undefined>()
    source.beforeChunk = async (_, offset, signal) => {
      if (source.opened.length < 9 || offset === 0) return
      reached.resolve(undefined)
      await silence(signal)
    }
    const first = startWorker(state, source, { sizes })
    const pass = expect(first.pass()).rejects.toThrow('the worker is stopped')
    await reached.promise
    await first.stop()
    await pass
    const recorded = await recordedParts(state)
    source.beforeChunk = () => undefined
    source.ranges.length = 0
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toEqual(allParts.filter((_, index) => !recorded.includes(index)))
    expect(await installed(state)).toEqual(content)
  })

  it('fetches a part again that is damaged on disk, says so, and nothing else', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    const fetched = await failAfter(state, source, 4)
    const [damaged = 0] = fetched
    await overwrite(state, damaged + 5_000)
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toContain(damaged)
    expect(starts(source)).toEqual(allParts.filter((start) => start === damaged || !fetched.includes(start)))
    expect(await installed(state)).toEqual(content)
    expect(running.lines.map(({ text }) => text)).toContainEqual(expect.stringContaining('is damaged'))
  })

  it('ignores the last line of the ledger when it was cut off', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    await failAfter(state, source, 4)
    const [ledger = ''] = (await partials(state)).filter((name) => name.endsWith('.parts'))
    await appendFile(join(appFolder(state), 'partial', ledger), `9 ${'0'.repeat(20)}`)
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(await installed(state)).toEqual(content)
  })

  it('starts over when its ledger cannot be read', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    await failAfter(state, source, 4)
    const [ledger = ''] = (await partials(state)).filter((name) => name.endsWith('.parts'))
    const file = await open(join(appFolder(state), 'partial', ledger), 'w')
    await file.close()
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(starts(source)).toEqual(allParts)
    expect(await installed(state)).toEqual(content)
  })

  it('is removed when the source does not want it any more', async () => {
    await using state = await tempFolder()
    const source = sourceOf(content)
    await failAfter(state, source, 4)
    source.put('app/model', 'small now')
    await using running = startWorker(state, source, { sizes })
    await running.pass()
    expect(await partials(state)).toEqual([])
    expect(await installed(state)).toEqual(Buffer.from('small now'))
  })
})

function sourceOf(bytes: Uint8Array): FakeArtifactSource {
  const source = new FakeArtifactSource('app/')
  source.put('app/model', bytes)
  return source
}

/** A source whose manifest wants `promised` as the one file; `there` is what is in its place. */
function manifestOf(
  promised: Uint8Array,
  there = promised,
  more: Readonly<Record<string, string>> = {},
): FakeArtifactSource {
  const source = sourceOf(there)
  const file = { path: 'model', key: 'model', size: promised.byteLength, sha256: sha256(promised), ...more }
  source.put('app/release.jws', unsigned(manifestPayload({ files: [file] })))
  return source
}

/** Runs a pass in which the source fails once so many parts are recorded; answers where they begin. */
async function failAfter(state: TempFolder, source: FakeArtifactSource, parts: number): Promise<readonly number[]> {
  await using running = startWorker(state, source, { sizes })
  source.beforeOpen = () => {
    if (source.opened.length >= parts) throw new AgentError('denied')
  }
  await expect(running.pass()).rejects.toThrow('denied')
  const recorded = await recordedParts(state)
  expect(recorded.length).toBe(parts)
  source.beforeOpen = () => undefined
  source.ranges.length = 0
  return recorded.map((index) => index * sizes.partBytes)
}

async function recordedParts(state: TempFolder): Promise<readonly number[]> {
  const [ledger = ''] = (await partials(state)).filter((name) => name.endsWith('.parts'))
  const text = await readFile(join(appFolder(state), 'partial', ledger), 'utf8')
  return [...text.matchAll(/^(\d+) [0-9a-f]{64}$/gm)].map(([, index]) => Number(index)).sort((a, b) => a - b)
}

async function overwrite(state: TempFolder, position: number): Promise<void> {
  const [data = ''] = (await partials(state)).filter((name) => name.endsWith('.data'))
  await using file = await open(join(appFolder(state), 'partial', data), 'r+')
  await file.write(Buffer.from('damage'), 0, 6, position)
}

function starts(source: FakeArtifactSource): readonly number[] {
  return source.ranges.map(({ start }) => start).sort((a, b) => a - b)
}

/** What is installed, once it was found under its own digest in the store. */
async function installed(state: TempFolder): Promise<Buffer> {
  const found = await readFile(join(appFolder(state), 'current', 'model'))
  const stored = await filesBelow(join(appFolder(state), 'store/sha256'))
  expect(stored.some((path) => path.endsWith(`/${sha256(found)}-0444`))).toBe(true)
  return found
}

async function partials(state: TempFolder): Promise<readonly string[]> {
  const names = await readdir(join(appFolder(state), 'partial')).catch(() => [])
  expect(await filesBelow(join(appFolder(state), 'incoming'))).toEqual([])
  return names
}
