import { setTimeout as delay } from 'node:timers/promises'

import { expect, test } from 'vitest'

import type { StoredEvent } from '../cloud/logs/logs-store.ts'
import { LocalAppliance, localGroup, localThing } from '../support/local-agent.ts'
import { OfflineAlarm } from '../support/offline-alarm.ts'
import { passTime, passTimeUntil, simulateTime } from '../support/simulated-time.ts'

const minuteMs = 60_000
const device = { id: localThing, name: localThing }

test('the offline alarm goes off while an appliance is away, and at no other time', async () => {
  using _time = simulateTime()
  await using appliance = await LocalAppliance.open()
  await using _agent = await appliance.start()
  const alarm = await OfflineAlarm.of(device)
  const { cloud } = appliance
  const isInAlarm = (): boolean => alarm.isInAlarm(records(appliance), cloud.now())
  const alarmMinutes = async (minutes: number): Promise<number> => {
    let count = 0
    for (let minute = 0; minute < minutes; minute += 1) {
      await passTime({ forMs: minuteMs, stepMs: 1_000 })
      count += isInAlarm() ? 1 : 0
    }
    return count
  }
  await passTimeUntil(() => records(appliance).length > 0, { withinMs: minuteMs, stepMs: 200 })
  await passTime({ forMs: 5 * minuteMs, stepMs: 1_000 })

  expect(await alarmMinutes(15)).toBe(0)
  const cut = cloud.faults.inject({ kind: 'reset' })
  expect(await alarmMinutes(15)).toBeGreaterThanOrEqual(8)
  expect(isInAlarm()).toBe(true)
  cut[Symbol.dispose]()
  await passTime({ forMs: 2 * minuteMs, stepMs: 1_000 })
  expect(await alarmMinutes(15)).toBe(0)
})

test('what waited through an outage keeps the minute that it was made in', async () => {
  using _time = simulateTime()
  await using appliance = await LocalAppliance.open()
  await using _agent = await appliance.start()
  const alarm = await OfflineAlarm.of(device)
  await passTimeUntil(() => records(appliance).length > 0, { withinMs: minuteMs, stepMs: 200 })
  await passTime({ forMs: 3 * minuteMs, stepMs: 1_000 })
  const cut = appliance.cloud.faults.inject({ kind: 'reset' })
  await passTime({ forMs: 7 * minuteMs, stepMs: 1_000 })
  cut[Symbol.dispose]()
  await passTime({ forMs: 3 * minuteMs, stepMs: 1_000 })

  const timesMs = [...new Set(alarm.timesMs(records(appliance)))].sort((one, other) => one - other)
  const gapsMs = timesMs.slice(1).map((timeMs, at) => timeMs - (timesMs[at] ?? 0))
  expect(gapsMs.length).toBeGreaterThanOrEqual(11)
  for (const gapMs of gapsMs) expect(Math.abs(gapMs - minuteMs)).toBeLessThanOrEqual(2)
})

test.each([365, -0.5])('the first record already has the time of a cloud that is %d days ahead', async (days) => {
  await using appliance = await LocalAppliance.open({ cloud: { timeOffsetMs: days * 86_400_000 } })
  await using _agent = await appliance.start()
  const alarm = await OfflineAlarm.of(device)
  const first = (): number | undefined => alarm.timesMs(records(appliance))[0]
  await expect.poll(first, { timeout: 15_000 }).toBeDefined()
  expect(Math.abs((first() ?? 0) - appliance.cloud.now())).toBeLessThan(minuteMs)
  expect(appliance.cloud.logs.accepted().rejectedEvents).toBe(0)
})

test('a record publishes what it is told to, and there is none where metrics are switched off', async () => {
  await using appliance = await LocalAppliance.open({
    config: () => ({ metrics: { publish: ['UptimeSeconds', 'StateFreeBytes'] } }),
  })
  {
    await using _agent = await appliance.start()
    await expect.poll(() => records(appliance).length, { timeout: 15_000 }).toBe(1)
  }
  const published = [{ Name: 'DeviceActive' }, { Name: 'UptimeSeconds' }, { Name: 'StateFreeBytes' }]
  expect(JSON.parse(records(appliance)[0]?.message ?? '')).toMatchObject({
    _aws: { CloudWatchMetrics: [{ Metrics: published }] },
    DeviceId: localThing,
    DeviceActive: 1,
    Generation: 1,
  })
  await appliance.configure({ metrics: { enabled: false } })
  await using agent = await appliance.start()
  await expect.poll(async () => (await agent.status()).clock.known, { timeout: 15_000 }).toBe(true)
  await delay(2_500) // the look of two passes at the clock
  await agent.stop()
  expect(records(appliance)).toHaveLength(1)
})

function records({ cloud: { logs } }: LocalAppliance): readonly StoredEvent[] {
  if (!logs.groups().some(({ name }) => name === localGroup)) return []
  if (!logs.streams(localGroup).some(({ name }) => name === 'metrics')) return []
  return logs.events(localGroup, 'metrics')
}
