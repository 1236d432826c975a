import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { sleep } from '../../../agent/lib/sleep.ts'
import { Worker, type Pass, type PassOutcome } from '../../../agent/lib/worker.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'

const hourMs = 3_600_000
const passing = new AgentError('the line is down', { retryable: true })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

function makeWorker(runPass: (pass: Pass) => Promise<PassOutcome>): { worker: Worker; log: RecordingLog } {
  const log = new RecordingLog()
  return { worker: new Worker({ name: 'test', log, runPass }), log }
}

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0)
}

/** A pass that ends when it is told to. */
function heldPass() {
  const passes: PromiseWithResolvers<PassOutcome>[] = []
  const runPass = vi.fn(async () => {
    const held = Promise.withResolvers<PassOutcome>()
    passes.push(held)
    return await held.promise
  })
  return { passes, runPass }
}

describe('passes', () => {
  test('runs a first pass at once and the next one when it is due', async () => {
    const runPass = vi.fn(() => Promise.resolve({ nextInMs: 10_000 }))
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    expect(runPass).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(9_999)
    expect(runPass).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(runPass).toHaveBeenCalledTimes(2)
  })

  test('shows its health: starting, then ok with the passes and when the next one is due', async () => {
    const { worker } = makeWorker(() => Promise.resolve({ nextInMs: 10_000 }))
    expect(worker.health()).toMatchObject({ name: 'test', state: 'starting', passes: 0, nextPassMs: undefined })
    await using _ = running(worker)
    await settle()
    expect(worker.health()).toMatchObject({
      state: 'ok',
      passes: 1,
      lastError: undefined,
      lastGoodPassMs: performance.now(),
    })
    expect((worker.health().nextPassMs ?? 0) - performance.now()).toBe(10_000)
  })

  test('logs nothing about passes that succeed', async () => {
    const { worker, log } = makeWorker(() => Promise.resolve({ nextInMs: 1_000 }))
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(hourMs)
    expect(log.entries).toEqual([])
  })

  test('never runs two passes at the same time', async () => {
    let inFlight = 0
    let most = 0
    const { worker } = makeWorker(async ({ signal }) => {
      inFlight += 1
      most = Math.max(most, inFlight)
      await sleep(500, signal)
      inFlight -= 1
      return { nextInMs: 100 }
    })
    await using _ = running(worker)
    for (let step = 0; step < 50; step += 1) {
      worker.requestPass().catch(() => undefined)
      await vi.advanceTimersByTimeAsync(130)
    }
    expect(most).toBe(1)
  })
})

describe('failures', () => {
  test('tries again after a failure, says when it is over, and keeps the last error', async () => {
    const runPass = vi.fn<() => Promise<PassOutcome>>().mockResolvedValue({ nextInMs: hourMs })
    runPass.mockRejectedValueOnce(passing)
    const { worker, log } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    expect(worker.health()).toMatchObject({ state: 'failing', lastError: { message: 'the line is down', inARow: 1 } })
    expect(worker.health().lastGoodPassMs).toBeUndefined()
    await vi.advanceTimersByTimeAsync(2_000)
    expect(worker.health()).toMatchObject({ state: 'ok', passes: 2, lastError: { message: 'the line is down' } })
    expect(log.entries.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'pass failed'],
      ['info', 'pass succeeded again'],
    ])
  })

  test('tells since when it fails, however often', async () => {
    const { worker } = makeWorker(() => Promise.reject(passing))
    await using _ = running(worker)
    await settle()
    const { sinceMs } = worker.health()
    await vi.advanceTimersByTimeAsync(hourMs)
    expect(worker.health().sinceMs).toBe(sinceMs)
    expect(worker.health().lastError?.inARow).toBeGreaterThan(60)
  })

  test('waits longer after each failure, up to a minute, and starts short again after a success', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999)
    const startedMs: number[] = []
    let down = true
    const { worker } = makeWorker(() => {
      startedMs.push(performance.now())
      return down ? Promise.reject(passing) : Promise.resolve({ nextInMs: 5_000 })
    })
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(300_000)
    const waitsMs = startedMs.slice(1).map((startMs, index) => Math.round(startMs - (startedMs[index] ?? 0)))
    expect(waitsMs.slice(0, 8)).toEqual([1999, 3997, 7993, 15_985, 31_969, 59_941, 59_941, 59_941])
    down = false
    await vi.advanceTimersByTimeAsync(61_000)
    down = true
    startedMs.length = 0
    await vi.advanceTimersByTimeAsync(7_000)
    expect(Math.round((startedMs[1] ?? 0) - (startedMs[0] ?? 0))).toBe(1999)
  })

  test('waits a second at least after a failure that passes', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const runPass = vi.fn(() => Promise.reject(passing))
    await using _ = running(makeWorker(runPass).worker)
    await vi.advanceTimersByTimeAsync(999)
    expect(runPass).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(runPass).toHaveBeenCalledTimes(2)
  })

  test.each([Number.NaN, Infinity, -1, 2 ** 40])(
    'makes neither a tight loop nor a silent stop of %d',
    async (nextInMs) => {
      const runPass = vi.fn(() => Promise.resolve({ nextInMs: runPass.mock.calls.length === 1 ? nextInMs : 60_000 }))
      await using _ = running(makeWorker(runPass).worker)
      await vi.advanceTimersByTimeAsync(1_000)
      expect(runPass.mock.calls.length).toBeLessThanOrEqual(2)
      await vi.advanceTimersByTimeAsync(2 * 86_400_000)
      expect(runPass.mock.calls.length).toBeGreaterThan(1)
    },
  )

  test('waits at least half a minute after a failure that needs a person', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const runPass = vi.fn(() => Promise.reject(new AgentError('denied', { hint: 'allow it' })))
    const { worker, log } = makeWorker(runPass)
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(29_999)
    expect(runPass).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(runPass).toHaveBeenCalledTimes(2)
    expect(log.messages('error')).toEqual(['pass failed'])
    expect(worker.health().lastError?.hint).toBe('allow it')
  })

  test('keeps to the time of a pass that ended with a fault, which it does not log again', async () => {
    const runPass = vi.fn(() => Promise.resolve({ nextInMs: 7_000, fault: passing }))
    const { worker, log } = makeWorker(runPass)
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(6_999)
    expect(worker.health()).toMatchObject({ state: 'failing', passes: 1 })
    await vi.advanceTimersByTimeAsync(1)
    expect(runPass).toHaveBeenCalledTimes(2)
    expect(log.entries).toEqual([])
  })

  test('survives a pass that throws before it returns a promise', async () => {
    const { worker } = makeWorker(() => {
      throw new TypeError('unforeseen')
    })
    await using _ = running(worker)
    await settle()
    expect(worker.health()).toMatchObject({ state: 'failing', lastError: { name: 'TypeError' } })
  })
})

describe('requests', () => {
  test('runs a requested pass at once instead of resting on', async () => {
    const runPass = vi.fn(() => Promise.resolve({ nextInMs: hourMs }))
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    await worker.requestPass()
    expect(runPass).toHaveBeenCalledTimes(2)
  })

  test('gives a request made during a pass the next pass, not the one in flight', async () => {
    const { passes, runPass } = heldPass()
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    const answered = vi.fn()
    const request = worker.requestPass().then(answered)
    passes[0]?.resolve({ nextInMs: hourMs })
    await settle()
    expect(answered).not.toHaveBeenCalled()
    expect(runPass).toHaveBeenCalledTimes(2)
    passes[1]?.resolve({ nextInMs: hourMs })
    await request
    expect(answered).toHaveBeenCalledOnce()
    await settle()
    expect(runPass).toHaveBeenCalledTimes(2)
  })

  test('answers all requests of one moment with one pass', async () => {
    const runPass = vi.fn(() => Promise.resolve({ nextInMs: hourMs }))
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    await Promise.all([worker.requestPass(), worker.requestPass(), worker.requestPass()])
    expect(runPass).toHaveBeenCalledTimes(2)
  })

  test('rejects a request with what its pass threw, and with the fault of a pass that ended', async () => {
    const runPass = vi.fn<() => Promise<PassOutcome>>().mockResolvedValue({ nextInMs: hourMs })
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    runPass.mockRejectedValueOnce(passing)
    await expect(worker.requestPass()).rejects.toBe(passing)
    const fault = new AgentError('one camera failed')
    runPass.mockResolvedValueOnce({ nextInMs: hourMs, fault })
    await expect(worker.requestPass()).rejects.toBe(fault)
  })

  test('runs a requested pass at once also while it backs off', async () => {
    const runPass = vi.fn<() => Promise<PassOutcome>>().mockResolvedValue({ nextInMs: hourMs })
    runPass.mockRejectedValueOnce(new AgentError('denied'))
    const { worker } = makeWorker(runPass)
    await using _ = running(worker)
    await settle()
    await worker.requestPass()
    expect(worker.health().state).toBe('ok')
  })
})

describe('stopping', () => {
  test('ends a rest at once and leaves no timer', async () => {
    const { worker } = makeWorker(() => Promise.resolve({ nextInMs: hourMs }))
    const run = running(worker)
    await settle()
    await run.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('waits for the pass in flight, which sees the abort and is not counted as a failure', async () => {
    const { worker, log } = makeWorker(async ({ signal }) => {
      await sleep(hourMs, signal)
      return { nextInMs: 0 }
    })
    const run = running(worker)
    await settle()
    await run.stop()
    expect(worker.health()).toMatchObject({ passes: 1, lastError: undefined })
    expect(log.entries).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not end before a pass that takes its time to stop', async () => {
    const { passes, runPass } = heldPass()
    const { worker } = makeWorker(runPass)
    const run = running(worker)
    await settle()
    const stopped = vi.fn()
    const stopping = run.stop().then(stopped)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(stopped).not.toHaveBeenCalled()
    passes[0]?.resolve({ nextInMs: 0 })
    await stopping
    expect(runPass).toHaveBeenCalledTimes(1)
  })

  test('rejects the requests that wait for a pass that will not come', async () => {
    const { passes, runPass } = heldPass()
    const { worker } = makeWorker(runPass)
    const run = running(worker)
    await settle()
    const rejected = expect(worker.requestPass()).rejects.toMatchObject({
      message: 'test is stopping',
      retryable: true,
    })
    const stopping = run.stop()
    passes[0]?.resolve({ nextInMs: 0 })
    await Promise.all([stopping, rejected])
  })

  test('rejects a request that comes after it has stopped', async () => {
    const { worker } = makeWorker(() => Promise.resolve({ nextInMs: hourMs }))
    await running(worker).stop()
    const rejected = expect(
      Promise.race([worker.requestPass(), sleep(1_000, new AbortController().signal)]),
    ).rejects.toMatchObject({ message: 'test is stopping' })
    await vi.advanceTimersByTimeAsync(1_000)
    await rejected
  })

  test('runs no pass when it is stopped before it starts', async () => {
    const runPass = vi.fn(() => Promise.resolve({ nextInMs: 0 }))
    await makeWorker(runPass).worker.supervise(AbortSignal.abort())
    expect(runPass).not.toHaveBeenCalled()
  })
})

describe('liveness', () => {
  test('is not overdue before it starts and after it has stopped', async () => {
    const { worker } = makeWorker(() => Promise.resolve({ nextInMs: 1_000 }))
    await vi.advanceTimersByTimeAsync(hourMs)
    expect(worker.overdueMs()).toBeLessThanOrEqual(0)
    await running(worker).stop()
    await vi.advanceTimersByTimeAsync(hourMs)
    expect(worker.overdueMs()).toBeLessThanOrEqual(0)
  })

  test('is overdue once a pass neither ends nor beats within its step', async () => {
    const { passes, runPass } = heldPass()
    const { worker } = makeWorker(runPass)
    await using run = running(worker)
    await vi.advanceTimersByTimeAsync(120_000)
    expect(worker.overdueMs()).toBe(0)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(worker.overdueMs()).toBe(5_000)
    const stopping = run.stop()
    passes[0]?.resolve({ nextInMs: 0 })
    await stopping
  })

  test('is not overdue in a rest that is longer than a step', async () => {
    const { worker } = makeWorker(() => Promise.resolve({ nextInMs: hourMs }))
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(hourMs - 1)
    expect(worker.overdueMs()).toBeLessThanOrEqual(0)
  })

  test('is well again in a long pass that says so, before its end', async () => {
    const { worker } = makeWorker(async ({ signal, recovered }) => {
      if (worker.health().passes === 0) throw new Error('no connection')
      recovered()
      await sleep(hourMs, signal)
      return { nextInMs: 0 }
    })
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(1)
    expect(worker.health().state).toBe('failing')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(worker.health()).toMatchObject({ state: 'ok', passes: 1 })
  })

  test('a beat gives a pass the time that it asks for', async () => {
    const { worker } = makeWorker(async ({ signal, beat }) => {
      await sleep(100_000, signal)
      beat(300_000)
      await sleep(1_000_000, signal)
      return { nextInMs: 0 }
    })
    await using _ = running(worker)
    await vi.advanceTimersByTimeAsync(399_000)
    expect(worker.overdueMs()).toBeLessThanOrEqual(0)
    await vi.advanceTimersByTimeAsync(2_000)
    expect(worker.overdueMs()).toBe(1_000)
  })

  test('misses no beat in 72 hours without network, and works again within one back-off', async () => {
    let down = true
    const { worker, log } = makeWorker(async ({ signal }) => {
      await sleep(5_000, signal)
      if (down) throw passing
      return { nextInMs: 300_000 }
    })
    await using _ = running(worker)
    let worstMs = -Infinity
    for (let minute = 0; minute < 72 * 60; minute += 1) {
      await vi.advanceTimersByTimeAsync(60_000)
      worstMs = Math.max(worstMs, worker.overdueMs())
    }
    expect(worstMs).toBeLessThanOrEqual(0)
    expect(worker.health()).toMatchObject({ state: 'failing' })
    expect(log.entries.length).toBeLessThanOrEqual(72 * 6 + 1)
    down = false
    await vi.advanceTimersByTimeAsync(65_000)
    expect(worker.health()).toMatchObject({ state: 'ok' })
  })
})
