import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { RefusalLedger } from '../../../agent/cameras/refusal-ledger.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

const minuteMs = 60_000
const host = '10.0.0.5'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'], now: Date.UTC(2027, 0, 1) })
})
afterEach(() => {
  vi.useRealTimers()
})

function pathIn(folder: TempFolder): string {
  return join(folder.path, 'cameras', 'refusals.json')
}

/** A ledger as at a start of the agent. */
async function start(folder: TempFolder, cloudNow = Date.now) {
  const log = new RecordingLog()
  const ledger = new RefusalLedger({ path: pathIn(folder), cloudNow, log })
  await ledger.load()
  return { ledger, log }
}

/** How many attempts it gives, one after the other. */
async function attempts(ledger: RefusalLedger, of = host): Promise<number> {
  for (let count = 0; count < 10; count += 1) if ((await ledger.begin(of)) === undefined) return count
  return 10
}

function pass(minutes: number): void {
  vi.advanceTimersByTime(minutes * minuteMs)
}

test('gives a host two attempts in 30 minutes, and another its own', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  expect(await attempts(ledger)).toBe(2)
  expect(await attempts(ledger, 'other')).toBe(2)
  pass(30)
  expect(await attempts(ledger)).toBe(0)
  pass(1)
  expect(await attempts(ledger)).toBe(2)
})

test('frees them one after the other, as they were taken', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  await ledger.begin(host)
  pass(20)
  await ledger.begin(host)
  expect(Math.ceil(ledger.hostWaitMs(host) / minuteMs)).toBe(11)
  pass(11)
  expect(await attempts(ledger)).toBe(1)
  pass(20)
  expect(await attempts(ledger)).toBe(1)
})

test('gives no more than two to many who ask at once', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  const taken = await Promise.all(Array.from({ length: 8 }, () => ledger.begin(host)))
  expect(taken.filter((attempt) => attempt !== undefined)).toHaveLength(2)
})

test('takes an attempt back that was accepted', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  for (let round = 0; round < 5; round += 1) {
    const attempt = await ledger.begin(host)
    expect(attempt).toBeDefined()
    await ledger.accepted('dock-3', 'v1', attempt === undefined ? [] : [attempt])
  }
  const again = await start(folder)
  expect(await attempts(again.ledger)).toBe(2)
})

test('has an attempt on the disk before it is made, so that a crash does not forget it', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  await ledger.begin(host)
  await ledger.begin(host)
  const again = await start(folder)
  expect(await attempts(again.ledger)).toBe(0)
  pass(31)
  expect(await attempts((await start(folder)).ledger)).toBe(2)
})

test('keeps the record to the agent itself', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  await ledger.begin(host)
  expect((await stat(pathIn(folder))).mode & 0o7777).toBe(0o600)
  expect((await stat(join(folder.path, 'cameras'))).mode & 0o7777).toBe(0o700)
})

test.each([
  [1, 10],
  [2, 30],
  [3, 60],
  [4, 60],
])('leaves a version that was refused %i times alone for %i minutes, over a restart', async (times, minutes) => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  for (let count = 0; count < times; count += 1) await ledger.refused('dock-3', 'v2')
  const again = await start(folder)
  for (const each of [ledger, again.ledger]) {
    expect(each.versionWaitMs('dock-3', 'v2')).toBe(minutes * minuteMs)
    expect(each.versionWaitMs('dock-3', 'v3')).toBe(0)
    expect(each.versionWaitMs('dock-4', 'v2')).toBe(0)
  }
  pass(minutes)
  for (const each of [ledger, again.ledger]) expect(each.versionWaitMs('dock-3', 'v2')).toBe(0)
})

test('forgets the refusals of a version that is accepted', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  await ledger.refused('dock-3', 'v2')
  await ledger.accepted('dock-3', 'v2', [])
  for (const each of [ledger, (await start(folder)).ledger]) expect(each.versionWaitMs('dock-3', 'v2')).toBe(0)
})

test('remembers the last versions of a camera only', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  for (let count = 0; count < 20; count += 1) await ledger.refused('dock-3', `v${count}`)
  expect([...ledger.camera('dock-3').refusals.keys()]).toEqual(['v16', 'v17', 'v18', 'v19'])
})

test.each(['', '{', '{"version":2}', '[]', 'null'])(
  'takes every host to have had its attempts when the record is %j, over restarts, and sets it aside',
  async (text) => {
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'cameras'))
    await writeFile(pathIn(folder), text)
    const { ledger, log } = await start(folder)
    expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside'])
    expect(await readFile(`${pathIn(folder)}.unreadable`, 'utf8')).toBe(text)
    expect(await attempts(ledger)).toBe(0)
    pass(20)
    const again = await start(folder)
    expect([await attempts(again.ledger), again.log.messages('warn')]).toEqual([0, []])
    pass(11)
    expect(await attempts(again.ledger)).toBe(2)
  },
)

test('makes no attempt that it cannot record, and says so once', async () => {
  await using folder = await tempFolder()
  const { ledger, log } = await start(folder)
  await mkdir(pathIn(folder), { recursive: true })
  expect([await attempts(ledger), await attempts(ledger)]).toEqual([0, 0])
  expect(log.messages('warn')).toEqual(['what cameras refuse cannot be recorded, so that none is asked'])
  await rm(pathIn(folder), { recursive: true })
  expect(await attempts(ledger)).toBe(2)
  expect(log.messages('info')).toEqual(['what cameras refuse can be recorded again'])
})

test('makes no attempt while the record cannot be read, and leaves it as it is', async () => {
  await using folder = await tempFolder()
  const first = await start(folder)
  await first.ledger.begin(host)
  await rename(pathIn(folder), `${pathIn(folder)}.aside`)
  await symlink('refusals.json', pathIn(folder)) // a loop: root can read everything else
  const { ledger, log } = await start(folder)
  expect(await attempts(ledger)).toBe(0)
  expect(log.messages('warn')).toEqual(['what cameras refused cannot be looked up, so that none is asked'])
  await rename(`${pathIn(folder)}.aside`, pathIn(folder))
  expect(await attempts(ledger)).toBe(1)
})

test('does not free attempts because the clock is set forward, nor keep them for ever because it is set back', async () => {
  await using folder = await tempFolder()
  let offsetMs = 0
  const cloudNow = (): number => Date.now() + offsetMs
  const { ledger } = await start(folder, cloudNow)
  await attempts(ledger)
  offsetMs = 86_400_000
  expect(await attempts(ledger)).toBe(0)
  offsetMs = -86_400_000
  expect(await attempts(ledger)).toBe(0)
  const again = await start(folder, cloudNow)
  expect(await attempts(again.ledger)).toBe(0)
  pass(31)
  expect(await attempts(again.ledger)).toBe(2)
})

test('forgets cameras that are not configured any more, but not the attempts on their hosts', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  await attempts(ledger)
  await ledger.refused('gone', 'v2')
  await ledger.refused('kept', 'v2')
  await ledger.keep(['kept'])
  for (const each of [ledger, (await start(folder)).ledger]) {
    expect(each.versionWaitMs('gone', 'v2')).toBe(0)
    expect(each.versionWaitMs('kept', 'v2')).toBeGreaterThan(0)
    expect(each.hostWaitMs(host)).toBeGreaterThan(0)
  }
})

test('remembers what came of a round, and writes nothing where that is known', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  const verdict = { versionId: 'v2', state: 'pending', text: 'it refuses', goesOnWith: 'previous' } as const
  await ledger.conclude('dock-3', { verdict, unproven: 'v1' })
  const { ino } = await stat(pathIn(folder))
  await ledger.conclude('dock-3', { verdict: { ...verdict }, unproven: 'v1' })
  expect((await stat(pathIn(folder))).ino).toBe(ino)
  expect((await start(folder)).ledger.camera('dock-3')).toMatchObject({ verdict, unproven: 'v1' })
})

test('leaves every host alone when a crash came between setting the record aside and writing that down', async () => {
  await using folder = await tempFolder()
  const { ledger } = await start(folder)
  expect(await attempts(ledger)).toBe(2)
  await rename(pathIn(folder), `${pathIn(folder)}.unreadable`)
  const again = await start(folder)
  expect(await attempts(again.ledger)).toBe(0)
  const later = await start(folder)
  pass(31)
  expect(await attempts(later.ledger)).toBe(2)
})
