import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { asAnyUser } from '../support/any-user.ts'
import { makeCertificate, serverExtensions } from '../support/certificates.ts'
import { createDoctorSite, levels, runDoctor } from '../support/doctor-site.ts'
import { freePort } from '../support/free-port.ts'
import { lacksIpv6 } from '../support/ipv6.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { startPortal } from '../support/portal.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { createProxiedSite, type ProxiedSite } from '../support/proxied-site.ts'
import { startScriptedProxy } from '../support/scripted-proxy.ts'
import { startScriptedServer } from '../support/scripted-server.ts'
import { lacksSquid, squidAddress } from '../support/squid.ts'

const withoutBroker = await lacksMosquitto('the doctor in difficult networks')
const withoutProxy = await lacksSquid('the doctor behind a proxy')
const withoutIpv6 = await lacksIpv6('the doctor over IPv6 alone')

describe.skipIf(withoutBroker || withoutProxy)('the doctor behind a proxy', () => {
  it('finds nothing wrong, and goes no way past it', async () => {
    await using site = await proxiedSite()
    const run = await runDoctor(site.appliance)
    expect(levels(run, 'fail')).toEqual([])
    expect(run.findings.get('proxy')).toMatchObject({
      level: 'pass',
      text: `127.0.0.1:${site.squid.port}, by network.proxy`,
    })
    expect(run.findings.get('dns.mqtt')).toMatchObject({
      level: 'skip',
      text: `mqtt.cloud.test is resolved by the proxy 127.0.0.1:${site.squid.port}`,
    })
    expect(levels(run, 'pass')).toEqual(
      expect.arrayContaining(['tls.mqtt', 'credentials', 'mqtt', 'permission.artifact.model.get']),
    )
    expect([...site.cloud.peers()]).toEqual([squidAddress])
    expect(run.text).not.toContain(site.password)
  })

  it('names a proxy that does not take its credentials, once', async () => {
    await using site = await proxiedSite()
    await writeFile(site.passwordFile, 'pw-Wrong_5Tr1\n')
    const run = await runDoctor(site.appliance)
    expect(levels(run, 'fail')).toEqual(['proxy'])
    expect(run.findings.get('proxy')).toMatchObject({
      text: expect.stringMatching(/^the proxy 127\.0\.0\.1:\d+ does not take the credentials /) as string,
      hint: expect.stringContaining('network.proxy.usernameFile') as string,
    })
    expect(run.findings.get('tls.credentials')?.text).toContain('because "proxy" failed')
    expect(run.text).not.toContain('pw-Wrong_5Tr1')
  })
})

it.skipIf(withoutBroker)('the doctor goes by the proxy of the service, of its files too', async () => {
  await using site = await createDoctorSite()
  const endpoints = { ...site.cloud.endpoints, credentials: 'credentials.cloud.test' }
  await writeFile(site.files.configFile, JSON.stringify({ ...site.files.config, endpoints }))
  const environmentFile = join(site.files.stateFolder, '..', 'proxy.env')
  const port = await freePort()
  await writeFile(environmentFile, `# of the site\nHTTPS_PROXY="http://dock:pw-Unit%408Zs@127.0.0.1:${port}"\n`)
  const stdout = `LoadState=loaded\nActiveState=inactive\nEnvironmentFiles=${environmentFile} (ignore_errors=no)\n`
  const systemctl = { exitCode: 0, errorCode: undefined, stdout, stderr: '' }
  const run = await site.run({ run: () => Promise.resolve(systemctl) })
  expect(run.findings.get('proxy')).toMatchObject({
    level: 'fail',
    text: expect.stringContaining(`the proxy 127.0.0.1:${port} cannot be reached: ECONNREFUSED`) as string,
    hint: expect.stringContaining('check HTTPS_PROXY') as string,
  })
  expect(run.findings.get('tls.credentials')?.level).toBe('skip')
  expect(run.findings.get('tls.mqtt')?.level).toBe('pass')
  for (const secret of ['8Zs', Buffer.from('dock:pw-Unit@8Zs').toString('base64')])
    expect(run.text).not.toContain(secret)
})

it.skipIf(withoutBroker)('the doctor says that the proxy may stand where its user may not look', async () => {
  await using site = await createDoctorSite()
  const folder = join(site.files.stateFolder, '..')
  const environmentFile = join(folder, 'proxy.env')
  await writeFile(environmentFile, 'HTTPS_PROXY=http://dock:pw-Unit_8Zs@127.0.0.1:1\n', { mode: 0 })
  await chmod(site.files.identityFolder, 0o755) // its root certificate is public
  const stdout = `LoadState=loaded\nActiveState=inactive\nEnvironmentFiles=${environmentFile} (ignore_errors=no)\n`
  const systemctl = { exitCode: 0, errorCode: undefined, stdout, stderr: '' }
  const look = () => asAnyUser(folder, () => site.run({ run: () => Promise.resolve(systemctl) }))
  const { findings } = await look()
  expect(findings.get('proxy')).toMatchObject({
    level: 'warn',
    text: expect.stringContaining(`this user may not read ${environmentFile}`) as string,
    hint: expect.stringContaining('run it with sudo') as string,
  })
  expect(findings.get('tls.logs')?.level).toBe('pass')
  await writeFile(site.files.configFile, '{}')
  expect((await look()).findings.get('proxy')?.level).toBe('warn')
})

it.skipIf(withoutBroker)('the doctor names a portal that answers everything', async () => {
  await using site = await createDoctorSite()
  const tlsPort = await freePort()
  await using portal = await startPortal({ tlsPort })
  const endpoints = { ...site.cloud.endpoints, credentials: `localhost:${tlsPort}` }
  await writeFile(site.files.configFile, JSON.stringify({ ...site.files.config, endpoints }))
  const run = await site.run({ portalPort: portal.httpPort })
  expect(levels(run, 'fail')).toEqual(['tls.credentials'])
  expect(run.findings.get('tls.credentials')).toMatchObject({
    text: 'something in the network answers in the place of localhost: a web page (HTTP 200)',
    hint: expect.stringContaining('log in') as string,
  })
})

it.skipIf(withoutBroker)('the doctor looks for no portal past a proxy', async () => {
  await using site = await createDoctorSite()
  await using portal = await startPortal({ tlsPort: await freePort() })
  const middlebox = await makeCertificate({ commonName: 'box', extensions: serverExtensions('credentials.cloud.test') })
  await using server = await startScriptedServer({ certificate: middlebox })
  await using proxy = await startScriptedProxy()
  const endpoints = { ...site.cloud.endpoints, credentials: `credentials.cloud.test:${server.port}` }
  const network = { proxy: { url: `http://127.0.0.1:${proxy.server.port}` } }
  await writeFile(site.files.configFile, JSON.stringify({ ...site.files.config, endpoints, network }))
  const { findings } = await site.run({ portalPort: portal.httpPort, lookup: toLoopback })
  expect(findings.get('tls.credentials')).toMatchObject({
    level: 'fail',
    text: expect.not.stringContaining('answers in the place of') as string,
  })
  expect(proxy.requests.join()).toContain('CONNECT credentials.cloud.test')
})

it.skipIf(withoutBroker || withoutIpv6)('the doctor finds nothing wrong over IPv6 alone', async () => {
  await using site = await createDoctorSite({ address: '::1' })
  const run = await site.run()
  expect(levels(run, 'fail')).toEqual([])
  expect(levels(run, 'pass')).toEqual(
    expect.arrayContaining(['tls.mqtt', 'credentials', 'mqtt', 'permission.logs.put']),
  )
  expect([...site.cloud.peers()]).toEqual(['::1'])
})

describe.skipIf(withoutBroker)('the doctor of an appliance without identity', () => {
  it('looks at claim and serial number, and at the way to AWS IoT', async () => {
    await using site = await createProvisioningSite()
    await mkdir(site.stateFolder)
    const run = await runDoctor(site)
    expect(levels(run, 'fail')).toEqual([])
    expect(levels(run, 'pass')).toEqual(
      expect.arrayContaining(['configuration', 'serial', 'claim', 'tls.mqtt', 'mqtt']),
    )
    expect(run.findings.get('mqtt')?.text).toContain('takes the claim as panorama-appliance-SN-1')
    expect(run.findings.get('credentials')?.level).toBe('skip')
    expect(site.things()).toEqual([])
  })

  it('names what is missing of them, and what to do', async () => {
    await using site = await createProvisioningSite()
    await mkdir(site.stateFolder)
    const key = join(site.claimFolder, 'private.key')
    await rm(key)
    await rm(join(site.folder, 'serial'))
    const run = await runDoctor(site)
    expect(levels(run, 'fail')).toEqual(['serial', 'claim'])
    expect(run.findings.get('serial')).toMatchObject({
      text: `${join(site.folder, 'serial')} is not there`,
      hint: expect.stringContaining('panorama-agent-serial') as string,
    })
    expect(run.findings.get('claim')).toMatchObject({
      text: `${key} is not there`,
      hint: expect.stringContaining('scripts/image-install --claim') as string,
    })
    expect(run.findings.get('tls.mqtt')?.level).toBe('pass')
  })

  it('names a claim that AWS IoT refuses', async () => {
    await using site = await createProvisioningSite()
    await mkdir(site.stateFolder)
    site.cloud.appliances.setCertificateStatus(site.claimId, 'INACTIVE')
    const run = await runDoctor(site)
    expect(levels(run, 'fail')).toEqual(['mqtt'])
    expect(run.findings.get('mqtt')?.hint).toContain('the claim certificate is active')
  })
})

const toLoopback: LookupFunction = (_host, { all }, callback) => {
  if (all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** Its camera is nowhere, and no matter here. */
async function proxiedSite(): Promise<ProxiedSite> {
  const site = await createProxiedSite({ network: (proxy) => ({ proxy }) })
  await mkdir(site.appliance.stateFolder)
  await writeFile(site.appliance.configFile, JSON.stringify({ ...site.appliance.config, cameras: {} }))
  return site
}
