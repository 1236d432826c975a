import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusDocument, StatusReport } from '../../agent/status/status-document.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import {
  createProxiedSite,
  proxiedNames,
  proxyLogin,
  proxySecrets,
  secondNames,
  urlWithCredentials,
  type ProxiedSite,
} from '../support/proxied-site.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { lacksSquid, squidAddress, startSquid } from '../support/squid.ts'
import { waitUntil } from '../support/wait-until.ts'

const leftOut = (await lacksSquid('the agent behind a proxy')) || (await lacksMosquitto('the agent behind a proxy'))

describe.skipIf(leftOut)('behind a proxy that wants credentials', { timeout: 60_000 }, () => {
  it('does all that it has to do, and nothing of it past the proxy', async () => {
    await using site = await createProxiedSite({ network: (proxy) => ({ proxy }) })
    await expectMainJob(site, {})
  })

  it('does so with the proxy, and its credentials, of the environment, and with MQTT as port 443 speaks it', async () => {
    await using site = await createProxiedSite({ network: () => ({}) })
    site.cloud.iot.setRequiresAlpn(true)
    await expectMainJob(site, { HTTPS_PROXY: urlWithCredentials(site), NO_PROXY: 'localhost,10.0.0.0/8' })
  })

  it('names a proxy that does not take its credentials, and goes on once it does', async () => {
    await using site = await createProxiedSite({ network: (proxy) => ({ proxy }) })
    await writeFile(site.passwordFile, 'pw-Wrong_5Tr1\n')
    const agent = site.start()
    const status = await agent.until(
      ({ credentials: [first], connection }) =>
        first?.lastError !== undefined && (connection?.lastError?.message ?? '').includes('407'),
    )
    expect(status.credentials[0]?.lastError).toMatchObject({
      name: 'ProxyError',
      message: expect.stringMatching(/^the proxy 127\.0\.0\.1:\d+ does not take the credentials .*HTTP 407/) as string,
      hint: expect.stringContaining('network.proxy.usernameFile') as string,
    })
    expect(status.network).toMatchObject({ proxy: `127.0.0.1:${site.squid.port}` })
    await writeFile(site.passwordFile, `${site.password}\n`)
    await agent.until(({ credentials: [first] }) => first?.expiresAt !== undefined, 45_000)
    expect(agent.output).not.toContain('pw-Wrong_5Tr1')
  })
})

describe.skipIf(leftOut)('a first boot behind a proxy', () => {
  it('gets its identity by the proxy of the environment, and nothing past it', async () => {
    await using squid = await startSquid({ ...proxyLogin, names: proxiedNames() })
    await using site = await createProvisioningSite({ config: ({ cloud }) => ({ endpoints: secondNames(cloud) }) })
    const { password } = proxyLogin
    const agent = site.start({
      env: { HTTPS_PROXY: urlWithCredentials({ url: `http://127.0.0.1:${squid.port}`, password }) },
    })
    const isConnected = (status: StatusReport): boolean =>
      !isUnprovisioned(status) && status.connection?.state === 'connected'
    await site.until('an identity', isConnected)
    expect(site.things()).toEqual([site.thingName])
    expect([...site.cloud.peers()]).toEqual([squidAddress])
    expect(agent.output).not.toContain(password)
  }, 60_000)
})

async function expectMainJob(site: ProxiedSite, env: Readonly<Record<string, string>>): Promise<void> {
  const { cloud, appliance, squid } = site
  await appendFile(join(appliance.logsFolder, 'app.log'), 'one line\n')
  const agent = site.start({ env })
  const isDone = ({ artifacts: [artifact], cameras: [camera], connection }: StatusDocument): boolean =>
    artifact?.releaseId !== undefined && camera?.state === 'ok' && connection?.state === 'connected'
  await agent.until(isDone)
  const job = { jobId: 'refresh', targets: [appliance.thingName] }
  cloud.iot.jobs.createJob({ ...job, document: { version: '1.0', operation: 'refresh-cameras' } })
  const statusOf = (): string => cloud.iot.jobs.describeExecution(appliance.thingName, 'refresh').status
  await waitUntil('the job is done', () => statusOf() === 'SUCCEEDED')
  await waitUntil('the line is in CloudWatch', () => linesOf(site).includes('one line'))
  const installed = join(appliance.stateFolder, 'artifacts', 'model', 'current', 'a')
  expect(await readFile(installed, 'utf8')).toBe('content')
  expect([...cloud.peers()]).toEqual([squidAddress])
  const status = await agent.status()
  expect(status.network).toMatchObject({ proxy: `127.0.0.1:${squid.port}` })
  for (const secret of proxySecrets) expect(agent.output + JSON.stringify(status)).not.toContain(secret)
  expect(await agent.stop()).toEqual({ code: 0, signal: null })
}

function linesOf({ cloud: { logs } }: ProxiedSite): readonly string[] {
  return logs
    .groups()
    .flatMap(({ name: group }) =>
      logs.streams(group).flatMap(({ name }) => logs.events(group, name).map(({ message }) => message)),
    )
}
