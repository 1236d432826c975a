import { describe, expect, test } from 'vitest'

import { nextStep, type Held, type SwapFacts, type SwapStep, type Tried } from '../../../agent/cameras/swap-decision.ts'

const allTried: readonly Tried[] = ['accepted', 'refused', 'unreachable', 'unclear', 'withheld']
const allHeld: readonly Held[] = ['none', 'current', 'current-unproven', 'same-credential', 'same-host', 'other-host']
const policies = ['wait', 'swap'] as const
const previouses = ['none', 'same', 'other', 'unreadable'] as const

interface World {
  readonly isProbed: boolean
  readonly whenUnreachable: 'wait' | 'swap'
  readonly held: Held
  readonly current: Tried | 'not-due'
  readonly heldTried: Tried
  readonly previous: (typeof previouses)[number]
  readonly previousTried: Tried
}

/** Every world there is. */
function worlds(): readonly World[] {
  return [true, false].flatMap((isProbed) =>
    policies.flatMap((whenUnreachable) =>
      allHeld.flatMap((held) =>
        [...allTried, 'not-due' as const].flatMap((current) =>
          allTried.flatMap((heldTried) =>
            previouses.flatMap((previous) =>
              allTried.map((previousTried) => ({
                isProbed,
                whenUnreachable,
                held,
                current,
                heldTried,
                previous,
                previousTried,
              })),
            ),
          ),
        ),
      ),
    ),
  )
}

interface Ending {
  readonly last: SwapStep
  /** What was probed and read on the way, in order. */
  readonly way: readonly string[]
}

/** Asks for step after step and answers each with what the world has. */
function play(world: World): Ending {
  const { isProbed, whenUnreachable, held, current, heldTried, previous, previousTried } = world
  let facts: SwapFacts = { isProbed, whenUnreachable, held, ...(current === 'not-due' ? { current } : {}) }
  const way: string[] = []
  for (;;) {
    const step = nextStep(facts)
    if (step.do === 'swap' || step.do === 'keep') return { last: step, way }
    const what = step.do === 'probe' ? step.what : 'read'
    if (way.includes(what)) throw new Error(`it asks for ${what} twice`)
    way.push(what)
    if (what === 'current') facts = { ...facts, current }
    if (what === 'held') facts = { ...facts, heldTried }
    if (what === 'read') facts = { ...facts, previous }
    if (what === 'previous') facts = { ...facts, previousTried }
  }
}

/** The design's words, one line after the other: what holds for a world, and the rest is left to the lines below. */
function expected(world: World): string {
  const { isProbed, whenUnreachable, held, current, heldTried, previous, previousTried } = world
  if (held === 'current') return 'keep current'
  if (!isProbed) return held === 'current-unproven' ? 'keep proven' : 'current because unprobed'
  if (held === 'same-credential') return 'current because same-credential'
  if (current === 'not-due') return 'keep not-due'
  if (current === 'accepted') return held === 'current-unproven' ? 'keep proven' : 'current because accepted'
  if (current !== 'refused') {
    if (held === 'none') return 'current because untold'
    if (held === 'current-unproven') return 'keep unproven'
    if (current === 'withheld') return 'keep withheld'
    return whenUnreachable === 'wait' ? 'keep unreachable' : 'current because unreachable'
  }
  if (held === 'same-host' && heldTried === 'accepted') return 'keep rotation-pending'
  if (held === 'same-host' && heldTried !== 'refused') return 'keep refused'
  return previous === 'other' && previousTried === 'accepted' ? 'previous because accepted' : 'keep all-refused'
}

function inWords({ last }: Ending): string {
  if (last.do === 'swap') return `${last.to} because ${last.because}`
  return last.do === 'keep' ? `keep ${last.because}` : last.do
}

const all = worlds()

test(`comes to what was designed in each of ${all.length} worlds, and asks for nothing twice`, () => {
  const wrong = all
    .map((world) => ({ world, is: inWords(play(world)), expected: expected(world) }))
    .filter((each) => each.is !== each.expected)
  expect(wrong).toEqual([])
})

test('never swaps to a credential that was refused or not tried for its refusals', () => {
  for (const world of all) {
    const { last } = play(world)
    if (last.do !== 'swap' || !world.isProbed || world.held === 'same-credential') continue
    const tried = last.to === 'current' ? world.current : world.previousTried
    expect(tried).not.toBe('refused')
    expect(tried).not.toBe('not-due')
  }
})

test('replaces a credential that the camera may still take only with one that it took, unless told to swap', () => {
  for (const world of all) {
    const { last } = play(world)
    const isGood = world.held === 'same-host' || world.held === 'other-host'
    if (last.do !== 'swap' || !isGood || !world.isProbed || world.whenUnreachable === 'swap') continue
    expect(last.to === 'current' ? world.current : world.previousTried).toBe('accepted')
  }
})

test('tries no more than it must', () => {
  for (const world of all) {
    const { way } = play(world)
    if (!world.isProbed || ['current', 'same-credential'].includes(world.held) || world.current === 'not-due') {
      expect(way).toEqual([])
      continue
    }
    expect(way[0]).toBe('current')
    if (world.current !== 'refused') expect(way).toEqual(['current'])
    if (world.held !== 'same-host') expect(way).not.toContain('held')
    if (way.includes('read') && world.held === 'same-host') expect(world.heldTried).toBe('refused')
    if (way.includes('previous')) expect(world.previous).toBe('other')
  }
})

describe('in words', () => {
  const base: World = {
    isProbed: true,
    whenUnreachable: 'wait',
    held: 'same-host',
    current: 'refused',
    heldTried: 'accepted',
    previous: 'other',
    previousTried: 'accepted',
  }

  test.each([
    ['keeps the old one while the camera takes that and not the new one', {}, ['current', 'held']],
    ['reads AWSPREVIOUS when it takes neither', { heldTried: 'refused' }, ['current', 'held', 'read', 'previous']],
    ['reads AWSPREVIOUS when there is no old one', { held: 'none' }, ['current', 'read', 'previous']],
    ['does not try the old one on another host', { held: 'other-host' }, ['current', 'read', 'previous']],
    ['stops at a camera that is not there', { current: 'unreachable' }, ['current']],
  ] as const)('%s', (_, change, way) => {
    expect(play({ ...base, ...change }).way).toEqual(way)
  })
})
