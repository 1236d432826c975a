import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ChecksumMismatchError, WrongContentError } from '../../../../agent/artifacts/transfer/received-object.ts'
import type { WantedFile } from '../../../../agent/artifacts/release/wanted-release.ts'
import { WrongContents } from '../../../../agent/artifacts/transfer/wrong-contents.ts'
import { FakeArtifactSource } from '../../../support/fake-artifact-source.ts'
import { manifestPayload, unsigned } from '../../../support/signed-manifest.ts'
import {
  appFolder,
  installedFiles,
  recordedLog,
  sha256,
  startWorker,
  tempFolder,
  type TempFolder,
} from '../artifact-fixture.ts'

const error = new WrongContentError('wrong', { hint: 'mend it', etag: '"1"' })
const hourMs = 3_600_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

it('knows an object that was wrong as long as it is the same version, also after a restart', async () => {
  await using folder = await tempFolder()
  const before = await load(folder)
  await before.note(wanted({ etag: '"1"' }), error)
  vi.advanceTimersByTime(100 * hourMs)
  for (const wrong of [before, await load(folder)]) {
    expect(wrong.errorOf(wanted({ etag: '"1"' }))).toMatchObject({ message: 'wrong', hint: 'mend it', etag: '"1"' })
    expect(wrong.errorOf(wanted({ etag: '"2"' }))).toBeUndefined()
    expect(wrong.errorOf(wanted({ etag: '"1"', versionId: 'v2' }))).toBeUndefined()
    expect(wrong.errorOf(wanted({ etag: '"1"', key: 'b' }))).toBeUndefined()
    expect(wrong.errorOf({ ...wanted({ etag: '"1"' }), promised: 'what it is' })).toBeUndefined()
  }
})

it('doubts an object without a known version after an hour, and after a restart: its etag has to tell', async () => {
  await using folder = await tempFolder()
  const wrong = await load(folder)
  await wrong.note(wanted(), error)
  vi.advanceTimersByTime(hourMs)
  expect(wrong.errorOf(wanted())).toBe(error)
  vi.advanceTimersByTime(1)
  const restarted = await load(folder)
  for (const doubting of [wrong, restarted]) {
    expect(doubting.errorOf(wanted())).toBeUndefined()
    expect(doubting.suspectOf(wanted())).toMatchObject({ etag: '"1"', error: { message: 'wrong' } })
  }
  restarted.confirm(wanted(), { etag: '"1"', error })
  expect(restarted.errorOf(wanted())).toBe(error)
})

it('has an object fetched again after an hour, or a restart, that differed from the checksum of its source: it may be damage on the way', async () => {
  await using folder = await tempFolder()
  const wrong = await load(folder)
  const object = wanted({ etag: '"1"' })
  const mismatch = new ChecksumMismatchError('wrong')
  await wrong.note(object, mismatch)
  vi.advanceTimersByTime(hourMs)
  expect(wrong.errorOf(object)).toBe(mismatch)
  expect((await load(folder)).errorOf(object)).toBeUndefined()
  vi.advanceTimersByTime(1)
  expect(wrong.errorOf(object)).toBeUndefined()
})

it('has an object fetched again that never had a version', async () => {
  await using folder = await tempFolder()
  const wrong = await load(folder)
  await wrong.note(wanted(), new WrongContentError('wrong', { etag: '' }))
  expect(wrong.errorOf(wanted())).toMatchObject({ message: 'wrong' })
  vi.advanceTimersByTime(hourMs + 1)
  expect([wrong.errorOf(wanted()), wrong.suspectOf(wanted())]).toEqual([undefined, undefined])
})

it('forgets all when everything was fetched, and writes only what changes', async () => {
  await using folder = await tempFolder()
  const wrong = await load(folder)
  await wrong.clear()
  await expect(stat(join(folder.path, 'wrong.json'))).rejects.toThrow('ENOENT')
  await wrong.note(wanted({ versionId: 'v1' }), error)
  await wrong.clear()
  expect(wrong.errorOf(wanted({ versionId: 'v1' }))).toBeUndefined()
  expect((await load(folder)).errorOf(wanted({ versionId: 'v1' }))).toBeUndefined()
  const { ino } = await stat(join(folder.path, 'wrong.json'))
  await wrong.clear()
  expect((await stat(join(folder.path, 'wrong.json'))).ino).toBe(ino)
})

it('keeps the newest 64', async () => {
  await using folder = await tempFolder()
  const wrong = await load(folder)
  for (let index = 0; index < 65; index += 1) await wrong.note(wanted({ key: `${index}`, etag: '"1"' }), error)
  const known = (keys: readonly number[], from: WrongContents): readonly boolean[] =>
    keys.map((key) => from.errorOf(wanted({ key: `${key}`, etag: '"1"' })) !== undefined)
  expect(known([0, 1, 64], wrong)).toEqual([false, true, true])
  expect(known([0, 1, 64], await load(folder))).toEqual([false, true, true])
})

it.each(['{"version":1,"objects":[{"id":', '{"version":2}'])(
  'sets a file aside that makes no sense, and says so: %s',
  async (text) => {
    await using folder = await tempFolder()
    await writeFile(join(folder.path, 'wrong.json'), text)
    const { log, lines } = recordedLog()
    const wrong = await WrongContents.load(folder.path, log)
    expect(wrong.errorOf(wanted({ etag: '"1"' }))).toBeUndefined()
    expect(lines.map((line) => line.text).join()).toContain('set aside')
    expect(await readFile(join(folder.path, 'wrong.json.unreadable'), 'utf8')).toBe(text)
  },
)

it('goes on when it cannot write, and says so', async () => {
  const { log, lines } = recordedLog()
  const wrong = await WrongContents.load('/dev/null/nowhere', log)
  await wrong.note(wanted({ etag: '"1"' }), error)
  expect(wrong.errorOf(wanted({ etag: '"1"' }))).toBe(error)
  expect(lines.map((line) => line.text).join()).toContain('cannot be remembered')
})

describe('after a restart', () => {
  const sizes = { largeObjectBytes: 20_000, partBytes: 10_000 }
  const [good, evil] = ['a'.repeat(30_000), 'b'.repeat(30_000)]

  it('fetches nothing of a wrong object whose version is listed', async () => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    source.put(`app/${sha256(good)}.bin`, evil)
    await fail(state, source)
    const file = join(appFolder(state), 'wrong.json')
    const { ino } = await stat(file)
    await fail(state, source)
    expect(source.ranges).toHaveLength(3)
    expect((await stat(file)).ino).toBe(ino)
  })

  it.each([
    ['large', sizes],
    ['small', { ...sizes, largeObjectBytes: 40_000 }],
  ])('asks with one byte whether a wrong %s object of a manifest is still the same', async (_, objectSizes) => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    const file = { path: 'model', key: 'model', size: good.length, sha256: sha256(good) }
    source.put('app/release.jws', unsigned(manifestPayload({ files: [file] })))
    source.put('app/model', evil)
    await fail(state, source, objectSizes)
    source.ranges.length = 0
    await fail(state, source, objectSizes)
    expect(source.ranges).toEqual([{ key: 'app/model', start: 0, end: 1 }])

    source.put('app/model', good)
    await using running = startWorker(state, source, { sizes: objectSizes })
    await running.pass()
    expect(await installedFiles(state)).toEqual({ model: good })
    expect(await readFile(join(appFolder(state), 'wrong.json'), 'utf8')).toBe('{"version":1,"objects":[]}\n')
  })

  it('fetches the same version once more when a person asks for it, but once an hour', async () => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    source.put(`app/${sha256(good)}.bin`, evil)
    await fail(state, source)
    source.ranges.length = 0
    await using running = startWorker(state, source, { sizes })
    await expect(running.pass()).rejects.toThrow('has the sha256')
    expect(source.ranges).toEqual([])
    for (let pass = 0; pass < 2; pass += 1) await expect(running.syncNow()).rejects.toThrow('has the sha256')
    expect(source.ranges).toHaveLength(3)
    vi.advanceTimersByTime(hourMs + 1)
    await expect(running.syncNow()).rejects.toThrow('has the sha256')
    expect(source.ranges).toHaveLength(6)
  })

  async function fail(state: TempFolder, source: FakeArtifactSource, objectSizes = sizes): Promise<void> {
    await using running = startWorker(state, source, { sizes: objectSizes })
    await expect(running.pass()).rejects.toThrow(`has the sha256 ${sha256(evil)}, not`)
  }
})

type Version = Partial<Pick<WantedFile['object'], 'key' | 'etag' | 'versionId'>>

function wanted(version: Version = {}): WantedFile {
  return { path: 'a', object: { key: 'a', sizeBytes: 1, ...version }, promised: sha256('a'), executable: false }
}

async function load(folder: Pick<TempFolder, 'path'>): Promise<WrongContents> {
  return await WrongContents.load(folder.path, recordedLog().log)
}
