import { lstat, mkdir, mkdtempDisposable, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { createLog } from '../../../agent/lib/log.ts'
import { LogStateFile, parseLogState, type LogCursor, type LogState } from '../../../agent/logs/log-cursors.ts'
import { useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const cursors = fc.array(
  fc.record({
    path: fc.string().map((name) => `/${name}`),
    fileId: fc
      .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n }), fc.bigInt({ min: 0n, max: 2n ** 64n }))
      .map((ids) => ids.join(':')),
    headBytes: fc.integer({ min: 0, max: 1_024 }),
    headSha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    positionBytes: fc.maxSafeNat(),
    sizeBytes: fc.maxSafeNat(),
  }),
)

const gaps = fc.array(
  fc.record(
    {
      target: fc.constant({ group: '/group', stream: 'stream' }),
      source: fc.string(),
      reason: fc.constantFrom('rotated', 'vacuumed', 'too far behind', 'level', 'dropped', 'refused'),
      bytes: fc.maxSafeNat(),
      lines: fc.maxSafeNat(),
      firstMs: fc.maxSafeNat(),
      lastMs: fc.maxSafeNat(),
    },
    { requiredKeys: ['target', 'source', 'reason'] },
  ),
)

test('reads back what was written, for any cursors and gap records', () => {
  fc.assert(
    fc.property(cursors, fc.jsonValue(), gaps, (files, journal, given) => {
      const state = JSON.parse(JSON.stringify({ version: 2, revision: 7, files, journal, gaps: given })) as unknown
      expect(parseLogState(state)).toEqual(JSON.parse(JSON.stringify({ revision: 7, files, journal, gaps: given })))
    }),
  )
})

test('takes over the cursors that the version before wrote', () => {
  fc.assert(
    fc.property(cursors, (given) => {
      const state = JSON.parse(JSON.stringify({ version: 1, cursors: given })) as unknown
      expect(parseLogState(state)).toEqual({ revision: 0, files: given, journal: undefined, gaps: [] })
    }),
  )
})

test('answers a state or throws, for any JSON', () => {
  const second = fc.record({
    version: fc.constant(2),
    files: fc.jsonValue(),
    journal: fc.jsonValue(),
    gaps: fc.jsonValue(),
  })
  const first = fc.record({ version: fc.constant(1), cursors: fc.jsonValue() })
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), first, second), (value) => {
      try {
        for (const { positionBytes } of parseLogState(value).files) expect(positionBytes).toBeGreaterThanOrEqual(0)
      } catch (error) {
        expect(error).toHaveProperty('name', 'ZodError')
      }
    }),
  )
})

test('writes at most every 5 seconds, and only when something moved', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const path = join(folder.path, 'cursors.json')
  const file = new LogStateFile({ ...placesIn(folder.path), log: createLog({ level: 'error', sinks: [] }) })
  await file.load()
  await file.saveIfDue(() => at(1))
  await file.saveIfDue(() => at(2))
  expect(await positionIn(path)).toBe(1)
  vi.advanceTimersByTime(5_000)
  await file.saveIfDue(() => at(2))
  expect(await positionIn(path)).toBe(2)
  vi.advanceTimersByTime(5_000)
  await rm(path)
  await file.saveIfDue(() => ({ ...at(2), files: at(2).files.map((cursor) => ({ ...cursor, sizeBytes: 99 })) }))
  await expect(readFile(path)).rejects.toThrow('ENOENT')
  const gap = { target: { group: 'g', stream: 's' }, source: 'x', reason: 'rotated' } as const
  await file.saveIfDue(() => ({ ...at(2), gaps: [gap] }))
  expect(parseLogState(JSON.parse(await readFile(path, 'utf8'))).gaps).toEqual([gap])
  vi.advanceTimersByTime(5_000)
  await file.saveIfDue(() => at(3))
  expect(await positionIn(path)).toBe(3)
})

test('writes nothing before it has read what is there', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const file = new LogStateFile({ ...placesIn(folder.path), log: createLog({ level: 'error', sinks: [] }) })
  await file.save(at(1))
  await expect(readFile(join(folder.path, 'cursors.json'))).rejects.toThrow('ENOENT')
})

test('leaves a file alone that cannot be read for the moment, and sets it aside after a minute of that', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const path = join(folder.path, 'cursors.json')
  await symlink('cursors.json', path) // ELOOP, whoever reads it
  const file = new LogStateFile({ ...placesIn(folder.path), log: createLog({ level: 'error', sinks: [] }) })
  await expect(file.load()).rejects.toMatchObject({ retryable: true })
  expect((await lstat(path)).isSymbolicLink()).toBe(true)
  vi.advanceTimersByTime(60_000)
  expect(await file.load()).toEqual({ files: [], journal: undefined, gaps: [] })
  expect((await lstat(`${path}.unreadable`)).isSymbolicLink()).toBe(true)
})

test.for(['cursors.json', 'copy.json'])(
  'waits for a good %s as long as reading it fails, and reads it then',
  async (name) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
    const path = join(folder.path, name)
    await symlink('/proc/self/mem', path) // EIO, whoever reads it
    const file = new LogStateFile({ ...placesIn(folder.path), log: createLog({ level: 'error', sinks: [] }) })
    for (let hour = 0; hour < 24; hour += 1) {
      await expect(file.load()).rejects.toMatchObject({ retryable: true, cause: { code: 'EIO' } })
      vi.advanceTimersByTime(3_600_000)
    }
    await file.save(at(1))
    expect((await lstat(path)).isSymbolicLink()).toBe(true)
    await rm(path)
    await writeFile(path, JSON.stringify({ version: 2, revision: 1, ...at(7) }))
    expect((await file.load()).files[0]?.positionBytes).toBe(7)
  },
)

test('does without a copy in memory that cannot be read for more than a minute', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const places = placesIn(folder.path)
  await writeFile(join(folder.path, 'cursors.json'), JSON.stringify({ version: 2, revision: 1, ...at(7) }))
  await symlink('copy.json', places.copyPath)
  const file = new LogStateFile({ ...places, log: createLog({ level: 'error', sinks: [] }) })
  await expect(file.load()).rejects.toMatchObject({ retryable: true })
  vi.advanceTimersByTime(60_000)
  expect((await file.load()).files[0]?.positionBytes).toBe(7)
})

test('goes on from the copy in memory where that was written later, and from the disk where the copy is older or gone', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const places = { ...placesIn(folder.path), log: createLog({ level: 'error', sinks: [] }) }
  const position = async (): Promise<number | undefined> =>
    (await new LogStateFile(places).load()).files[0]?.positionBytes
  const first = new LogStateFile(places)
  await first.load()
  await first.save(at(1))
  first.copy(at(2))
  expect(await position()).toBe(2)
  const second = new LogStateFile(places)
  await second.load()
  vi.advanceTimersByTime(5_000)
  await second.save(at(3))
  expect(await position()).toBe(3)
  second.copy(at(4))
  expect(await position()).toBe(4)
  vi.advanceTimersByTime(5_000)
  const saving = second.save(at(5))
  second.copy(at(6))
  await saving
  expect(await position(), 'a copy of what came while an older state was being saved').toBe(6)
  await rm(places.copyPath)
  expect(await position()).toBe(5)
})

test('says that the copy cannot be written, until it can', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const places = { folder: folder.path, copyPath: join(folder.path, 'later', 'copy.json') }
  const file = new LogStateFile({ ...places, log: createLog({ level: 'error', sinks: [] }) })
  await file.load()
  file.copy(at(1))
  expect(file.copyError).toMatchObject({ code: 'ENOENT' })
  await mkdir(join(folder.path, 'later'))
  file.copy(at(1))
  expect(file.copyError).toBeUndefined()
})

function placesIn(folder: string): { readonly folder: string; readonly copyPath: string } {
  return { folder, copyPath: join(folder, 'copy.json') }
}

function at(positionBytes: number): LogState {
  const cursor: LogCursor = {
    path: '/app.log',
    fileId: '1:2',
    headBytes: 0,
    headSha256: '0'.repeat(64),
    positionBytes,
    sizeBytes: 10,
  }
  return { files: [cursor], journal: undefined, gaps: [] }
}

async function positionIn(path: string): Promise<number | undefined> {
  return parseLogState(JSON.parse(await readFile(path, 'utf8'))).files[0]?.positionBytes
}
