import fc from 'fast-check'
import { expect, test } from 'vitest'

import { runTrial, type TrialWorld } from '../../../../agent/request-handler/update/run-trial.ts'
import type { Trial } from '../../../../agent/request-handler/update/trial.ts'

const never = new AbortController().signal

/** What the new version is like. */
type Quality = 'good' | 'not-installable' | 'crashing' | 'silent'

class PowerCut extends Error {}

/** An appliance whose power is cut before the numbered effects, or after them. */
class Appliance {
  trial: Trial | undefined = {
    version: 1,
    id: 'job1',
    from: '1.0.0',
    to: '1.1.0',
    confirmSeconds: 600,
    phase: 'installing',
    begun: 0,
  }
  /** What is on its disk; `half` is a dpkg that was cut off. */
  installed: '1.0.0' | '1.1.0' | 'half' = '1.0.0'
  confirmed = false
  last: Trial | undefined
  runs = 0
  readonly #quality: Quality
  readonly #cuts: ReadonlySet<number>
  #effects = 0

  constructor(quality: Quality, cuts: readonly number[]) {
    this.#quality = quality
    this.#cuts = new Set(cuts)
  }

  /** Boots as often as it takes. */
  async toTheEnd(): Promise<void> {
    for (; this.runs < 200; this.runs += 1) {
      try {
        await runTrial(this.#world(), never)
        if (this.trial === undefined) return
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error
      }
    }
  }

  #world(): TrialWorld {
    return {
      load: () => this.trial,
      save: (trial) => {
        this.#effect(() => {
          this.trial = trial
        })
      },
      isConfirmed: () => this.confirmed,
      install: () => {
        if (this.#quality === 'not-installable') {
          this.#dpkg('half')
          return Promise.resolve({ kind: 'failed', reason: 'dpkg: no' })
        }
        this.#dpkg('1.1.0')
        return Promise.resolve({ kind: 'installed' })
      },
      watch: () => {
        expect(this.installed).toBe('1.1.0')
        if (this.#quality !== 'good') return Promise.resolve({ kind: 'failed', reason: this.#quality })
        this.#effect(() => {
          this.confirmed = true
        })
        return Promise.resolve({ kind: 'confirmed' })
      },
      revert: () => {
        this.#dpkg('1.0.0')
        return Promise.resolve({ kind: 'reverted' })
      },
      rest: () => Promise.resolve(),
      settle: (trial) => {
        this.#effect(() => {
          if (trial !== undefined) this.last = trial
        })
        this.#effect(() => {
          this.trial = undefined
        })
        return Promise.resolve()
      },
    }
  }

  #dpkg(version: '1.0.0' | '1.1.0' | 'half'): void {
    this.#effect(() => {
      this.installed = 'half'
    })
    this.#effect(() => {
      this.installed = version
    })
  }

  #effect(effect: () => void): void {
    this.#effects += 1
    if (this.#cuts.has(2 * this.#effects)) throw new PowerCut()
    effect()
    if (this.#cuts.has(2 * this.#effects + 1)) throw new PowerCut()
  }
}

test.each<[Quality, string, string]>([
  ['good', '1.1.0', 'confirmed'],
  ['not-installable', '1.0.0', 'rolled-back'],
  ['crashing', '1.0.0', 'rolled-back'],
  ['silent', '1.0.0', 'rolled-back'],
])('takes a version that is %s to its end', async (quality, installed, outcome) => {
  const appliance = new Appliance(quality, [])
  await appliance.toTheEnd()
  expect(appliance).toMatchObject({ installed, trial: undefined, last: { outcome }, runs: 0 })
})

test('ends with the old version or the new one, and says which, wherever the power is cut', async () => {
  const quality = fc.constantFrom<Quality>('good', 'not-installable', 'crashing', 'silent')
  const cuts = fc.array(fc.integer({ min: 2, max: 50 }), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(quality, cuts, async (how, when) => {
      const appliance = new Appliance(how, when)
      await appliance.toTheEnd()
      expect(appliance.trial).toBeUndefined()
      const isNew = appliance.last?.outcome === 'confirmed'
      expect(appliance.installed).toBe(isNew ? '1.1.0' : '1.0.0')
      if (how !== 'good') expect(isNew).toBe(false)
      if (appliance.confirmed) expect(isNew).toBe(true)
      if (!isNew) expect(appliance.last?.reason).toBeTruthy()
    }),
    { numRuns: 500 },
  )
})

test('stops between two steps when it is told to, and goes on from there', async () => {
  const appliance = new Appliance('good', [])
  await expect(runTrial(worldThatStops(appliance), AbortSignal.abort())).rejects.toThrow()
  expect(appliance.trial).toMatchObject({ phase: 'installing', begun: 1 })
  await appliance.toTheEnd()
  expect(appliance.last).toMatchObject({ outcome: 'confirmed' })
})

function worldThatStops(appliance: Appliance): TrialWorld {
  const unexpected = (): never => {
    throw new Error('nothing is done after the stop')
  }
  return {
    load: () => appliance.trial,
    save: (trial) => {
      appliance.trial = trial
    },
    isConfirmed: () => false,
    install: unexpected,
    watch: unexpected,
    revert: unexpected,
    rest: unexpected,
    settle: unexpected,
  }
}
