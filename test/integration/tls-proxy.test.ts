import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import {
  authorityExtensions,
  makeCertificate,
  serverExtensions,
  type TestCertificate,
} from '../support/certificates.ts'
import { runDoctor } from '../support/doctor-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProxiedSite, proxySecrets, urlWithCredentials, type ProxiedSite } from '../support/proxied-site.ts'
import { lacksSquid, squidAddress } from '../support/squid.ts'

const what = 'the agent behind a proxy that speaks TLS'
const leftOut = (await lacksSquid(what)) || (await lacksMosquitto(what))

const dayMs = 86_400_000

interface TlsSite {
  readonly site: ProxiedSite
  /** Of the proxy's certificate. */
  readonly root: TestCertificate
}

const timeout = 60_000

/** Side by side, because the native client takes its time over whom it does not trust. */
describe.skipIf(leftOut)(
  'behind a proxy that speaks TLS itself and wants credentials',
  { timeout, concurrent: true },
  () => {
    it('does the main job, MQTT included, where a root of the appliance vouches for the proxy', async () => {
      const { site: opened, root } = await tlsSite('network.proxy')
      await using site = opened
      await appendFile(join(site.appliance.identityFolder, 'root-ca.pem'), `\n${root.pem}`)
      await expectAllBy(site)
    })

    it('does so by HTTPS_PROXY and a root of the system, beside a root there that the native client cannot read', async () => {
      const { site: opened, root } = await tlsSite('HTTPS_PROXY')
      await using site = opened
      const store = join(site.appliance.stateFolder, '..', 'system.pem')
      await writeFile(store, `${await oddRoot()}\n${root.pem}\n`)
      await expectAllBy(site, { https_proxy: urlWithCredentials(site), SSL_CERT_FILE: store, SSL_CERT_DIR: '/nowhere' })
    })

    it('names a proxy whose certificate no known root has issued, for MQTT too, and goes no other way', async () => {
      const { site: opened } = await tlsSite('network.proxy')
      await using site = opened
      const agent = site.start()
      const status = await agent.until(
        ({ credentials: [first], connection }) => first?.lastError !== undefined && connection?.state === 'down',
      )
      const expected = {
        name: 'ProxyError',
        message: expect.stringMatching(/^the proxy localhost:\d+ is not trusted: .*issued by "Corp Root"$/) as string,
        hint: expect.stringMatching(/update-ca-certificates.*identity\.rootCa/) as string,
      }
      expect(status.credentials[0]?.lastError).toMatchObject(expected)
      expect(status.connection?.lastError).toMatchObject(expected)
      expect([...site.cloud.peers()]).toEqual([])
    })

    it('has the doctor say that MQTT alone waits where the certificate of the proxy is out of date', async () => {
      const { site: opened, root } = await tlsSite('network.proxy', { notAfter: new Date(Date.now() - dayMs) })
      await using site = opened
      await appendFile(join(site.appliance.identityFolder, 'root-ca.pem'), `\n${root.pem}`)
      const text = expect.stringMatching(
        /^the certificate of the proxy localhost:\d+ is valid from \S+Z to \S+Z, and not now$/,
      ) as string
      const hint = expect.stringContaining('renew the certificate of the proxy') as string
      await mkdir(site.appliance.stateFolder)
      const { findings } = await runDoctor(site.appliance)
      expect(findings.get('proxy')).toMatchObject({ level: 'warn', text, hint })
      expect(findings.get('credentials')).toMatchObject({ level: 'pass' })
      expect(findings.get('mqtt')).toMatchObject({ level: 'fail', text, hint })
    })

    it('has the doctor name a proxy that is not trusted, once', async () => {
      const { site: opened } = await tlsSite('network.proxy')
      await using site = opened
      await mkdir(site.appliance.stateFolder)
      const { findings } = await runDoctor(site.appliance)
      const failed = [...findings.values()].filter(({ level }) => level === 'fail')
      expect(failed).toEqual([
        {
          id: 'proxy',
          name: 'proxy',
          level: 'fail',
          text: expect.stringMatching(/^the proxy localhost:\d+ is not trusted: .*issued by "Corp Root"$/) as string,
          hint: expect.stringContaining('update-ca-certificates') as string,
        },
      ])
      expect(findings.get('mqtt')?.level).toBe('skip')
    })
  },
)

async function tlsSite(
  by: 'network.proxy' | 'HTTPS_PROXY',
  { notAfter = new Date(Date.now() + dayMs) }: { readonly notAfter?: Date } = {},
): Promise<TlsSite> {
  const root = await makeCertificate({ commonName: 'Corp Root', extensions: authorityExtensions() })
  const extensions = serverExtensions('localhost')
  const dates = { notBefore: new Date(notAfter.getTime() - 30 * dayMs), notAfter }
  const { pem, privateKey } = await makeCertificate({ commonName: 'localhost', issuer: root, extensions, ...dates })
  const site = await createProxiedSite({
    network: (proxy) => (by === 'network.proxy' ? { proxy } : {}),
    tls: { certificatePem: pem, privateKeyPem: privateKey },
  })
  return { site, root }
}

/** OpenSSL takes a version that does not go with its extensions, the native client's library does not. */
async function oddRoot(): Promise<string> {
  const { der } = await makeCertificate({ commonName: 'Odd Root', extensions: authorityExtensions() })
  const bytes = Buffer.from(der)
  const version3 = Buffer.from([0xa0, 3, 2, 1, 2])
  bytes[bytes.indexOf(version3) + version3.length - 1] = 0
  return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----`
}

async function expectAllBy(site: ProxiedSite, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const { cloud, appliance, squid } = site
  const agent = site.start({ env })
  const status = await agent.until(
    ({ artifacts: [artifact], cameras: [camera], connection }) =>
      artifact?.releaseId !== undefined && camera?.state === 'ok' && connection?.state === 'connected',
  )
  expect(status.network).toMatchObject({ proxy: `https://localhost:${squid.port}` })
  expect(await readFile(join(appliance.stateFolder, 'artifacts', 'model', 'current', 'a'), 'utf8')).toBe('content')
  expect([...cloud.peers()]).toEqual([squidAddress])
  for (const secret of proxySecrets) expect(agent.output + JSON.stringify(status)).not.toContain(secret)
  expect(await agent.stop()).toEqual({ code: 0, signal: null })
}
