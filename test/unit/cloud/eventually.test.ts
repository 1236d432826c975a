import { describe, expect, it } from 'vitest'

import { EventualMap, Eventually } from '../../cloud/eventually.ts'

describe('Eventually', () => {
  it('shows a change without delay at once', () => {
    const value = new Eventually(() => 0, 'old')
    value.set('new')

    expect(value.get()).toBe('new')
  })

  it('shows a delayed change when its time has come, not before', () => {
    const clock = { nowMs: 1_000 }
    const value = new Eventually(() => clock.nowMs, 'old')
    value.set('new', 5_000)

    clock.nowMs = 5_999
    expect(value.get()).toBe('old')
    clock.nowMs = 6_000
    expect(value.get()).toBe('new')
  })

  it('ends with the change made last, whatever the delays were', () => {
    const clock = { nowMs: 0 }
    const value = new Eventually(() => clock.nowMs, 'first')
    value.set('second', 10_000)
    value.set('third', 1_000)

    clock.nowMs = 2_000
    expect(value.get()).toBe('third')
    clock.nowMs = 20_000
    expect(value.get()).toBe('third')
  })

  it('does not take back what was seen when the clock goes back', () => {
    const clock = { nowMs: 0 }
    const value = new Eventually(() => clock.nowMs, 'old')
    value.set('new', 5_000)
    clock.nowMs = 5_000
    value.get()

    clock.nowMs = 0
    expect(value.get()).toBe('new')
  })
})

describe('EventualMap', () => {
  it('keeps a deleted value until the deletion is seen', () => {
    const clock = { nowMs: 0 }
    const map = new EventualMap<string>(() => clock.nowMs)
    map.set('alias', 'role')
    map.set('alias', undefined, 1_000)

    expect(map.get('alias')).toBe('role')
    clock.nowMs = 1_000
    expect(map.get('alias')).toBeUndefined()
  })
})
