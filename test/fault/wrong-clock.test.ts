import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { createAgentSite } from '../support/agent-site.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { runCommand } from '../support/run-command.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const yearMs = 365 * 86_400_000
const noFaketime = await whyNoFaketime()
if (noFaketime !== undefined) console.log(`skipped, because faketime does not work here: ${noFaketime}`)

describe.skipIf(noFaketime !== undefined)('an appliance whose clock is wrong from the start', () => {
  it.each([
    ['a year slow', '-365d', yearMs],
    ['a year fast', '+365d', -yearMs],
  ])('gets credentials, a release, its camera, and logs at the right time: %s', async (_, shift, offsetMs) => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    await appendFile(join(site.appliance.logsFolder, 'app.log'), 'one line\n')
    const agent = site.start({
      // not by way of the faketime command, which would stand between the agent and its signals
      env: { LD_PRELOAD: await preloadOf(), FAKETIME: shift, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    })
    const { clock, logs } = await agent.until(({ artifacts: [artifact], cameras: [camera] }) => {
      return artifact?.releaseId !== undefined && camera?.versionId !== undefined
    })
    expect(Math.abs(clock.offsetSeconds * 1000 - offsetMs)).toBeLessThan(60_000)
    for (const stream of ['app', 'occ_log']) {
      await waitUntil(`${stream} arrived`, () => arrivedMessages(site.cloud, logs.group, stream).length > 0)
      for (const { timestamp } of site.cloud.logs.events(logs.group, stream)) {
        expect(Math.abs(timestamp - site.cloud.now()), stream).toBeLessThan(120_000)
      }
    }
    agent.kill('SIGTERM')
    expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  })
})

describe.skipIf(noFaketime !== undefined || (await lacksMosquitto('a first boot under a wrong clock')))(
  'a first boot under a wrong clock',
  () => {
    it('says in status, journal and on the console that the clock is at fault, and who may set it', async () => {
      await using site = await createProvisioningSite()
      const env = { LD_PRELOAD: await preloadOf(), FAKETIME: '-365d', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
      const agent = site.start({ env })
      const clockText = 'the system clock is 8760 hours slow'
      await site.until('a fault', (report) => JSON.stringify(report).includes(clockText))
      const report = await site.status()
      const shown = JSON.stringify(report)
      expect(shown).toContain('NTP')
      expect(shown).toContain('allowed/set-clock')
      expect(shown).not.toContain('the claim is refused')
      expect(await readFile(join(site.runtimeFolder, 'console-message'), 'utf8')).toMatch(
        /there is no connection with the claim: .* 8760 hours slow - .*NTP.*allowed\/set-clock/,
      )
      expect(agent.output).not.toContain('the claim is refused')
    })
  },
)

async function preloadOf(): Promise<string> {
  return (await runCommand('faketime', ['-f', '+0d', 'printenv', 'LD_PRELOAD'])).stdout.trim()
}

async function whyNoFaketime(): Promise<string | undefined> {
  return await runCommand('faketime', ['-f', '-365d', process.execPath, '-p', 'new Date().getFullYear()']).then(
    ({ stdout }) => (Number(stdout) < new Date().getFullYear() ? undefined : 'it does not change the time of Node'),
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}
