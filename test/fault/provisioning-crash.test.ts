import { setTimeout as delay } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { until } from '../support/wait-until.ts'

/** Each takes some five seconds, and hits the few moments that matter by chance only: the unit tests hit all of them. */
const rounds = Number(process.env['PANORAMA_PROVISIONING_CRASHES'] ?? 0)
if (rounds === 0)
  console.log('skipped: first boots killed at random (PANORAMA_PROVISIONING_CRASHES=30 runs 30 of them)')
/** From the first request to the proof. */
const amidstMs = 500
/** What a first boot takes, from the start of the process, and a little more. */
const longestMs = 2_500

describe.skipIf(rounds === 0 || (await lacksMosquitto('crashes while provisioning')))(
  'a first boot that is killed',
  () => {
    it.each(Array.from({ length: Math.max(rounds, 1) }, (_, round) => round))(
      'at a random moment ends in one thing with one certificate (%i)',
      async () => {
        await using site = await createProvisioningSite()
        const kills = [Math.random() * amidstMs, Math.random() * longestMs]
        const [amidst = 0, early = 0] = kills
        const first = site.start()
        await until(() => site.cloud.requests.list({ service: 'iot-provisioning' }).length > 0)
        await delay(amidst)
        first.kill('SIGKILL')
        await first.exited()
        const second = site.start()
        await delay(early)
        second.kill('SIGKILL')
        await second.exited()
        site.start()
        const told = `killed after ${kills.map(Math.round).join(' and ')} ms`
        const status = await site.until(
          `an identity, ${told}`,
          (found) => !isUnprovisioned(found) && found.credentials[0]?.state === 'ok',
        )
        expect(status, told).toMatchObject({ device: { thingName: site.thingName } })
        const registered = site.cloud.requests.list({ service: 'iot-provisioning', action: 'RegisterThing' })
        expect(registered.filter(({ status }) => status === 200).length, told).toBe(1)
        expect(site.things(), told).toEqual([site.thingName])
      },
      60_000,
    )
  },
)
