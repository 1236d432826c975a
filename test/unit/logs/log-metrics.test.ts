import { writeFile } from 'node:fs/promises'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { LogAppliance, useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => vi.useRealTimers())

test('a metrics record is sent at once, to the stream metrics', async () => {
  await using appliance = await LogAppliance.open()
  appliance.start()
  await appliance.pass()

  appliance.logs.offerMetrics('{"DeviceActive":1}')
  await appliance.pass()

  expect(appliance.sent('metrics')).toEqual(['{"DeviceActive":1}'])
  expect(appliance.puts('occ_log')).toBe(0)
})

test('of the metrics records of an outage some of the first and the newest ten arrive, in order', async () => {
  await using appliance = await LogAppliance.open()
  appliance.destination.failures.set('metrics', new AgentError('no route', { retryable: true }))
  appliance.start()
  const made = Array.from({ length: 100 }, (_, minute) => `{"minute":${minute}}`)
  for (const record of made) {
    appliance.logs.offerMetrics(record)
    await appliance.pass(60_000)
  }
  appliance.destination.failures.delete('metrics')
  await appliance.pass(60_000)
  await appliance.pass(60_000)

  expect(appliance.sent('metrics').slice(-10)).toEqual(made.slice(-10))
  expect(appliance.sent('metrics').length).toBeLessThanOrEqual(20)
})

test('metrics records that are dropped are no lost log events, and a warning', async () => {
  await using appliance = await LogAppliance.open()
  appliance.destination.failures.set('metrics', new AgentError('no route', { retryable: true }))
  appliance.start()
  for (let minute = 0; minute < 30; minute += 1) {
    appliance.logs.offerMetrics(`{"minute":${minute}}`)
    await appliance.pass(60_000)
  }

  expect(appliance.logs.status().lost).toBe(0)
  const dropped = appliance.lines.filter(({ text }) => text.includes('metrics records were dropped'))
  expect(dropped.length).toBeGreaterThan(0)
  expect(dropped.every(({ level }) => level === 'warn')).toBe(true)
  expect(appliance.lines.filter(({ text }) => text.includes('were lost'))).toEqual([])
})

test('a metrics record that comes right before the end still goes along', async () => {
  await using appliance = await LogAppliance.open()
  await writeFile(appliance.path('app.log'), 'one\n')
  appliance.start()
  await appliance.pass()
  appliance.logs.offerMetrics('last')
  vi.useRealTimers()
  await appliance.stop()

  expect(appliance.sent('metrics')).toEqual(['last'])
})
