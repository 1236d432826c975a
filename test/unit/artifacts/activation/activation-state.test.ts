import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  emptyActivation,
  installing,
  judged,
  nextMove,
  wentTo,
  whyNotInstall,
  withWish,
  without,
  type ActivationState,
  type Gate,
  type OnDisk,
} from '../../../../agent/artifacts/activation/activation-state.ts'

const at = '2027-01-01T00:00:00.000Z'

describe('a hold', () => {
  const held = wentTo({ ...emptyActivation, wishId: 'w1' }, 'old')

  it('lasts while the source wishes what it wished', () => {
    expect(whyNotInstall(withWish(held, 'w1'), { currentId: 'old', health: undefined })).toBe('held')
  })

  it('ends when the source wishes something else, also for good', () => {
    const next = withWish(held, 'w2')
    expect(whyNotInstall(next, { currentId: 'old', health: undefined })).toBeUndefined()
    expect(whyNotInstall(withWish(next, 'w1'), { currentId: 'old', health: undefined })).toBeUndefined()
  })

  it('that began before the source was heard is against what it says first', () => {
    const state = withWish(wentTo(emptyActivation, 'old'), 'w1')
    expect(whyNotInstall(state, { currentId: 'old', health: undefined })).toBe('held')
    expect(whyNotInstall(withWish(state, 'w2'), { currentId: 'old', health: undefined })).toBeUndefined()
  })
})

describe('a quarantine', () => {
  const gate = { releaseId: 'bad', previous: 'old', wishId: 'w1' }
  const verdict = { healthy: false, why: 'exit 1' } as const
  const disk = { currentId: 'old', has: () => true, health: '{"hook":"h"}' }
  const state = judged({ ...emptyActivation, wishId: 'w1', gate }, { ...disk, gate, verdict, at })

  it('keeps the source from being followed until it wishes something else', () => {
    expect(whyNotInstall(state, disk)).toMatchObject({ releaseId: 'bad', why: 'exit 1' })
    expect(whyNotInstall(withWish(state, 'w2'), disk)).toBeUndefined()
    expect(whyNotInstall(withWish(withWish(state, 'w2'), 'w1'), disk)).toMatchObject({ releaseId: 'bad' })
  })

  it('ends when health is asked for in another way, or not at all', () => {
    expect(whyNotInstall(state, { ...disk, health: '{"hook":"other"}' })).toBeUndefined()
    expect(whyNotInstall(state, { ...disk, health: undefined })).toBeUndefined()
  })

  it('does not stand in the way of a first release', () => {
    expect(whyNotInstall(state, { ...disk, currentId: undefined })).toBeUndefined()
  })

  it('forgets the oldest of many', () => {
    let many: ActivationState = emptyActivation
    for (let index = 0; index < 40; index += 1) {
      many = judged(many, { ...disk, gate: { ...gate, releaseId: `bad-${index}` }, verdict, at })
    }
    expect(many.quarantine.map(({ releaseId }) => releaseId)).toEqual(
      Array.from({ length: 16 }, (_, index) => `bad-${index + 24}`),
    )
  })
})

it('goes where a crash kept it from going before it asks anything', () => {
  const gate = { releaseId: 'new', wishId: 'w' }
  const state = { ...emptyActivation, gate, goingTo: 'old' }
  const disk = { currentId: 'new', has: () => true, health: '{}' }
  expect(nextMove(state, disk)).toEqual({ kind: 'switch', to: 'old' })
  expect(nextMove(state, { ...disk, has: () => false })).toEqual({ kind: 'ask', gate })
  expect(nextMove(state, { ...disk, has: () => false, health: undefined })).toEqual({ kind: 'drop-gate' })
})

type Event =
  | { readonly kind: 'wish'; readonly wish: number }
  | { readonly kind: 'pass'; readonly healthy: boolean; readonly stepsUntilCrash: number }
  | { readonly kind: 'roll back'; readonly to: number; readonly stepsUntilCrash: number }

const steps = fc.oneof(fc.constant(Infinity), fc.nat(8))
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant('wish' as const), wish: fc.nat(5) }),
  fc.record({ kind: fc.constant('pass' as const), healthy: fc.boolean(), stepsUntilCrash: steps }),
  fc.record({ kind: fc.constant('roll back' as const), to: fc.nat(3), stepsUntilCrash: steps }),
)

describe('whatever happens, and wherever the process is killed in between', () => {
  it('names a whole release, follows no source into what is not healthy, and stays where an operator went', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30, size: 'max' }), (events) => {
        const appliance = new Appliance()
        for (const each of events) appliance.live(each)
      }),
      { numRuns: 2_000 },
    )
  })
})

class Crash extends Error {}

/** The disk of an appliance, and the agent on it as ReleaseActivation is, each durable step of which may be the last. */
class Appliance {
  #state = emptyActivation
  #current: string | undefined
  readonly #trees = new Set<string>()
  #wish = 0
  #stepsLeft = Infinity
  /** Verdicts against a release since the source changed its wish. */
  #refusals = new Map<string, number>()
  /** What an operator went to, and away from which wish; the first one heard after it where none was known. */
  #held: { readonly releaseId: string; readonly wishId: string | undefined } | undefined

  live(event: Event): void {
    try {
      this.#stepsLeft = event.kind === 'wish' ? Infinity : event.stepsUntilCrash
      this.#do(event)
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    if (this.#current !== undefined) expect(this.#trees).toContain(this.#current)
  }

  #do(event: Event): void {
    switch (event.kind) {
      case 'wish':
        if (event.wish !== this.#wish) this.#refusals = new Map()
        this.#wish = event.wish
        return
      case 'pass':
        this.#pass(event.healthy)
        return
      case 'roll back':
        this.#rollBack([...this.#trees][event.to % this.#trees.size])
    }
  }

  #pass(healthy: boolean): void {
    this.#settle(healthy)
    this.#write(withWish(this.#state, this.#wishId))
    this.#hear()
    const before = this.#current
    const why = whyNotInstall(this.#state, this.#disk)
    if (why === undefined && this.#wanted !== this.#current) this.#install(healthy)
    if (this.#held !== undefined) expect(this.#current).toBe(this.#held.releaseId)
    if (why === undefined && healthy) expect(this.#current).toBe(this.#wanted)
    if (why === undefined && !healthy && before !== undefined) expect(this.#current).toBe(before)
    expect(this.#state.gate).toBeUndefined()
    this.#collect()
  }

  #install(healthy: boolean): void {
    const releaseId = this.#wanted
    const previous = this.#current
    const gate = { releaseId, wishId: this.#wishId, ...(previous === undefined ? {} : { previous }) }
    this.#write(installing(this.#state, { releaseId, gate }))
    this.#step(() => this.#trees.add(releaseId))
    this.#switchTo(releaseId)
    this.#settle(healthy)
  }

  #settle(healthy: boolean): void {
    for (let moves = 0; ; moves += 1) {
      expect(moves).toBeLessThan(4)
      const move = nextMove(this.#state, this.#disk)
      switch (move.kind) {
        case 'none':
          return
        case 'switch':
          this.#switchTo(move.to)
          break
        case 'drop-gate':
          this.#write(without(this.#state, 'gate'))
          break
        case 'ask':
          this.#judge(move.gate, healthy)
      }
    }
  }

  #judge(gate: Gate, healthy: boolean): void {
    const verdict = healthy ? ({ healthy } as const) : ({ healthy, why: 'exit 1' } as const)
    this.#write(judged(this.#state, { ...this.#disk, gate, verdict, at }))
    if (healthy || gate.wishId !== this.#wishId) return
    const refusals = (this.#refusals.get(gate.releaseId) ?? 0) + 1
    expect(refusals).toBe(1)
    this.#refusals.set(gate.releaseId, refusals)
  }

  #rollBack(to: string | undefined): void {
    if (to === undefined) return
    this.#write(wentTo(this.#state, to))
    this.#held = { releaseId: to, wishId: this.#state.wishId }
    this.#refusals.delete(to)
    if (nextMove(this.#state, this.#disk).kind === 'switch') this.#switchTo(to)
    expect(this.#current).toBe(to)
  }

  #hear(): void {
    if (this.#held === undefined) return
    const { releaseId, wishId = this.#wishId } = this.#held
    this.#held = wishId === this.#wishId ? { releaseId, wishId } : undefined
  }

  #collect(): void {
    const bad = new Set(this.#state.quarantine.map(({ releaseId }) => releaseId))
    for (const tree of this.#trees)
      if (tree !== this.#current && bad.has(tree)) this.#step(() => this.#trees.delete(tree))
  }

  /** Two wishes have the same release. */
  get #wanted(): string {
    return `release-${this.#wish % 3}`
  }

  get #wishId(): string {
    return `wish-${this.#wish}`
  }

  get #disk(): OnDisk {
    return { currentId: this.#current, has: (id) => this.#trees.has(id), health: '{"hook":"h"}' }
  }

  #write(state: ActivationState): void {
    if (state === this.#state) return
    this.#step(() => {
      this.#state = state
    })
  }

  #switchTo(releaseId: string): void {
    this.#step(() => {
      this.#current = releaseId
    })
  }

  #step(act: () => void): void {
    if (this.#stepsLeft === 0) throw new Crash()
    this.#stepsLeft -= 1
    act()
  }
}
