import { mkdtempDisposable, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { createLog } from '../../../agent/lib/log.ts'
import { LogCursorFile, parseLogCursors, type LogCursor } from '../../../agent/logs/log-cursors.ts'
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

test('reads back what was written, for any cursors', () => {
  fc.assert(
    fc.property(cursors, (given) => {
      expect(parseLogCursors(JSON.parse(JSON.stringify({ version: 1, cursors: given })))).toEqual(given)
    }),
  )
})

test('answers cursors or throws, for any JSON', () => {
  const json = fc.oneof(fc.jsonValue(), fc.record({ version: fc.constant(1), cursors: fc.jsonValue() }))
  fc.assert(
    fc.property(json, (value) => {
      try {
        for (const { positionBytes } of parseLogCursors(value)) expect(positionBytes).toBeGreaterThanOrEqual(0)
      } catch (error) {
        expect(error).toHaveProperty('name', 'ZodError')
      }
    }),
  )
})

test('writes at most every 5 seconds, and only when a cursor moved', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'log-cursors-'))
  const path = join(folder.path, 'cursors.json')
  const file = new LogCursorFile(folder.path, createLog({ level: 'error', sinks: [] }))
  await file.load()
  await file.saveIfDue([at(1)])
  await file.saveIfDue([at(2)])
  expect(await positionIn(path)).toBe(1)
  vi.advanceTimersByTime(5_000)
  await file.saveIfDue([at(2)])
  expect(await positionIn(path)).toBe(2)
  vi.advanceTimersByTime(5_000)
  await rm(path)
  await file.saveIfDue([{ ...at(2), sizeBytes: 99 }])
  await expect(readFile(path)).rejects.toThrow('ENOENT')
  await file.saveIfDue([at(3)])
  expect(await positionIn(path)).toBe(3)
})

function at(positionBytes: number): LogCursor {
  return { path: '/app.log', fileId: '1:2', headBytes: 0, headSha256: '0'.repeat(64), positionBytes, sizeBytes: 10 }
}

async function positionIn(path: string): Promise<number | undefined> {
  return parseLogCursors(JSON.parse(await readFile(path, 'utf8')))[0]?.positionBytes
}
