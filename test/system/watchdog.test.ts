import { expect, it } from 'vitest'

import { Appliance, isWell } from './support/appliance.ts'
import { injected, trigger } from './support/injection.ts'

/** Short, so that the tests are; TimeoutAbortSec= stays as shipped. */
const watchdog = ['WatchdogSec=3', 'RestartSec=1']

it('kills and restarts an agent whose process is stopped, and the next run says that the event loop was stuck', async () => {
  await using appliance = await Appliance.working({ dropIns: { watchdog: ['[Service]', ...watchdog, ''].join('\n') } })
  const pid = await appliance.unit.mainPid()

  await appliance.unit.send('SIGSTOP')

  await appliance.unit.untilLogged(/Watchdog timeout/)
  await appliance.unit.untilLogged(/the run before was stuck and ended by the watchdog stuck="event loop"/)
  await isBackAfter(appliance, pid)
})

it('kills and restarts an agent that is in an endless loop, and the next run says that the event loop was stuck', async () => {
  const env = { BUSY_LOOP_TRIGGER: trigger }
  await using appliance = await Appliance.working(injected({ modules: ['busy-loop'], env, lines: watchdog }))
  const pid = await appliance.unit.mainPid()

  await appliance.write(trigger, '')

  await appliance.unit.untilLogged(/Watchdog timeout/)
  await appliance.unit.untilLogged(/the run before was stuck and ended by the watchdog stuck="event loop"/)
  await isBackAfter(appliance, pid)
})

it('restarts an agent of which one worker hangs, and the next run names that worker', async () => {
  const hanging = injected({
    modules: ['hanging-files', 'fast-clock'],
    env: {
      HANG_TRIGGER: trigger,
      HANG_PATH: '/run/panorama-agent/cameras/',
      FAST_CLOCK_TRIGGER: trigger,
      FAST_CLOCK_FACTOR: '20',
      FAST_CLOCK_HOURS: '1',
    },
    lines: watchdog,
  })
  await using appliance = await Appliance.working(hanging)
  const pid = await appliance.unit.mainPid()
  const { artifacts } = await appliance.status()

  await appliance.write(trigger, '')
  appliance.setPassword('second')
  await appliance.unit.untilLogged(/a worker is overdue: the watchdog is left to restart the agent overdue=\S*cameras/)
  await appliance.remove(trigger)

  await appliance.unit.untilLogged(/the run before was stuck and ended by the watchdog stuck="worker cameras"/)
  await isBackAfter(appliance, pid)
  expect((await appliance.status()).artifacts[0]?.releaseId).toBe(artifacts[0]?.releaseId)
})

async function isBackAfter(appliance: Appliance, pid: number): Promise<void> {
  await appliance.until(isWell)
  expect(await appliance.unit.mainPid()).not.toBe(pid)
  expect(await appliance.unit.restarts()).toBe(1)
}
