import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { thisBoot } from '../../support/fake-journalctl.ts'
import { JournalBench } from './journal-bench.ts'
import { useFakeClock } from './log-appliance.ts'

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

class Trial {
  readonly bench = new JournalBench()
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
  }

  async #restart(): Promise<void> {
    for (const stream of streams) this.#stored.set(stream, [...this.stored(stream)])
    await this.bench.crash()
  }
}
