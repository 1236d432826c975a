import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  comparePoints,
  isNextTo,
  isTorn,
  journalStateSchema,
  relationOf,
  type JournalPosition,
} from '../../../../agent/logs/journal/journal-position.ts'
import { bootBefore, fakeCursor, fakeMonotonicUs, fakeRealtimeUs, thisBoot } from '../../../support/fake-journalctl.ts'

const boots = [bootBefore, thisBoot]

function position(number: number, bootId = thisBoot, cursor = fakeCursor(number, bootId)): JournalPosition {
  return { cursor, bootId, monotonicUs: fakeMonotonicUs(number), realtimeUs: fakeRealtimeUs(number) }
}

/** The same entry, copied by journald into another file. */
function copied(number: number, asNumber: number): JournalPosition {
  const cursor = fakeCursor(number)
    .replace(/s=0+/, `s=${'1'.repeat(32)}`)
    .replace(/;i=[0-9a-f]+/, `;i=${asNumber.toString(16)}`)
  return position(number, thisBoot, cursor)
}

describe('relationOf', () => {
  it('goes by the numbers of journald, for entries of one microsecond as well', () => {
    const point = { bootId: thisBoot, at: position(5) }
    const sameTime = { ...position(6), monotonicUs: fakeMonotonicUs(5) }
    expect(relationOf(position(4), point, boots)).toBe('before')
    expect(relationOf(position(5), point, boots)).toBe('reached')
    expect(relationOf(sameTime, point, boots)).toBe('after')
  })

  it('knows an entry again that was copied from /run to /var', () => {
    expect(relationOf(copied(5, 900), { bootId: thisBoot, at: position(5) }, boots)).toBe('reached')
    expect(relationOf(copied(6, 1), { bootId: thisBoot, at: position(5) }, boots)).toBe('after')
    expect(relationOf(copied(4, 900), { bootId: thisBoot, at: position(5) }, boots)).toBe('before')
  })

  it('goes by the order of the boots, not by the clock', () => {
    const early = { ...position(9, bootBefore), realtimeUs: 1 }
    expect(relationOf(early, { bootId: thisBoot, at: position(1) }, boots)).toBe('before')
    expect(relationOf(position(1), { bootId: bootBefore, at: early }, boots)).toBe('after')
    expect(relationOf(position(1), { bootId: thisBoot }, boots)).toBe('after')
    expect(relationOf(early, { bootId: thisBoot }, boots)).toBe('before')
  })

  it('takes an entry of the same microsecond and of unknown order for one that comes after', () => {
    const opaque = position(5, thisBoot, 'opaque-1')
    expect(relationOf(position(5, thisBoot, 'opaque-2'), { bootId: thisBoot, at: opaque }, boots)).toBe('after')
    expect(relationOf(opaque, { bootId: thisBoot, at: opaque }, boots)).toBe('reached')
  })

  it('agrees with the order of points', () => {
    const anyPosition = fc
      .tuple(fc.nat(50), fc.constantFrom(...boots))
      .map(([number, bootId]) => position(number, bootId))
    fc.assert(
      fc.property(anyPosition, anyPosition, (one, other) => {
        const relation = relationOf(one, { bootId: other.bootId, at: other }, boots)
        const order = comparePoints({ bootId: one.bootId, at: one }, { bootId: other.bootId, at: other }, boots)
        expect(Math.sign(order)).toBe({ before: -1, reached: 0, after: 1 }[relation])
      }),
    )
  })
})

describe('comparePoints', () => {
  it('puts the beginning of a boot first, and the place before an entry in front of the one after it', () => {
    const at = position(1)
    expect(comparePoints({ bootId: thisBoot }, { bootId: thisBoot, at }, boots)).toBeLessThan(0)
    expect(comparePoints({ bootId: thisBoot, at, isNext: true }, { bootId: thisBoot, at }, boots)).toBeLessThan(0)
    expect(comparePoints({ bootId: thisBoot }, { bootId: thisBoot }, boots)).toBe(0)
  })
})

describe('isNextTo and isTorn', () => {
  it('say whether something can be missing', () => {
    expect(isNextTo(position(6), { bootId: thisBoot, at: position(5) })).toBe(true)
    expect(isNextTo(position(7), { bootId: thisBoot, at: position(5) })).toBe(false)
    expect(isNextTo(copied(6, 6), { bootId: thisBoot, at: position(5) })).toBe(false)
    expect(isNextTo(position(7), { bootId: thisBoot })).toBe(true)
    expect(isTorn(position(6), position(5))).toBe(false)
    expect(isTorn(position(7), position(5))).toBe(true)
    expect(isTorn(copied(7, 7), position(5))).toBe(false)
  })
})

describe('journalStateSchema', () => {
  it('takes what the source keeps and refuses a cursor that could be another argument', () => {
    const cursor = { group: 'g', stream: 's', bootId: thisBoot, at: position(5), isNext: true }
    expect(
      journalStateSchema.parse({ boots, cursors: [cursor, { group: 'g', stream: 't', bootId: thisBoot }] }),
    ).toBeTruthy()
    const bad = { ...cursor, at: { ...position(5), cursor: 'a\nb' } }
    expect(journalStateSchema.safeParse({ boots, cursors: [bad] }).success).toBe(false)
  })
})
