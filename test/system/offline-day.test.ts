import { expect, it } from 'vitest'

import { Appliance, isWell, paths } from './support/appliance.ts'
import { startReader } from './support/file-reader.ts'
import { injected, trigger } from './support/injection.ts'
import { pollUntil } from './support/poll-until.ts'

const hours = 24
const hourMs = 3_600_000
/** As fast as a pass that takes some tens of milliseconds still looks like one of less than a minute. */
const factor = 900

it(`lives through ${hours} hours without network on what it has, and takes up everything again after`, async () => {
  const day = injected({
    modules: ['fast-clock'],
    env: { FAST_CLOCK_TRIGGER: trigger, FAST_CLOCK_FACTOR: String(factor), FAST_CLOCK_HOURS: String(hours) },
    lines: ['WatchdogSec=5'],
  })
  await using appliance = await Appliance.working(day)
  const { cloud, unit } = appliance
  const pid = await unit.mainPid()
  const before = await appliance.status()
  const reader = await startReader(appliance)

  await cloud.unreachable()
  await appliance.write(trigger, '')
  await appliance.write(`${paths.logs}/app.log`, 'written offline\n')
  const dayOver = Date.parse(before.clock.now) + hours * hourMs
  const offline = await appliance.until(({ clock }) => Date.parse(clock.now) >= dayOver, 300_000)

  expect(offline.credentials[0]?.state).not.toBe('ok')
  expect(await unit.property('ActiveState')).toBe('active')
  expect(await unit.property('StatusText')).toMatch(/^Failing: /)

  await cloud.setTimeOffset(hours * hourMs)
  await appliance.publish('weights.bin', 'second weights')
  appliance.setPassword('second')
  await cloud.reachable()
  const after = await appliance.until(
    (status) => isWell(status) && status.artifacts[0]?.releaseId !== before.artifacts[0]?.releaseId,
    240_000,
  )

  expect(after.credentials[0]?.fetches).toBeGreaterThan(1)
  await pollUntil('the line arrived', () => appliance.messages('app').includes('written offline'))
  expect(await appliance.read(`${paths.current}/weights.bin`)).toBe('second weights')
  await pollUntil('the new password is there', async () => (await appliance.read(paths.camera)).includes('second'))
  const { reads, misses } = await reader.stop()
  expect(misses).toEqual([])
  expect(reads).toBeGreaterThan(1_000)
  expect(await unit.mainPid()).toBe(pid)
  expect(await unit.restarts()).toBe(0)
})
