import { appendFile } from 'node:fs/promises'

import { describe, expect, it } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { lookAtConnection } from '../../agent/aws/connection-check.ts'
import { IotConnection, type IotConnectionOptions } from '../../agent/aws/iot-connection.ts'
import { createTrust } from '../../agent/aws/trust.ts'
import { composeStatus } from '../../agent/composition/status/agent-status.ts'
import { monotonicMs } from '../../agent/lib/monotonic.ts'
import { startIotCloud } from '../cloud/iot/iot-cloud.ts'
import { authorityExtensions, makeCertificate, serverExtensions } from '../support/certificates.ts'
import { applianceInCloud, openSession, rejectionOf } from '../support/cloud-session.ts'
import { freePort } from '../support/free-port.ts'
import { lacksMosquitto, leavesOutJobFaults } from '../support/mosquitto.ts'
import { startPortal } from '../support/portal.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { startScriptedProxy } from '../support/scripted-proxy.ts'
import { httpAnswer, startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts'
import { adaptersOf } from '../support/service-calls.ts'
import { waitUntil } from '../support/wait-until.ts'

const never = new AbortController().signal
const answers = ['in plain text', 'with a certificate of its own'] as const

describe.each(answers)('behind a portal that answers everything %s', (how) => {
  const certificate = async () =>
    how === 'in plain text'
      ? {}
      : { certificate: await makeCertificate({ commonName: 'hotel', extensions: serverExtensions('login.hotel') }) }

  it('says that it is one, and goes on by itself once it is gone', async () => {
    await using appliance = await applianceInCloud()
    const { cloud, config } = appliance
    await cloud.unreachable()
    const portal = await startPortal({ tlsPort: portOf(config.endpoints.credentials), ...(await certificate()) })
    await using _ = portal
    const overrides = { minCredentialIntervalMs: 0, portalPort: portal.httpPort }
    await using opened = await openSession(config, overrides)
    const { session, generation, base } = opened
    const error = await rejectionOf(base.worker.requestPass())
    expect(error).toMatchObject({ name: 'CaptivePortalError', retryable: true })
    const status = composeStatus({ config, session, generation, startedMs: monotonicMs() })
    expect(status.credentials[0]?.lastError).toMatchObject({
      message: 'something in the network answers in the place of localhost: a web page (HTTP 200)',
      hint: expect.stringContaining('log in') as string,
    })
    await portal[Symbol.asyncDispose]()
    await cloud.reachable()
    await waitUntil('there are credentials', () => base.status().held !== undefined)
  })

  it('says so of a service, too', async () => {
    await using appliance = await applianceInCloud()
    const { cloud, config } = appliance
    await using opened = await openSession(config)
    await opened.base.get()
    await cloud.unreachable()
    await using _ = await startPortal({
      tlsPort: Number(new URL(config.endpoints.s3 ?? '').port),
      ...(await certificate()),
    })
    const { artifacts } = adaptersOf(opened.session, cloud.names.accessPointArn)
    const error = await rejectionOf(artifacts.list(never))
    const isPlain = how === 'in plain text'
    expect(error).toMatchObject(isPlain ? { name: 'CaptivePortalError' } : { name: 'AwsError', failure: 'certificate' })
  })
})

it('says so of a page in the place of an answer, behind a certificate that is trusted', async () => {
  await using appliance = await applianceInCloud()
  const root = await makeCertificate({ commonName: 'Corp Root', extensions: authorityExtensions() })
  const extensions = serverExtensions('*.s3.localhost')
  const certificate = await makeCertificate({ commonName: 's3', issuer: root, extensions })
  const page = httpAnswer('200 OK', '<html>Please log in</html>', { 'content-type': 'text/html; charset=utf-8' })
  await using server = await startScriptedServer({ certificate, onRequest: (socket) => socket.end(page) })
  const { config, cloud } = appliance
  await appendFile(config.identity.rootCa, `\n${root.pem}`)
  const endpoints = { ...config.endpoints, s3: `https://s3.localhost:${server.port}` }
  await using opened = await openSession({ ...config, endpoints })
  const { artifacts } = adaptersOf(opened.session, cloud.names.accessPointArn)
  expect(await rejectionOf(artifacts.list(never))).toMatchObject({
    name: 'CaptivePortalError',
    message: expect.stringMatching(/in the place of .*\.s3\.localhost: a web page/) as string,
  })
})

it('looks for a portal at each host by itself', async () => {
  const page = await startPortal({ tlsPort: await freePort() })
  await using _ = page
  await using server = await startMiddlebox()
  const closed = await freePort()
  // who answers in the place of one name says nothing of another
  const dialer = new Dialer({ portalPort: (host) => (host === 'a.localhost' ? page.httpPort : closed) })
  const trust = createTrust({ roots: [] })
  const to = (host: string): Promise<unknown> => rejectionOf(dialer.secure({ host, port: server.port, trust }))
  expect(await to('a.localhost')).toMatchObject({ name: 'CaptivePortalError' })
  expect(await to('b.localhost')).toMatchObject({ name: 'UntrustedServerError' })
  expect(await to('a.localhost')).toMatchObject({ name: 'CaptivePortalError' })
})

it('does not look for a portal past a proxy', async () => {
  const portal = await startPortal({ tlsPort: await freePort() })
  await using _ = portal
  await using server = await startMiddlebox()
  await using proxy = await startScriptedProxy()
  const dialer = new Dialer({ proxyFor: () => proxy.server, portalPort: () => portal.httpPort })
  const target = { host: 'localhost', port: server.port, trust: createTrust({ roots: [] }) }
  expect(await rejectionOf(dialer.secure(target))).toMatchObject({ name: 'UntrustedServerError' })
})

it('does not take a server for a portal that cannot be reached', async () => {
  const port = await freePort()
  const dialer = new Dialer({ portalPort: () => port })
  expect(await dialer.lookForPortal('localhost')).toBeUndefined()
})

const withoutBroker = await lacksMosquitto('MQTT behind portals and middleboxes')
const withoutFaults = await leavesOutJobFaults('MQTT behind a middlebox') // the native client waits long after such a handshake

describe.skipIf(withoutBroker)('MQTT', () => {
  it('is told who has issued a certificate in the place of the real one', async () => {
    await using cloud = await startIotCloud()
    await using middlebox = await startMiddlebox()
    const options = await connectionOptions(`localhost:${middlebox.port}`, cloud)
    const found = await lookAtConnection({ ...options, defaultPort: 8883 })
    expectNamed(found, middlebox)
  })

  it.skipIf(withoutFaults)(
    'shows who has issued a certificate in the place of the real one',
    async () => {
      await using cloud = await startIotCloud()
      await using middlebox = await startMiddlebox()
      await using connection = new IotConnection(await connectionOptions(`localhost:${middlebox.port}`, cloud))
      await connection.client()
      const isNamed = (): boolean => connection.status().error?.name === 'UntrustedServerError'
      await waitUntil('it is known why', isNamed, 60_000)
      expectNamed(connection.status().error, middlebox)
    },
    90_000,
  )

  it('names a portal in the place of the server', async () => {
    await using cloud = await startIotCloud()
    const port = await freePort()
    await using _ = await startPortal({ tlsPort: port })
    await using connection = new IotConnection(await connectionOptions(`localhost:${port}`, cloud))
    await connection.client()
    await waitUntil('it is known why', () => connection.status().error?.name === 'CaptivePortalError')
    expect(connection.status().error?.message).toContain('it speaks no TLS there')
  })

  it('says when a proxy takes other credentials than those that it was begun with', async () => {
    await using cloud = await startIotCloud()
    const credentials = [{ username: 'dock', password: 'old' }]
    const wanted = { username: 'dock', password: 'new' }
    await using proxy = await startScriptedProxy({ wanted })
    const server = { ...proxy.server, credentials: () => Promise.resolve(credentials.shift() ?? wanted) }
    const { promise: told, resolve } = Promise.withResolvers<undefined>()
    await using connection = new IotConnection({
      ...(await connectionOptions(cloud.endpoints.mqtt, cloud)),
      dialer: new Dialer({ proxyFor: () => server }),
      onProxyChanged: () => {
        resolve(undefined)
      },
    })
    await connection.client()
    await told
    expect(connection.status().error?.message).toContain('the proxy makes no tunnel')
  })
})

describe.skipIf(withoutBroker || withoutFaults)('MQTT by a proxy that speaks TLS', () => {
  it('says when the proxy is vouched for that was not when it was begun', async () => {
    await using cloud = await startIotCloud()
    const root = await makeCertificate({ commonName: 'Corp Root', extensions: authorityExtensions() })
    const extensions = serverExtensions('localhost')
    const certificate = await makeCertificate({ commonName: 'localhost', issuer: root, extensions })
    await using proxy = await startScriptedProxy({ certificate })
    const own = createTrust({ roots: [cloud.rootCaPem] })
    const both = createTrust({ roots: [cloud.rootCaPem, root.pem] })
    const trusts = [own]
    const { promise: told, resolve } = Promise.withResolvers<undefined>()
    await using connection = new IotConnection({
      ...(await connectionOptions(cloud.endpoints.mqtt, cloud)),
      dialer: new Dialer({ proxyFor: () => proxy.server, proxyTrust: () => Promise.resolve(both) }),
      serviceTrust: () => Promise.resolve(trusts.shift() ?? both),
      onProxyChanged: () => {
        resolve(undefined)
      },
    })
    await connection.client()
    await rejectionOf(connection.expectConnected(never))
    await told
  })
})

async function startMiddlebox(): Promise<ScriptedServer> {
  const root = await makeCertificate({ commonName: 'Corp \u0007TLS Inspection', extensions: authorityExtensions() })
  const extensions = serverExtensions('localhost')
  const certificate = await makeCertificate({ commonName: 'localhost', issuer: root, extensions })
  return await startScriptedServer({ certificate })
}

function expectNamed(error: unknown, middlebox: ScriptedServer): void {
  expect(error).toMatchObject({ name: 'UntrustedServerError', issuer: 'Corp TLS Inspection' })
  expect(error).toHaveProperty('message', expect.stringContaining(', issued by "Corp TLS Inspection"'))
  expect(middlebox.receivedBytes()).toBe(0)
}

async function connectionOptions(
  endpoint: string,
  cloud: Awaited<ReturnType<typeof startIotCloud>>,
): Promise<IotConnectionOptions> {
  const { certificatePem, privateKeyPem } = await cloud.appliances.createAppliance({ thingName: 'dock-1' })
  return {
    endpoint,
    clientId: 'dock-1',
    keepAliveSeconds: 60,
    loadIdentity: () =>
      Promise.resolve({ certificate: certificatePem, privateKey: privateKeyPem, roots: cloud.rootCaPem }),
    clockOffsetMs: () => 0,
    dialer: new Dialer(),
    serviceTrust: () => Promise.reject(new Error('there is no proxy')),
    log: new RecordingLog(),
  }
}

function portOf(endpoint: string): number {
  return Number(endpoint.split(':')[1])
}
