import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'

import { afterEach, describe, expect, test, vi } from 'vitest'

import { CredentialsError } from '../../agent/aws/iot-credential-errors.ts'
import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import { parsePolicy } from '../cloud/iam/parse-policy.ts'
import type { Cloud } from '../cloud/cloud.ts'
import type { Fault } from '../cloud/faults.ts'
import type { ApplianceFiles } from '../support/appliance-files.ts'
import { authorityExtensions, makeCertificate, serverExtensions } from '../support/certificates.ts'
import { applianceInCloud, openSession, rejectionOf } from '../support/cloud-session.ts'
import { adaptersOf } from '../support/service-calls.ts'
import { until } from '../support/wait-until.ts'
import { textMatching } from './cloud/text-matching.ts'
import { httpAnswer, startScriptedServer, type ScriptedServerOptions } from '../support/scripted-server.ts'

afterEach(() => {
  vi.useRealTimers()
})

const containing = (text: string): unknown => expect.stringContaining(text)
const without = (text: string): unknown => expect.not.stringContaining(text)
const never = new AbortController().signal

interface Case {
  readonly when: string
  readonly breaks: (cloud: Cloud, files: ApplianceFiles) => void | Promise<void>
  readonly mends: (cloud: Cloud, files: ApplianceFiles) => void | Promise<void>
  readonly config?: (cloud: Cloud) => Readonly<Record<string, unknown>>
  readonly expected: Readonly<Record<string, unknown>>
}

const role = 'AWSPanoramaApplianceServiceRole'
const alias = 'panorama-appliance'

function roleOf(cloud: Cloud) {
  return { name: role, trustPolicy: cloud.policies.applianceRoleTrust, policies: cloud.policies.applianceRolePolicies }
}

async function trustOnly(cloud: Cloud, variant: string): Promise<void> {
  const variables = {
    Account: cloud.account,
    ApplianceArn: `arn:aws:iot:${cloud.region}:${cloud.account}:thing/dock-1`,
  }
  cloud.roles.put({ ...roleOf(cloud), trustPolicy: parsePolicy(await readTemplate(variant, variables)) })
}

async function useCertificate(
  files: ApplianceFiles,
  pems: { readonly certificatePem: string; readonly privateKeyPem: string },
) {
  await writeFile(join(files.identityFolder, 'private.key'), pems.privateKeyPem)
  await writeFile(join(files.identityFolder, 'certificate.pem'), pems.certificatePem)
}

/** As an operator does it: a new certificate for the same thing, put in the place of the old one. */
async function renewIdentity(cloud: Cloud, files: ApplianceFiles): Promise<void> {
  const certificate = await cloud.appliances.createCertificate()
  cloud.appliances.attach(files.thingName, certificate.certificateId)
  cloud.appliances.setIotPolicy(certificate.certificateId, cloud.policies.iotDevicePolicy)
  await useCertificate(files, certificate)
}

function faulty(fault: Fault): Pick<Case, 'breaks' | 'mends'> {
  return {
    breaks: (cloud) => {
      cloud.faults.inject(fault, { service: 'credentials' })
    },
    mends: (cloud) => {
      cloud.faults.clear()
    },
  }
}

const notAccepted = {
  failure: 'certificate-not-accepted',
  status: 403,
  retryable: false,
  message: containing('HTTP 403, Certificate is invalid on this endpoint'),
  hint: containing('not known or not active'),
}
const notAttached = {
  failure: 'thing-not-attached',
  status: 403,
  retryable: false,
  message: containing('HTTP 403, Invalid thing name passed'),
}
const notAssumable = {
  failure: 'role-not-assumable',
  status: 400,
  retryable: false,
  message: containing('Unable to assume the role, or the role to assume does not exist'),
  hint: containing('trusts credentials.iot.amazonaws.com'),
}
const network = { failure: 'network', retryable: true, hint: containing('check the network, DNS') }

const cases: readonly Case[] = [
  {
    when: 'the thing is not attached to the certificate',
    breaks: (cloud, files) => {
      cloud.appliances.detach(files.thingName, files.certificateId)
    },
    mends: (cloud, files) => {
      cloud.appliances.attach(files.thingName, files.certificateId)
    },
    expected: { ...notAttached, hint: containing('attach-thing-principal --thing-name dock-1') },
  },
  {
    when: 'the configured thing is not in the registry',
    breaks: () => undefined,
    config: ({ region }) => ({ device: { thingName: 'dock-9', region } }),
    mends: (cloud, files) => {
      cloud.appliances.createThing('dock-9')
      cloud.appliances.attach('dock-9', files.certificateId)
    },
    expected: { ...notAttached, hint: containing('attach-thing-principal --thing-name dock-9') },
  },
  {
    when: 'no IoT policy lets the certificate use the alias',
    breaks: (cloud, files) => {
      cloud.appliances.setIotPolicy(files.certificateId, undefined)
    },
    mends: (cloud, files) => {
      cloud.appliances.setIotPolicy(files.certificateId, cloud.policies.iotDevicePolicy)
    },
    expected: {
      failure: 'policy-denies',
      status: 403,
      retryable: false,
      message: containing('HTTP 403, Access Denied'),
      hint: containing(`allow iot:AssumeRoleWithCertificate on role alias ${alias}`),
    },
  },
  {
    when: 'the certificate is inactive',
    breaks: (cloud, files) => {
      cloud.appliances.setCertificateStatus(files.certificateId, 'INACTIVE')
    },
    mends: (cloud, files) => {
      cloud.appliances.setCertificateStatus(files.certificateId, 'ACTIVE')
    },
    expected: notAccepted,
  },
  {
    when: 'the certificate is revoked, until a new one is put in its place',
    breaks: (cloud, files) => {
      cloud.appliances.setCertificateStatus(files.certificateId, 'REVOKED')
    },
    mends: renewIdentity,
    expected: notAccepted,
  },
  {
    when: 'the account does not know the certificate',
    breaks: async (_cloud, files) => {
      const { pem, privateKey } = await makeCertificate({ commonName: 'AWS IoT Certificate' })
      await useCertificate(files, { certificatePem: pem, privateKeyPem: privateKey })
    },
    mends: renewIdentity,
    expected: notAccepted,
  },
  {
    when: 'the role alias is missing',
    breaks: (cloud) => {
      cloud.roleAliases.delete(alias)
    },
    mends: (cloud) => {
      cloud.roleAliases.put({ name: alias, roleArn: cloud.roles.arnOf(role) })
    },
    expected: {
      failure: 'alias-missing',
      status: 404,
      retryable: false,
      message: containing('HTTP 404, Role alias does not exist'),
      hint: containing(`aws iot create-role-alias --role-alias ${alias}`),
    },
  },
  {
    when: 'the role behind the alias is missing',
    breaks: (cloud) => {
      cloud.roles.delete(role)
    },
    mends: (cloud) => {
      cloud.roles.put(roleOf(cloud))
    },
    expected: notAssumable,
  },
  {
    when: 'the role trusts another service',
    breaks: (cloud) => {
      cloud.roles.put({ ...roleOf(cloud), trustPolicy: cloud.policies.chainedRoleTrust })
    },
    mends: (cloud) => {
      cloud.roles.put(roleOf(cloud))
    },
    expected: notAssumable,
  },
  {
    when: 'the trust policy demands aws:SourceAccount, until AWS tells it',
    breaks: async (cloud) => {
      await trustOnly(cloud, 'trust-policy-variants/account')
    },
    mends: (cloud) => {
      cloud.setTrustSource('role-alias')
    },
    expected: notAssumable,
  },
  {
    when: 'the trust policy demands aws:SourceArn, until AWS tells it',
    breaks: async (cloud) => {
      await trustOnly(cloud, 'trust-policy-variants/appliance')
    },
    mends: (cloud) => {
      cloud.setTrustSource('thing')
    },
    expected: notAssumable,
  },
  {
    when: 'the alias gives longer sessions than the role allows',
    breaks: (cloud) => {
      cloud.roleAliases.put({ name: alias, roleArn: cloud.roles.arnOf(role), credentialDurationSeconds: 43_200 })
    },
    mends: (cloud) => {
      cloud.roles.put({ ...roleOf(cloud), maxSessionDurationSeconds: 43_200 })
    },
    expected: {
      failure: 'duration-too-long',
      status: 400,
      retryable: false,
      hint: containing(`lower credentialDurationSeconds of role alias ${alias}`),
    },
  },
  {
    when: 'the quota is used up',
    breaks: (cloud) => {
      cloud.quotas.set('credentials', 'AssumeRoleWithCertificate', 0.001)
      cloud.quotas.take('credentials', 'AssumeRoleWithCertificate')
    },
    mends: (cloud) => {
      cloud.quotas.set('credentials', 'AssumeRoleWithCertificate', undefined)
    },
    expected: { failure: 'throttled', status: 429, retryable: true, hint: containing('keeps trying') },
  },
  {
    when: 'throttling is told by the type of a 400',
    ...faulty({ kind: 'error', status: 400, code: 'ThrottlingException' }),
    expected: { failure: 'throttled', status: 400, retryable: true },
  },
  ...[500, 502, 503].map((status) => ({
    when: `the provider answers ${status}`,
    ...faulty({ kind: 'error', status, code: 'InternalFailureException' }),
    expected: { failure: 'server', status, retryable: true },
  })),
  {
    when: 'the connection is reset',
    ...faulty({ kind: 'reset' }),
    expected: { ...network, message: containing('ECONNRESET') },
  },
  {
    when: 'the body breaks off',
    ...faulty({ kind: 'cut', afterBytes: 100 }),
    expected: { ...network, message: containing('ECONNRESET') },
  },
  {
    when: 'nobody listens',
    breaks: async (cloud) => {
      await cloud.unreachable()
    },
    mends: async (cloud) => {
      await cloud.reachable()
    },
    expected: { ...network, message: containing('ECONNREFUSED') },
  },
  {
    when: 'the name does not resolve',
    ...faulty({ kind: 'dns', code: 'ENOTFOUND', host: 'localhost' }),
    expected: { ...network, message: containing('ENOTFOUND') },
  },
  {
    when: 'the resolver is not there',
    ...faulty({ kind: 'dns', code: 'EAI_AGAIN' }),
    expected: { ...network, message: containing('EAI_AGAIN') },
  },
]

describe('credentials', () => {
  for (const { when, breaks, mends, config: configOf, expected } of cases) {
    test(`are refused with a hint when ${when}, and come to the same session once it is mended`, async () => {
      await using appliance = await applianceInCloud(configOf === undefined ? {} : { config: configOf })
      const { cloud, files, config } = appliance
      await breaks(cloud, files)
      await using opened = await openSession(config, { lookup: cloud.lookup })
      const { worker } = opened.base

      const error = await rejectionOf(worker.requestPass())
      expect(error).toBeInstanceOf(CredentialsError)
      expect(error).toMatchObject(expected)
      expect(opened.base.status()).toEqual({ fetches: 0, held: undefined })
      expect(worker.health()).toMatchObject({ state: 'failing' })

      await mends(cloud, files)
      await worker.requestPass()
      expect(worker.health()).toMatchObject({ state: 'ok' })
      const { artifacts } = adaptersOf(opened.session, cloud.names.accessPointArn)
      expect(await artifacts.list(never)).toEqual([])
    })
  }
})

interface StrangeServer {
  readonly when: string
  readonly answers: NonNullable<ScriptedServerOptions['onRequest']>
  readonly expected: Readonly<Record<string, unknown>>
}

const badAnswer = {
  failure: 'bad-answer',
  retryable: true,
  hint: containing('is not the AWS IoT credentials provider'),
}

function answering(statusLine: string, body: string, headers?: Readonly<Record<string, string>>) {
  return (socket: TLSSocket): void => {
    socket.end(httpAnswer(statusLine, body, headers))
  }
}

const portal = '<html><title>Free Wi-Fi</title><body>Please log in</body></html>'
const secretValue = 'not-to-be-seen-anywhere'

const strangeServers: readonly StrangeServer[] = [
  {
    when: 'is the data endpoint',
    answers: answering('404 Not Found', '{"message":"Not Found","traceId":"4e5b7a60-f2ea-4c8e-b1a5-0a4a3c9bd001"}'),
    expected: {
      failure: 'wrong-endpoint',
      status: 404,
      retryable: false,
      hint: containing('describe-endpoint --endpoint-type iot:CredentialProvider'),
    },
  },
  {
    when: 'redirects to a captive portal',
    answers: answering('302 Found', '', { location: 'https://portal.example/login' }),
    expected: { ...badAnswer, status: 302 },
  },
  {
    when: 'answers with the page of a captive portal',
    answers: answering('200 OK', portal, { 'content-type': 'text/html' }),
    expected: { ...badAnswer, status: 200 },
  },
  {
    when: 'sends broken JSON',
    answers: answering('200 OK', `{"credentials":{"secretAccessKey":"${secretValue}"`),
    expected: { ...badAnswer, status: 200, message: without(secretValue) },
  },
  {
    when: 'leaves fields out',
    answers: answering('200 OK', JSON.stringify({ credentials: { accessKeyId: 'A', secretAccessKey: secretValue } })),
    expected: {
      ...badAnswer,
      message: textMatching(/\(credentials\.sessionToken, credentials\.expiration\)$/),
    },
  },
  {
    when: 'hands out credentials that ended yesterday',
    answers: answering('200 OK', answerBody(Date.now() - 86_400_000)),
    expected: { ...badAnswer, message: containing('makes no sense') },
  },
  {
    when: 'sends more than 64 KiB',
    answers: answering('200 OK', 'x'.repeat(65_537)),
    expected: { ...badAnswer, message: containing('over 65536 bytes') },
  },
  {
    when: 'does not speak HTTP',
    answers: (socket) => {
      socket.end('220 smtp.example ESMTP\r\n')
    },
    expected: network,
  },
  {
    when: 'ends the connection without an answer',
    answers: (socket) => {
      socket.end()
    },
    expected: network,
  },
]

function answerBody(expirationMs: number): string {
  const expiration = new Date(expirationMs).toISOString()
  return JSON.stringify({
    credentials: { accessKeyId: 'ASIAEXAMPLE', secretAccessKey: secretValue, sessionToken: 'token', expiration },
  })
}

describe('credentials from a server that', () => {
  for (const { when, answers, expected } of strangeServers) {
    test(`${when} are refused, and accepted as soon as the right one answers`, async () => {
      const answer = { now: answers }
      await using stranger = await strangerWithRoot((socket) => {
        answer.now(socket)
      })
      await using opened = await openSession(stranger.config)
      const { worker } = opened.base

      const error = await rejectionOf(worker.requestPass())
      expect(error).toBeInstanceOf(CredentialsError)
      expect(error).toMatchObject(expected)
      expect(JSON.stringify(opened.log.entries)).not.toContain(secretValue)

      answer.now = answering('200 OK', answerBody(Date.now() + 3_600_000))
      await worker.requestPass()
      expect((await opened.base.get()).accessKeyId).toBe('ASIAEXAMPLE')
    })
  }

  test.each([
    { part: 'headers', bytes: '' },
    { part: 'a body', bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"cred' },
  ])('never ends $part are given up at the deadline', async ({ bytes }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const seen = { requests: 0, closed: 0 }
    await using stranger = await strangerWithRoot((socket) => {
      seen.requests += 1
      socket.once('close', () => (seen.closed += 1))
      socket.write(bytes)
    })
    await using opened = await openSession(stranger.config)
    const failed = rejectionOf(opened.base.worker.requestPass())
    await until(() => seen.requests === 1)
    await vi.advanceTimersByTimeAsync(15_000)
    await until(() => seen.requests === 2)
    await vi.advanceTimersByTimeAsync(14_999)
    expect(seen.closed).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(await failed).toMatchObject({ name: 'DeadlineError', retryable: true })
    await until(() => seen.closed === 2)
  })
})

describe('credentials that are held', () => {
  test('are refreshed once between 50 and 80 percent of their lifetime, and every request goes on', async () => {
    await using hour = await simulatedHour()
    const { opened, cloud, services } = hour
    const { accessKeyId } = await opened.base.get()
    await hour.pass(1_799_000)
    expect(cloud.requests.count({ service: 'credentials' })).toBe(1)
    await hour.pass(1_082_000)
    expect(cloud.requests.count({ service: 'credentials' })).toBe(2)
    expect((await opened.base.get()).accessKeyId).not.toBe(accessKeyId)
    expect(await services.artifacts.list(never)).toEqual([])
  })

  test('are used up to their true end while the endpoint is down, then calls fail with the reason until it is back', async () => {
    await using hour = await simulatedHour()
    const { opened, cloud, services, target } = hour
    cloud.secrets.createSecret('panorama/shared/dock', '{}')
    const { accessKeyId } = await opened.base.get()
    cloud.faults.inject({ kind: 'error', status: 503, code: 'ServiceUnavailable' }, { service: 'credentials' })
    await hour.pass(3_590_000)

    expect(opened.base.worker.health()).toMatchObject({ state: 'failing' })
    expect((await opened.base.get()).accessKeyId).toBe(accessKeyId)
    expect(await services.artifacts.list(never)).toEqual([])
    expect((await services.secrets.current('panorama/shared/dock', never)).text).toBe('{}')
    expect(await services.logs.createGroup(target.group, never)).toBe('created')

    await hour.pass(12_000)
    const asked = cloud.requests.count({ service: 'credentials' })
    const signed = cloud.requests.count()
    const ended = {
      message: containing('no credentials: '),
      hint: containing('keeps trying'),
      retryable: true,
    }
    expect(await rejectionOf(services.artifacts.list(never))).toMatchObject(ended)
    expect(await rejectionOf(services.secrets.current('panorama/shared/dock', never))).toMatchObject(ended)
    expect(await rejectionOf(services.logs.createStream(target, never))).toMatchObject(ended)
    expect(cloud.requests.count({ service: 'credentials' })).toBe(asked)
    expect(cloud.requests.count()).toBe(signed)

    cloud.faults.clear()
    await hour.pass(62_000)
    expect(opened.base.worker.health()).toMatchObject({ state: 'ok' })
    expect(await services.logs.createStream(target, never)).toBe('created')
  })

  test('that cannot be refreshed for hours are reported every ten minutes at most, and renewed once the way is back', async () => {
    await using hour = await simulatedHour()
    const { opened, cloud } = hour
    await cloud.unreachable()
    await hour.pass(2 * 3_600_000)
    const reported = opened.log.messages('warn').filter((message) => message === 'pass failed')
    expect(reported.length).toBeGreaterThan(0)
    expect(reported.length).toBeLessThanOrEqual(12)
    await cloud.reachable()
    await hour.pass(62_000)
    expect(opened.base.worker.health()).toMatchObject({ state: 'ok' })
  })
})

const stepMs = 1_000

/** An appliance and its cloud under one simulated clock, with credentials for an hour. */
async function simulatedHour() {
  await using resources = new AsyncDisposableStack()
  const { cloud, config } = resources.use(await applianceInCloud())
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  const opened = resources.use(await openSession(config))
  await opened.base.get()
  const { worker } = opened.base
  const pass = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      await vi.advanceTimersByTimeAsync(Math.min(stepMs, ms - passedMs))
      await until(() => (worker.health().nextPassMs ?? 0) > performance.now())
    }
  }
  const owned = resources.move()
  return {
    cloud,
    opened,
    services: adaptersOf(opened.session, cloud.names.accessPointArn),
    target: { group: '/aws/panorama/devices/dock-1', stream: 'app' },
    /** Lets simulated time go by; network requests have all the real time that they need. */
    pass,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** An appliance whose credentials endpoint is a scripted server that its roots trust. */
async function strangerWithRoot(onRequest: NonNullable<ScriptedServerOptions['onRequest']>) {
  await using resources = new AsyncDisposableStack()
  const root = await makeCertificate({ commonName: 'Stranger Root', extensions: authorityExtensions() })
  const certificate = await makeCertificate({
    commonName: 'localhost',
    issuer: root,
    extensions: serverExtensions('localhost'),
  })
  const server = resources.use(await startScriptedServer({ certificate, onRequest }))
  const { files, config } = resources.use(
    await applianceInCloud({
      config: ({ endpoints }) => ({ endpoints: { ...endpoints, credentials: `localhost:${server.port}` } }),
    }),
  )
  await appendFile(join(files.identityFolder, 'root-ca.pem'), `${root.pem}\n`)
  const owned = resources.move()
  return { server, config, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
