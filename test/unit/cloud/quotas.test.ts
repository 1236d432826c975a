import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { Quotas } from '../../cloud/quotas.ts'

describe('Quotas', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  it('lets a second’s worth through at once, then the steady rate', () => {
    const quotas = new Quotas()

    expect(takeMany(quotas, 20)).toBe(10)
    vi.advanceTimersByTime(500)
    expect(takeMany(quotas, 20)).toBe(5)
  })

  it('saves up no more than one second’s worth', () => {
    const quotas = new Quotas()
    takeMany(quotas, 1)
    vi.advanceTimersByTime(60_000)

    expect(takeMany(quotas, 100)).toBe(10)
  })

  it('counts every action by itself', () => {
    const quotas = new Quotas()
    takeMany(quotas, 10)

    expect(quotas.take('logs', 'CreateLogGroup')).toBe(false)
    expect(quotas.take('logs', 'CreateLogStream')).toBe(true)
    expect(quotas.take('s3', 'GetObject')).toBe(true)
  })

  it('can be scaled, replaced, lifted and switched off', () => {
    const quotas = new Quotas()
    quotas.scale(0.5)
    expect(takeMany(quotas, 20)).toBe(5)
    quotas.set('logs', 'CreateLogGroup', 4)
    expect(takeMany(quotas, 20)).toBe(2)
    quotas.enforce(false)
    expect(takeMany(quotas, 20)).toBe(20)
    quotas.enforce(true)
    expect(takeMany(quotas, 20)).toBe(0)
    quotas.set('logs', 'CreateLogGroup', undefined)
    expect(takeMany(quotas, 20)).toBe(20)
  })
})

function takeMany(quotas: Quotas, count: number): number {
  return Array.from({ length: count }, () => quotas.take('logs', 'CreateLogGroup')).filter(Boolean).length
}
