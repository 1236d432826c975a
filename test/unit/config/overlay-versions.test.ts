import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

import { afterEach, describe, expect, it, vi } from 'vitest'

import { OverlayVersions, type NewOverlay } from '../../../agent/config/overlay-versions.ts'
import { digestOf, versionInForce, type OverlayVersion } from '../../../agent/config/overlay-version.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { until } from '../../support/wait-until.ts'

interface OpenVersions extends AsyncDisposable {
  readonly versions: OverlayVersions
  readonly log: RecordingLog
}

async function open(folder: string): Promise<OpenVersions> {
  const log = new RecordingLog()
  const versions = new OverlayVersions(folder, log)
  await versions.load()
  return { versions, log, [Symbol.asyncDispose]: () => versions[Symbol.asyncDispose]() }
}

function change(flushSeconds: number, more: Partial<NewOverlay> = {}): NewOverlay {
  return { overlay: { logs: { flushSeconds } }, confirmSeconds: 300, createdAtMs: 0, ...more }
}

/** Versions 1 to `count`, each accepted. */
async function accept(versions: OverlayVersions, count: number): Promise<void> {
  for (let number = 1; number <= count; number += 1) {
    await versions.add(change(number))
    await versions.accept(number)
  }
}

async function read(folder: string, number: number): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(folder, `${number}.json`), 'utf8')) as Record<string, unknown>
}

afterEach(() => {
  vi.useRealTimers()
})

describe('the versions of the overlay', () => {
  it('are none at first, and the base file alone is in force', async () => {
    await using folder = await tempFolder()
    await using opened = await open(join(folder.path, 'config'))
    expect(opened.versions.inForce()).toBe(undefined)
    expect((await stat(join(folder.path, 'config'))).mode & 0o777).toBe(0o700)
    expect(opened.log.entries).toEqual([])
  })

  it('are on trial, then accepted or reverted, one private file each', async () => {
    await using folder = await tempFolder()
    await using opened = await open(folder.path)
    const { versions } = opened
    await versions.add(change(1, { job: { jobId: 'one', executionNumber: 1 } }))
    expect(versions.inForce()).toMatchObject({ number: 1, state: 'trial' })
    await versions.accept(1)
    await versions.add(change(2))
    versions.revert(2, 'because')
    expect(versions.inForce()).toMatchObject({ number: 1, state: 'accepted' })
    await until(async () => (await read(folder.path, 2))['state'] === 'reverted')
    expect(await read(folder.path, 1)).toEqual({
      version: 1,
      number: 1,
      overlay: { logs: { flushSeconds: 1 } },
      digest: digestOf({ logs: { flushSeconds: 1 } }),
      createdAt: '1970-01-01T00:00:00.000Z',
      job: { jobId: 'one', executionNumber: 1 },
      state: 'accepted',
      starts: 0,
      confirmSeconds: 300,
    })
    expect(await read(folder.path, 2)).toMatchObject({ state: 'reverted', reason: 'because' })
    expect((await stat(join(folder.path, '1.json'))).mode & 0o777).toBe(0o600)
  })

  it('are the same after a restart', async () => {
    await using folder = await tempFolder()
    await using first = await open(folder.path)
    await accept(first.versions, 2)
    await first.versions.add(change(3))
    await using second = await open(folder.path)
    expect(second.versions.inForce()).toEqual(first.versions.inForce())
    expect(second.versions.inForce()).toMatchObject({ number: 3, state: 'trial' })
  })

  it('tell what came of a job, also after a restart, but no revert before it is durable', async () => {
    await using folder = await tempFolder()
    const [good, bad, none] = ['good', 'bad', 'none'].map((jobId) => ({ jobId, executionNumber: 2 }))
    if (good === undefined || bad === undefined || none === undefined) throw new Error('there are three')
    await using first = await open(folder.path)
    await first.versions.add(change(1, { job: good }))
    expect(first.versions.outcomeOf(good)).toBe('running')
    await first.versions.accept(1)
    await first.versions.add(change(2, { job: bad }))
    first.versions.revert(2, 'no')
    expect(first.versions.outcomeOf(bad)).toBe('running')
    await until(() => first.versions.outcomeOf(bad) !== 'running')
    await using second = await open(folder.path)
    for (const { versions } of [first, second]) {
      expect(versions.outcomeOf(good)).toEqual({ accepted: true, number: 1 })
      expect(versions.outcomeOf(bad)).toEqual({ reverted: true, number: 2, reason: 'no' })
      expect(versions.outcomeOf(none)).toBe(undefined)
      expect(versions.outcomeOf({ ...good, executionNumber: 1 })).toBe(undefined)
      expect(versions.outcomeOf({ ...good, queuedAt: 1_790_000_000 })).toBe(undefined)
    }
  })

  it('tell whoever waits for a job as soon as its trial is over, and let go of who waits no more', async () => {
    await using folder = await tempFolder()
    await using opened = await open(folder.path)
    const { versions } = opened
    const [good, bad] = [1, 2].map((executionNumber) => ({ jobId: 'job', executionNumber }))
    if (good === undefined || bad === undefined) throw new Error('there are two')
    const waiter = new AbortController()
    await versions.add(change(1, { job: good }))
    const [settled, left] = [
      versions.settled(good, new AbortController().signal),
      versions.settled(good, waiter.signal),
    ]
    waiter.abort(new Error('the agent stops'))
    await expect(left).rejects.toThrow('the agent stops')
    await versions.accept(1)
    expect(await settled).toEqual({ accepted: true, number: 1 })
    await versions.add(change(2, { job: bad }))
    const reverted = versions.settled(bad, new AbortController().signal)
    versions.revert(2, 'no')
    expect(await reverted).toEqual({ reverted: true, number: 2, reason: 'no' })
    expect(await versions.settled({ jobId: 'none', executionNumber: 1 }, waiter.signal)).toBe(undefined)
  })

  it('cannot be accepted any more once they are reverted', async () => {
    await using folder = await tempFolder()
    await using opened = await open(folder.path)
    await opened.versions.add(change(1))
    opened.versions.revert(1, 'no')
    await expect(opened.versions.accept(1)).rejects.toThrow('configuration version 1 is not on trial any more')
    await until(async () => (await read(folder.path, 1))['state'] === 'reverted')
  })

  it('are reverted also while their acceptance is being written', async () => {
    await using folder = await tempFolder()
    await using opened = await open(folder.path)
    const job = { jobId: 'job', executionNumber: 1 }
    await opened.versions.add(change(1, { job }))
    const settled = opened.versions.settled(job, new AbortController().signal)
    const accepting = opened.versions.accept(1)
    await turn() // the write has begun
    opened.versions.revert(1, 'no')
    await accepting
    expect(await settled).toEqual({ reverted: true, number: 1, reason: 'no' })
    await until(async () => (await read(folder.path, 1))['state'] === 'reverted')
    expect(opened.versions.inForce()).toBe(undefined)
  })

  it('on trial give way to a newer one that was accepted, where a revert was never recorded', () => {
    const version = (number: number, state: OverlayVersion['state']): OverlayVersion => {
      const { overlay, confirmSeconds } = change(number)
      const createdAt = new Date(0).toISOString()
      return { version: 1, number, overlay, digest: digestOf(overlay), createdAt, state, starts: 1, confirmSeconds }
    }
    const versions = [version(1, 'accepted'), version(2, 'trial'), version(3, 'accepted')]
    expect(versionInForce(versions, () => true)).toMatchObject({ number: 3 })
    expect(versionInForce(versions.slice(0, 2), () => true)).toMatchObject({ number: 2 })
  })

  it('keep the newest ten, the accepted one and the one before it', async () => {
    await using folder = await tempFolder()
    await using opened = await open(folder.path)
    await accept(opened.versions, 3)
    for (let number = 4; number <= 20; number += 1) {
      await opened.versions.add(change(number))
      opened.versions.revert(number, 'no')
      await until(async () => (await read(folder.path, number))['state'] === 'reverted')
    }
    const kept = [2, 3, ...Array.from({ length: 10 }, (_, index) => 11 + index)]
    expect((await readdir(folder.path)).sort()).toEqual(kept.map((number) => `${number}.json`).sort())
    expect(opened.versions.inForce()).toMatchObject({ number: 3 })
  })
})

describe('a version that cannot be read', () => {
  it.each([
    ['is empty', ''],
    ['is no JSON', '{"version":1,'],
    ['is of another kind', '{"version":2}'],
    ['was changed', undefined],
    ['is a folder', 'folder'],
  ])('is set aside, and the accepted one below it is in force: it %s', async (_, content) => {
    await using folder = await tempFolder()
    {
      await using opened = await open(folder.path)
      await accept(opened.versions, 3)
    }
    const path = join(folder.path, '3.json')
    const changed = (await readFile(path, 'utf8')).replace('"flushSeconds":3', '"flushSeconds":4')
    await rm(path)
    if (content === 'folder') await mkdir(path)
    else await writeFile(path, content ?? changed)
    await using opened = await open(folder.path)
    expect(opened.versions.inForce()).toMatchObject({ number: 2, state: 'accepted' })
    expect(opened.versions.unreadable).toMatchObject([{ number: 3 }])
    expect(opened.log.messages('error')).toEqual(['a configuration version cannot be read and is set aside'])
    expect(await readdir(folder.path)).toContain('3.json.unreadable')
  })

  it('does not have its number given to another', async () => {
    await using folder = await tempFolder()
    await writeFile(join(folder.path, '7.json'), 'x')
    await using opened = await open(folder.path)
    await opened.versions.add(change(1))
    expect(opened.versions.inForce()).toMatchObject({ number: 8 })
    await using again = await open(folder.path)
    expect((await again.versions.add(change(2))).number).toBe(9)
  })

  it('is not taken for another version', async () => {
    await using folder = await tempFolder()
    await using first = await open(folder.path)
    await accept(first.versions, 1)
    await cp(join(folder.path, '1.json'), join(folder.path, '5.json'))
    await using second = await open(folder.path)
    expect(second.versions.inForce()).toMatchObject({ number: 1 })
    expect(second.versions.unreadable).toMatchObject([{ number: 5 }])
  })
})

describe('a disk that takes nothing', () => {
  it('keeps a new version from being there', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'config')
    await using opened = await open(path)
    await accept(opened.versions, 1)
    await rm(path, { recursive: true })
    await expect(opened.versions.add(change(2))).rejects.toMatchObject({ name: 'WriteError', retryable: true })
    expect(opened.versions.inForce()).toMatchObject({ number: 1, state: 'accepted' })
  })

  it('keeps a version on trial that was to be accepted', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'config')
    await using opened = await open(path)
    await opened.versions.add(change(1))
    await rm(path, { recursive: true })
    await expect(opened.versions.accept(1)).rejects.toMatchObject({ name: 'WriteError' })
    expect(opened.versions.inForce()).toMatchObject({ number: 1, state: 'trial' })
    await mkdir(path)
    await opened.versions.accept(1)
    expect(await read(path, 1)).toMatchObject({ state: 'accepted' })
  })

  it('does not hold up a revert, which is recorded as soon as it can be', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await using folder = await tempFolder()
    const path = join(folder.path, 'config')
    await using opened = await open(path)
    const job = { jobId: 'j', executionNumber: 1 }
    await opened.versions.add(change(1, { job }))
    await rm(path, { recursive: true })
    opened.versions.revert(1, 'no')
    expect(opened.versions.inForce()).toBe(undefined)
    await until(() => opened.log.messages('warn').includes('the revert of a configuration cannot be recorded'))
    await until(() => vi.getTimerCount() > 0)
    expect(opened.versions.outcomeOf(job)).toBe('running')
    await mkdir(path)
    await expect(opened.versions.accept(1)).rejects.toThrow('not on trial any more')
    await vi.advanceTimersByTimeAsync(5_000)
    await until(() => opened.versions.outcomeOf(job) !== 'running')
    expect(await read(path, 1)).toMatchObject({ state: 'reverted', reason: 'no' })
    expect(opened.log.messages('info')).toContain('the revert of a configuration is recorded')
  })

  it('does not hold up the end', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'config')
    const opened = await open(path)
    await opened.versions.add(change(1))
    await rm(path, { recursive: true })
    opened.versions.revert(1, 'no')
    await opened[Symbol.asyncDispose]()
  })
})

describe('a crash', () => {
  it('after any write leaves the version before or the new one in force, and never half of one', async () => {
    await using folder = await tempFolder()
    const path = join(folder.path, 'config')
    await using opened = await open(path)
    const { versions } = opened
    await accept(versions, 1)
    const steps: readonly (readonly [() => Promise<unknown>, object])[] = [
      [() => versions.add(change(2)), { number: 2, state: 'trial', starts: 0 }],
      [() => versions.countStart(), { number: 2, state: 'trial', starts: 1 }],
      [() => versions.accept(2), { number: 2, state: 'accepted' }],
      [() => versions.add(change(3)), { number: 3, state: 'trial' }],
      [() => revert(versions, path, 3), { number: 2, state: 'accepted' }],
    ]
    for (const [index, [step, expected]] of steps.entries()) {
      await step()
      const copy = join(folder.path, `after-${index}`)
      await cp(path, copy, { recursive: true })
      await writeFile(join(copy, '.0123456789ab.tmp'), '{"version":1,"numb') // what the next write left
      await using restarted = await open(copy)
      expect(restarted.versions.inForce()).toMatchObject(expected)
      expect(restarted.log.entries).toEqual([])
      expect(await readdir(copy)).not.toContain('.0123456789ab.tmp')
    }
  })
})

async function revert(versions: OverlayVersions, folder: string, number: number): Promise<void> {
  versions.revert(number, 'no')
  await until(async () => (await read(folder, number))['state'] === 'reverted')
}
