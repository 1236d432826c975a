import { appendFile, writeFile } from 'node:fs/promises'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import { EventClock } from '../../../../agent/logs/events/event-clock.ts'
import { group, LogAppliance, useFakeClock } from '../log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

test('what was stamped before is in doubt once the clock was set, though a server never saw it wrong', () => {
  const clock = new EventClock({ cloudNow: Date.now })
  vi.advanceTimersByTime(3_600_000)
  expect(clock.read()).toMatchObject({ wasWrong: false })
  vi.setSystemTime(Date.now() + 60_000)
  expect(clock.read()).toMatchObject({ wasWrong: true })
  vi.advanceTimersByTime(1_000)
  expect(clock.read()).toMatchObject({ wasWrong: true })
})

test.each([5, 60])(
  'sends all that waited unread for a clock that is set by %i days, at the right times',
  async (days) => {
    await using appliance = await LogAppliance.open()
    appliance.offsetMs = days * 86_400_000
    appliance.isClockKnown = false
    await writeFile(appliance.path('app.log'), '')
    appliance.start()
    await appliance.pass()
    const stated = new Date().toISOString()
    const rightMs = Date.parse(stated) + appliance.offsetMs
    const lines = Array.from({ length: 5_000 }, (_, at) => `${stated} line ${at} ${'x'.repeat(2_000)}`)
    appliance.destination.failures.set('app', new AgentError('no network', { retryable: true }))
    await appendFile(appliance.path('app.log'), `${lines.join('\n')}\n`)
    await appliance.pass(20_000)
    vi.setSystemTime(Date.now() + appliance.offsetMs)
    appliance.offsetMs = 0
    appliance.isClockKnown = true
    appliance.destination.failures.clear()
    for (let at = 0; at < 30 && appliance.sent('app').length < lines.length; at += 1) await appliance.pass(20_000)
    expect(appliance.sent('app')).toEqual(lines)
    const times = appliance.destination.events({ group, stream: 'app' }).map(({ timestampMs }) => timestampMs)
    expect(Math.max(...times) - rightMs).toBeLessThanOrEqual(10)
    expect(rightMs - Math.min(...times)).toBeLessThanOrEqual(10)
  },
)
