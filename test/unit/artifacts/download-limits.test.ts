import { readdir } from 'node:fs/promises'

import { afterEach, describe, expect, it, vi } from 'vitest'

import { Transfers } from '../../../agent/artifacts/transfer/transfers.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { FakeArtifactSource, silence } from '../../support/fake-artifact-source.ts'
import { sharedTransfers } from '../../support/shared-transfers.ts'
import { manifestPayload, unsigned } from '../../support/signed-manifest.ts'
import { appFolder, installedFiles, sha256, startWorker, tempFolder } from './artifact-fixture.ts'

afterEach(() => {
  vi.useRealTimers()
})

/** Of what takes files, which may be on a slow disk. */
const until = { timeout: 10_000 }

describe('outside of a download window', () => {
  const limits = { windows: [{ from: '01:00', to: '05:00' }], minFreeBytes: 0, maxInFlightBytes: 67_108_864 }

  it('a pass lists, downloads nothing, says until when it waits, and is due again by then', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a'])
    const nowMs = new Date(2026, 10, 24, 0, 58).getTime()
    const transfers = new Transfers({ limits, artifacts: 1, cloudNow: () => nowMs })
    await using running = startWorker(state, source, { transfers, cloudNow: () => nowMs })
    await running.pass()
    await new Promise(setImmediate)
    expect(source.listings).toBe(1)
    expect(source.opened).toEqual([])
    expect(running.status()).toMatchObject({ phase: 'waiting', waitsUntilMs: nowMs + 120_000 })
    const { state: health, lastPassMs = 0, nextPassMs = 0 } = running.worker.health()
    expect(health).toBe('ok')
    expect(nextPassMs - lastPassMs).toBeLessThanOrEqual(125_000)
  })

  it('a manifest is read once, and then asked for only if it has changed', async () => {
    await using state = await tempFolder()
    const source = new FakeArtifactSource('app/')
    source.put('app/release.jws', unsigned(manifestPayload()))
    source.put(`app/objects/${sha256('weights')}`, 'weights')
    const answers: string[] = []
    const readSmall = source.readSmall.bind(source)
    source.readSmall = async (...question) => {
      const answer = await readSmall(...question)
      answers.push(typeof answer === 'string' ? answer : 'whole')
      return answer
    }
    let nowMs = new Date(2026, 10, 24, 0, 58).getTime()
    const transfers = new Transfers({ limits, artifacts: 1, cloudNow: () => nowMs })
    await using running = startWorker(state, source, { transfers, cloudNow: () => nowMs })
    for (let pass = 0; pass < 3; pass += 1) await running.pass()
    expect(running.status().phase).toBe('waiting')
    nowMs += 300_000
    source.beforeOpen = () => {
      throw new AgentError('denied')
    }
    await expect(running.pass()).rejects.toThrow('denied')
    source.beforeOpen = () => undefined
    for (let pass = 0; pass < 2; pass += 1) await running.pass()
    expect(await installedFiles(state)).toEqual({ 'model.bin': 'weights' })
    expect(answers).toEqual(['whole', 'unchanged', 'unchanged', 'unchanged', 'unchanged', 'unchanged'])
    expect(source.listings).toBe(1)
    expect(await readdir(appFolder(state))).not.toContain('manifest.json')
  })

  it('a pass that a person asks for downloads at once', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a'])
    const nowMs = new Date(2026, 10, 24, 12, 0).getTime()
    const transfers = new Transfers({ limits, artifacts: 1, cloudNow: () => nowMs })
    await using running = startWorker(state, source, { transfers, cloudNow: () => nowMs })
    await running.pass()
    expect(await installedFiles(state)).toBeUndefined()
    await running.syncNow()
    expect(await installedFiles(state)).toEqual({ a: 'a' })
    expect(running.status()).toMatchObject({ phase: 'idle', waitsUntilMs: undefined })
    source.put('app/a', 'next')
    await running.pass()
    expect(running.status().phase).toBe('waiting')
  })

  it('a pass that a person no longer wants keeps to the windows again', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a', 'b', 'c'])
    const nowMs = new Date(2026, 10, 24, 12, 0).getTime()
    const transfers = new Transfers({ limits, artifacts: 1, cloudNow: () => nowMs })
    const wanted = new AbortController()
    source.beforeOpen = ({ key }) => {
      if (key === 'app/b') wanted.abort()
    }
    await using running = startWorker(state, source, { transfers, cloudNow: () => nowMs, concurrency: 1 })
    await running.pass()
    await running.syncNow(wanted.signal)
    expect(source.opened).toEqual(['app/a', 'app/b'])
    expect(running.status().phase).toBe('waiting')
    await running.syncNow()
    expect(await installedFiles(state)).toEqual({ a: 'a', b: 'b', c: 'c' })
  })

  it('nothing more is begun when the window closes in the middle, and the rest comes in the next one', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a', 'b', 'c'])
    let nowMs = new Date(2026, 10, 24, 4, 59).getTime()
    const transfers = new Transfers({ limits, artifacts: 1, cloudNow: () => nowMs })
    source.beforeOpen = ({ key }) => {
      if (key === 'app/b') nowMs += 120_000
    }
    await using running = startWorker(state, source, { transfers, cloudNow: () => nowMs, concurrency: 1 })
    await running.pass()
    expect(source.opened).toEqual(['app/a', 'app/b'])
    expect(running.status().phase).toBe('waiting')
    nowMs += 20 * 3_600_000
    await running.pass()
    expect(source.opened).toEqual(['app/a', 'app/b', 'app/c'])
    expect(await installedFiles(state)).toEqual({ a: 'a', b: 'b', c: 'c' })
  })
})

describe('several artifacts', () => {
  it('go on while another one holds all that it can get', async () => {
    await using one = await tempFolder()
    await using other = await tempFolder()
    const transfers = sharedTransfers({ maxInFlightBytes: 8_388_608 }, 2)
    const hanging = sourceOf(Array.from({ length: 200 }, (_, index) => `file-${index}`))
    hanging.beforeChunk = async (_, __, signal) => await silence(signal)
    await using hung = startWorker(one, hanging, { transfers, concurrency: 200 })
    const pass = hung.pass()
    pass.catch(() => undefined)
    await vi.waitFor(() => {
      expect(hanging.openBodies).toBe(48) // all connections but those that are set aside for the other one
    }, until)
    await using running = startWorker(other, sourceOf(['a', 'b']), { transfers })
    await running.pass()
    expect(await installedFiles(other)).toEqual({ a: 'a', b: 'b' })
  })

  it('have no more in flight together than is allowed, large objects and small ones', async () => {
    await using one = await tempFolder()
    await using other = await tempFolder()
    const requestBytes = 2_097_152 // the share of each; twice what a request may hold in memory
    const transfers = sharedTransfers({ maxInFlightBytes: 4 * requestBytes }, 2)
    const [first, second] = [new FakeArtifactSource('app/'), new FakeArtifactSource('app/')]
    const gate = Promise.withResolvers<undefined>()
    const openBodies = (): number => first.openBodies + second.openBodies
    let most = 0
    for (const [index, source] of [first, second].entries()) {
      for (let file = 0; file < 6; file += 1) source.put(`app/${file}`, Buffer.alloc(requestBytes, 7 * index + file))
      source.put('app/large', Buffer.alloc(5 * requestBytes, 7 * index + 6))
      source.chunkBytes = requestBytes / 2
      source.beforeChunk = async () => {
        most = Math.max(most, openBodies())
        await gate.promise
      }
    }
    await using busy = startWorker(one, first, { transfers })
    const passes = [busy.pass()]
    await vi.waitFor(() => {
      expect(openBodies()).toBe(3) // its own share, and what both share
    }, until)
    await using late = startWorker(other, second, { transfers })
    passes.push(late.pass())
    await vi.waitFor(() => {
      expect(openBodies()).toBe(4)
    }, until)
    expect([first.openBodies, second.openBodies]).toEqual([3, 1])
    gate.resolve(undefined)
    await Promise.all(passes)
    expect(most).toBe(4)
    expect([first, second].map(({ ranges }) => ranges.length)).toEqual([11, 11])
  })

  it('all wait when the source of one of them is overloaded, for as long as it asks', async () => {
    await using one = await tempFolder()
    await using other = await tempFolder()
    const transfers = sharedTransfers({}, 2)
    const [busy, source] = [sourceOf(['a']), sourceOf(['b'])]
    let failures = 0
    const failed = Promise.withResolvers<undefined>()
    busy.beforeOpen = () => {
      if (failures > 0) return
      failures += 1
      failed.resolve(undefined)
      throw new AgentError('slow down', { retryable: true, isOverloaded: true, retryAfterMs: 1000 })
    }
    const listed = Promise.withResolvers<undefined>()
    source.beforeList = async () => {
      await listed.promise
    }
    await using running = startWorker(other, source, { transfers })
    const otherPass = running.pass() // makes its folders meanwhile
    await vi.waitFor(() => {
      expect(source.listings).toBe(1)
    }, until)
    await using slowed = startWorker(one, busy, { transfers })
    const pass = slowed.pass()
    await failed.promise
    await new Promise(setImmediate)
    listed.resolve(undefined)
    await vi.waitFor(() => {
      expect(running.status().phase).toBe('downloading')
    }, until)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([...busy.opened, ...source.opened]).toEqual([])
    await Promise.all([pass, otherPass])
    expect([...busy.opened, ...source.opened].sort()).toEqual(['app/a', 'app/b'])
  })
})

describe('a request', () => {
  it('is tried four times, and then fails the pass', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a'])
    let tries = 0
    source.beforeOpen = () => {
      tries += 1
      throw new AgentError('no network', { retryable: true })
    }
    await using running = startWorker(state, source)
    await expect(running.pass()).rejects.toThrow('no network')
    expect(tries).toBe(4)
  })

  it('is not tried again when that cannot help', async () => {
    await using state = await tempFolder()
    const source = sourceOf(['a'])
    let tries = 0
    source.beforeOpen = () => {
      tries += 1
      throw new AgentError('denied')
    }
    await using running = startWorker(state, source)
    await expect(running.pass()).rejects.toThrow('denied')
    expect(tries).toBe(1)
  })
})

it('is not overdue while a listing takes long', async () => {
  await using state = await tempFolder()
  const source = sourceOf(['a'])
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  const listed = Promise.withResolvers<undefined>()
  source.beforeList = async () => {
    await listed.promise
  }
  await using running = startWorker(state, source)
  const pass = running.pass()
  await vi.waitFor(() => {
    expect(running.status().phase).toBe('listing')
    expect(source.listings).toBe(1)
  })
  await vi.advanceTimersByTimeAsync(500_000)
  expect(running.worker.overdueMs()).toBeLessThan(0)
  vi.useRealTimers()
  listed.resolve(undefined)
  await pass
})

it('says how fast and how long once it can tell', async () => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  source.put('app/a', 'x'.repeat(10_240))
  vi.useFakeTimers({ toFake: ['performance'] })
  await using running = startWorker(state, source)
  const seen: unknown[] = []
  source.beforeChunk = () => {
    seen.push(running.status().progress)
    vi.advanceTimersByTime(1000)
  }
  await running.pass()
  expect(seen[0]).toMatchObject({ bytes: 0, bytesPerSecond: undefined, remainingSeconds: undefined })
  expect(seen[5]).toMatchObject({ bytes: 5120, totalBytes: 10_240, bytesPerSecond: 1024, remainingSeconds: 5 })
})

it('logs each tenth of a download that takes long, and nothing of a short one', async () => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  source.put('app/a', 'x'.repeat(20_480))
  vi.useFakeTimers({ toFake: ['performance'] })
  await using running = startWorker(state, source)
  source.beforeChunk = () => {
    vi.advanceTimersByTime(4000)
  }
  await running.pass()
  const steps = running.lines.flatMap(({ text }) => /download goes on percent=(\d+)/.exec(text)?.[1] ?? [])
  expect(steps).toEqual(['40', '50', '60', '70', '80', '90', '100'])
})

function sourceOf(paths: readonly string[]): FakeArtifactSource {
  const source = new FakeArtifactSource('app/')
  for (const path of paths) source.put(`app/${path}`, path)
  return source
}
