import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import { thisBoot } from '../../../support/fake-journalctl.ts'
import { entryBytes, JournalBench } from './journal-bench.ts'
import { useFakeClock } from '../log-appliance.ts'

const streams = ['app', 'web', 'db'] as const
type Stream = (typeof streams)[number]

type Step =
  | { readonly do: 'say'; readonly stream: Stream | 'noise' }
  | { readonly do: 'read'; readonly afterMs: number }
  | { readonly do: 'room'; readonly stream: Stream; readonly room: number }
  | { readonly do: 'accept'; readonly stream: Stream; readonly count: number }
  | { readonly do: 'die' | 'fail' | 'crash' | 'reboot' }

const anyStream = fc.constantFrom(...streams)
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('say' as const), stream: fc.constantFrom(...streams, 'noise' as const) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('read' as const), afterMs: fc.constantFrom(0, 1_000, 31_000, 400_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('room' as const), stream: anyStream, room: fc.constantFrom(0, 1, 2, 100) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      stream: anyStream,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('die', 'fail', 'crash', 'reboot') }) },
)

beforeEach(useFakeClock)

afterEach(() => {
  vi.useRealTimers()
})

it('stores every entry of every stream once, in order, whatever stands still, dies or is booted in between', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 60 }), async (steps) => {
      const trial = new Trial()
      await trial.bench.read()
      for (const step of steps) await trial.take(step)
      await trial.finish()
      for (const stream of streams) expect(trial.stored(stream), stream).toEqual(trial.said(stream))
      expect(trial.bench.gaps).toEqual([])
      expect(trial.bench.journalctl.runningCount).toBe(0)
    }),
    { numRuns: 300 },
  )
})

it('stores every entry in order, once, or tells of it in a gap record, whenever it jumps ahead', async () => {
  let jumps = 0
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 30, maxLength: 80 }), async (steps) => {
      const trial = new Trial()
      trial.bench.maxBacklogBytes = 3 * entryBytes
      trial.bench.journalctl.files.set('/j/system.journal', [1, Infinity])
      await trial.bench.read()
      for (const step of steps) await trial.take(step)
      await trial.finish()
      for (const stream of streams) {
        const stored = trial.stored(stream)
        expect(stored, stream).toEqual(trial.said(stream).filter((message) => stored.includes(message)))
        const missed = trial.said(stream).filter((message) => !stored.includes(message))
        expect(missed.filter((message) => !trial.isTold(stream, message))).toEqual([])
      }
      expect(trial.bench.gaps.every(({ reason }) => reason === 'too far behind')).toBe(true)
      expect(trial.bench.journalctl.runningCount).toBe(0)
      jumps += trial.bench.gaps.length
    }),
    { numRuns: 300 },
  )
  expect(jumps).toBeGreaterThan(20)
})

class Trial {
  readonly bench = new JournalBench()
  readonly #numbers = new Map<string, number>()
  readonly #said = new Map<string, string[]>()
  readonly #stored = new Map<string, string[]>()
  #boots = 0

  constructor() {
    this.bench.sources = streams.map((stream) => ({ kind: 'journal', unit: `${stream}.service` }))
    this.bench.journalctl.say('noise.service', 'booted')
  }

  said(stream: string): readonly string[] {
    return this.#said.get(stream) ?? []
  }

  stored(stream: string): readonly string[] {
    return [...(this.#stored.get(stream) ?? []), ...this.bench.sink(stream).stored]
  }

  /** Whether a gap record of the stream is about the time of the entry. */
  isTold(stream: string, message: string): boolean {
    const number = this.#numbers.get(message) ?? 0
    return this.bench.gaps
      .filter(({ target }) => target.stream === stream)
      .some(({ firstMs, lastMs = 0 }) => numberOf(firstMs ?? 0) <= number && number <= numberOf(lastMs))
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case 'say':
        this.#say(step.stream)
        return
      case 'read':
        await this.bench.read(step.afterMs)
        return
      case 'room':
        this.bench.sink(step.stream).room = step.room
        return
      case 'accept':
        this.bench.sink(step.stream).accept(step.count)
        return
      case 'die':
        this.bench.journalctl.die(new AgentError('died', { retryable: true }))
        return
      case 'fail':
        this.bench.journalctl.failures.push(new AgentError('failed', { retryable: true }))
        return
      case 'reboot':
        this.#boots += 1
        this.bench.bootId = `${this.#boots}${thisBoot}`.slice(0, 32)
        await this.#restart()
        this.bench.journalctl.write({ boot: this.bench.bootId, fields: { MESSAGE: 'booted' } })
        return
      case 'crash':
        await this.#restart()
    }
  }

  /** Everything works again. */
  async finish(): Promise<void> {
    for (let round = 0; round < 12; round += 1) {
      for (const stream of streams) {
        this.bench.sink(stream).room = 1_000
        this.bench.sink(stream).accept()
      }
      await this.bench.read(400_000)
    }
    for (const stream of streams) this.bench.sink(stream).accept()
    await this.bench.source[Symbol.asyncDispose]()
  }

  #say(stream: string): void {
    const said = this.#said.get(stream) ?? []
    const message = `${stream} ${said.length + 1}`
    this.#said.set(stream, [...said, message])
    this.bench.journalctl.say(`${stream}.service`, message)
    this.#numbers.set(message, this.bench.journalctl.written)
  }

  async #restart(): Promise<void> {
    for (const stream of streams) this.#stored.set(stream, [...this.stored(stream)])
    await this.bench.crash()
  }
}

/** Of the entry that a gap record has the time of, in the cloud's time or, of another boot, in the device's. */
function numberOf(ms: number): number {
  return ms >= 1_900_000_000_000 ? ms - 2_000_000_000_000 : ms - 1_700_000_000_000
}
