import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { HookCalls, type CameraHookRunner } from '../../../agent/cameras/camera-hooks.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { camerasConfig } from '../../support/cameras-config.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** The looks of camera files, and the hook runs that were asked for, which end when a test says so. */
class Bench {
  readonly looks = new Map<string, string>()
  readonly calls: string[] = []
  readonly log = new RecordingLog()
  readonly toldFile: string
  runHook: CameraHookRunner = async () => {
    await Promise.resolve()
  }

  constructor(folder: TempFolder) {
    this.toldFile = join(folder.path, 'camera-hooks.json')
  }

  make(streams: Readonly<Record<string, string | undefined>>, hook?: string): HookCalls {
    const entries = Object.entries(streams).map(([name, own]) => ({
      name,
      secretId: name,
      ...(own === undefined ? {} : { hook: own }),
    }))
    return new HookCalls({
      cameras: camerasConfig({ streams: entries, ...(hook === undefined ? {} : { hook }) }),
      files: { look: async (name) => await Promise.resolve(this.looks.get(name) ?? 'none') },
      runHook: async (name, signal) => {
        this.calls.push(name)
        await this.runHook(name, signal)
      },
      toldFile: this.toldFile,
      log: this.log,
    })
  }
}

/** One pass, which ends before this resolves. */
async function pass(hooks: HookCalls): Promise<void> {
  await hooks.worker.requestPass().catch(() => undefined)
}

test('runs the hook of each camera whose file changed, and no other', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  const hooks = bench.make({ 'dock-1': undefined, 'dock-2': 'own' }, 'common')
  await using _ = running(hooks.worker)
  await pass(hooks)
  expect(bench.calls).toEqual(['common', 'own'])
  await pass(hooks)
  expect(bench.calls).toHaveLength(2)
  bench.looks.set('dock-2', 'new')
  await pass(hooks)
  expect(bench.calls.slice(2)).toEqual(['own'])
  bench.looks.set('dock-1', 'new')
  await pass(hooks)
  expect(bench.calls.slice(3)).toEqual(['common'])
  expect(hooks.status()).toMatchObject([
    { name: 'common', state: 'ok', lastError: undefined },
    { name: 'own', state: 'ok' },
  ])
})

test('has nothing to do where no hook is configured', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  const hooks = bench.make({ 'dock-1': undefined })
  hooks.changed()
  expect(hooks.status()).toEqual([])
  expect(bench.calls).toEqual([])
})

test('makes one more run of all changes during a run, never two at once', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  const { promise: ended, resolve: end } = Promise.withResolvers<undefined>()
  const begun = Promise.withResolvers<undefined>()
  let atOnce = 0
  let most = 0
  bench.runHook = async () => {
    atOnce += 1
    most = Math.max(most, atOnce)
    begun.resolve(undefined)
    await ended
    atOnce -= 1
  }
  const hooks = bench.make({ 'dock-1': undefined, 'dock-2': undefined }, 'common')
  await using _ = running(hooks.worker)
  hooks.changed()
  await begun.promise
  for (let change = 0; change < 100; change += 1) {
    bench.looks.set('dock-1', `change ${change}`)
    hooks.changed()
  }
  expect(bench.calls).toEqual(['common'])
  end(undefined)
  await vi.waitFor(() => {
    expect(bench.calls).toEqual(['common', 'common'])
  })
  await pass(hooks)
  expect(bench.calls).toHaveLength(2)
  bench.looks.set('dock-2', 'changed at rest')
  hooks.changed()
  await vi.waitFor(() => {
    expect(bench.calls).toHaveLength(3)
  })
  expect(most).toBe(1)
})

test('runs no hook again after a restart, but for what changed meanwhile or during a run that was cut off', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  {
    const hooks = bench.make({ 'dock-1': 'one', 'dock-2': 'two' })
    await using _ = running(hooks.worker)
    await pass(hooks)
  }
  expect(bench.calls.splice(0)).toEqual(['one', 'two'])
  bench.looks.set('dock-2', 'changed while nobody looked')
  {
    bench.runHook = async (_, signal) => {
      const { promise, reject } = Promise.withResolvers<undefined>()
      signal.addEventListener('abort', () => {
        reject(signal.reason)
      })
      await promise
    }
    const hooks = bench.make({ 'dock-1': 'one', 'dock-2': 'two' })
    await using _ = running(hooks.worker)
    await vi.waitFor(() => {
      expect(bench.calls).toEqual(['two'])
    })
  }
  bench.runHook = async () => {
    await Promise.resolve()
  }
  const hooks = bench.make({ 'dock-1': 'one', 'dock-2': 'two' })
  await using _ = running(hooks.worker)
  await pass(hooks)
  expect(bench.calls).toEqual(['two', 'two'])
  expect(bench.log.messages('warn')).toEqual([])
})

test('tries a hook that fails five times more, ever later, and anew at the next change', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  bench.runHook = async () => {
    await Promise.resolve()
    throw new AgentError('hook common: failed, exit-1', { retryable: true })
  }
  const hooks = bench.make({ 'dock-1': undefined }, 'common')
  await using _ = running(hooks.worker)
  await pass(hooks)
  expect(hooks.status()).toMatchObject([
    { name: 'common', state: 'failing', lastError: { message: 'hook common: failed, exit-1' } },
  ])
  const counts = [bench.calls.length]
  for (const seconds of [9, 2, 28, 3, 61, 301, 901, 90_000]) {
    await vi.advanceTimersByTimeAsync(seconds * 1_000)
    await pass(hooks)
    counts.push(bench.calls.length)
  }
  expect(counts).toEqual([1, 1, 2, 2, 3, 4, 5, 6, 6])
  expect(hooks.status()[0]?.nextAttemptMs).toBeUndefined()
  expect(bench.log.messages('warn').filter((text) => text === 'camera hook failed').length).toBeLessThan(4)

  bench.runHook = async () => {
    await Promise.resolve()
  }
  await pass(hooks)
  expect(bench.calls).toHaveLength(6)
  bench.looks.set('dock-1', 'changed')
  await pass(hooks)
  expect(bench.calls).toHaveLength(7)
  expect(hooks.status()).toMatchObject([{ state: 'ok', lastError: undefined }])
  expect(bench.log.messages('info')).toContain('camera hook succeeded again')
})

test('tries again by itself when the time has come', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  bench.runHook = async () => {
    await Promise.resolve()
    if (bench.calls.length < 3) throw new AgentError('not yet', { retryable: true })
  }
  const hooks = bench.make({ 'dock-1': undefined }, 'common')
  await using _ = running(hooks.worker)
  await pass(hooks)
  expect(bench.calls).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(11_000)
  await vi.waitFor(() => {
    expect(bench.calls).toHaveLength(2)
  })
  await vi.advanceTimersByTimeAsync(31_000)
  await vi.waitFor(() => {
    expect(hooks.status()).toMatchObject([{ state: 'ok' }])
  })
  expect(bench.calls).toHaveLength(3)
})

test('runs the others when one fails, and remembers nothing of hooks that are gone', async () => {
  await using folder = await tempFolder()
  const bench = new Bench(folder)
  await writeFile(bench.toldFile, JSON.stringify({ version: 1, told: { gone: 'look' } }))
  bench.runHook = async (name) => {
    await Promise.resolve()
    if (name === 'bad') throw new AgentError('hook bad: refused, argument-not-allowed')
  }
  const hooks = bench.make({ 'dock-1': 'bad', 'dock-2': 'good' })
  await using _ = running(hooks.worker)
  await pass(hooks)
  expect(bench.calls).toEqual(['bad', 'good'])
  expect(hooks.status().map(({ state }) => state)).toEqual(['failing', 'ok'])
  const { told } = JSON.parse(await readFile(bench.toldFile, 'utf8')) as { told: object }
  expect(Object.keys(told)).toEqual(['good'])
})
