import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import type { Denial } from '../cloud/iot/gate-connection.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { createJobsSite, type JobsSite } from '../support/jobs-site.ts'
import { leavesOutJobFaults } from '../support/mosquitto.ts'
import { waitUntil } from '../support/wait-until.ts'

const yearMs = 365 * 86_400_000
/** s2n keeps a handshake that failed open for up to 30 s, against oracles. */
const failsWithinMs = 60_000
const group = '/aws/panorama/devices/panorama_dock-1'
const lacksBroker = await leavesOutJobFaults('AWS IoT Core refuses an appliance')

describe.skipIf(lacksBroker)('an appliance that AWS IoT Core refuses', { timeout: 180_000 }, () => {
  test.concurrent.each(['reason-code', 'close'] as const)(
    'says what to do about a certificate that was revoked, and its workers go on (%s)',
    async (denial) => {
      await using site = await createJobsSite()
      const agent = await connected(site, denial)
      setCertificate(site, 'REVOKED')
      await expectNamed(site, agent, 'see that the certificate is active')
      setCertificate(site, 'ACTIVE')
      await agent.until(({ connection }) => connection?.state === 'connected', 40_000)
    },
  )

  test.concurrent.each(['reason-code', 'close'] as const)(
    'says what to do about a policy that does not let it connect, and its workers go on (%s)',
    async (denial) => {
      await using site = await createJobsSite()
      const agent = await connected(site, denial)
      const { certificateId, thingName } = site.appliance
      site.cloud.appliances.setIotPolicy(certificateId, undefined)
      site.cloud.iot.drop(thingName)
      await expectNamed(site, agent, 'attach the thing panorama_dock-1 and the policy')
      expect((await agent.status()).connection?.lastError?.hint).toContain('config/cloud/iot-device-policy.json')
    },
  )

  test.concurrent('says what to allow where it may not subscribe', async () => {
    await using site = await createJobsSite()
    const { certificateId } = site.appliance
    const policy = site.cloud.appliances.findById(certificateId)?.policy
    if (policy === undefined) throw new Error('the appliance has no policy')
    const statements = policy.statements.filter((statement) => !JSON.stringify(statement).includes('iot:Subscribe'))
    expect(statements.length).toBeLessThan(policy.statements.length)
    site.cloud.appliances.setIotPolicy(certificateId, { ...policy, statements })
    const agent = site.start()
    const { jobs } = await agent.until((now) => now.jobs?.lastError?.hint !== undefined)
    expect(jobs?.lastError?.hint).toContain('allow iot:Subscribe')
    await expectWorking(site)
  })

  test.concurrent('waits for a clock that TLS takes, and says how wrong it is', async () => {
    await using site = await createJobsSite({ cloud: { timeOffsetMs: yearMs } })
    const agent = site.start()
    const { connection } = await agent.until(
      (now) => now.connection?.lastError?.message.includes('8760 hours slow') === true,
      failsWithinMs,
    )
    expect(connection?.lastError?.hint).toContain('set the system clock')
    await expectWorking(site)
    await site.cloud.setTimeOffset(0)
    await agent.until((now) => now.connection?.state === 'connected', failsWithinMs)
  })
})

async function connected(site: JobsSite, denial: Denial): Promise<AgentProcess> {
  site.cloud.iot.setDenial(denial)
  const agent = await site.startConnected()
  await agent.until(({ credentials }) => credentials[0]?.state === 'ok')
  return agent
}

async function expectNamed(site: JobsSite, agent: AgentProcess, hint: string): Promise<void> {
  await agent.until((now) => now.connection?.lastError?.hint?.includes(hint) === true, failsWithinMs)
  await expectWorking(site)
}

/** Logs still go to the cloud. */
async function expectWorking({ cloud, appliance }: JobsSite): Promise<void> {
  await appendFile(join(appliance.logsFolder, 'application.log'), 'a line\n')
  await waitUntil('the line arrives', () => arrivedMessages(cloud, group, 'application').includes('a line'))
}

function setCertificate({ cloud, appliance }: JobsSite, status: 'ACTIVE' | 'REVOKED'): void {
  cloud.appliances.setCertificateStatus(appliance.certificateId, status)
}
