import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import {
  authorityExtensions,
  makeCertificate,
  serverExtensions,
  type TestCertificate,
} from '../support/certificates.ts'
import { applianceInCloud, openSession, rejectionOf, type ApplianceInCloud } from '../support/cloud-session.ts'
import { startScriptedServer, type ScriptedServer } from '../support/scripted-server.ts'
import { adaptersOf } from '../support/service-calls.ts'

const never = new AbortController().signal
const dayMs = 86_400_000
const names = ['localhost', '*.s3.localhost', 'secretsmanager.localhost']

/** The dates of a server's certificate as an appliance sees them whose clock is right, a year slow or a year fast. */
const clocks = [
  { clock: 'right', aheadDays: 0 },
  { clock: 'a year slow', aheadDays: 365 },
  { clock: 'a year fast', aheadDays: -365 },
] as const

interface Chain {
  readonly certificate: TestCertificate
  readonly intermediates: readonly TestCertificate[]
}

interface Dates {
  readonly notBefore: Date
  readonly notAfter: Date
}

interface Maker {
  readonly root: TestCertificate
  readonly dates: Dates
}

const long: Dates = { notBefore: new Date(Date.now() - 4_000 * dayMs), notAfter: new Date(Date.now() + 4_000 * dayMs) }

const forgeries: Readonly<Record<string, (maker: Maker) => Promise<Chain>>> = {
  'from another authority of the same name': async ({ root, dates }) => {
    const other = await makeRoot(root.parsed.subject.replace('CN=', ''))
    return await chainBelow(other, dates)
  },
  'from another authority that it sends along': async ({ dates }) => {
    const other = await makeRoot('Another Root')
    const { certificate, intermediates } = await chainBelow(other, dates)
    return { certificate, intermediates: [...intermediates, other] }
  },
  'signed by itself': async ({ dates }) => ({
    certificate: await makeCertificate({ commonName: 'localhost', ...dates, extensions: serverExtensions(...names) }),
    intermediates: [],
  }),
  'for another host': async ({ root, dates }) => await chainBelow(root, dates, ['elsewhere.example']),
  'below an intermediate that the root never signed': async ({ root, dates }) => {
    const other = await makeRoot(root.parsed.subject.replace('CN=', ''))
    const { certificate, intermediates } = await chainBelow(other, dates)
    return { certificate, intermediates: [...intermediates, root] }
  },
  "below somebody's server certificate": async ({ root, dates }) => {
    const issuer = await makeCertificate({
      commonName: 'customer.example',
      issuer: root,
      ...long,
      extensions: serverExtensions('customer.example'),
    })
    const certificate = await makeCertificate({
      commonName: 'localhost',
      issuer,
      ...dates,
      extensions: serverExtensions(...names),
    })
    return { certificate, intermediates: [issuer] }
  },
  'below an intermediate that may not sign another': async ({ root, dates }) => {
    const upper = await makeCertificate({
      commonName: 'Upper',
      issuer: root,
      ...long,
      extensions: authorityExtensions(0),
    })
    const lower = await makeCertificate({
      commonName: 'Lower',
      issuer: upper,
      ...long,
      extensions: authorityExtensions(),
    })
    const certificate = await makeCertificate({
      commonName: 'localhost',
      issuer: lower,
      ...dates,
      extensions: serverExtensions(...names),
    })
    return { certificate, intermediates: [lower, upper] }
  },
}

describe('a man in the middle', () => {
  const shared: { root?: TestCertificate; appliance?: ApplianceInCloud } = {}

  beforeAll(async () => {
    shared.root = await makeRoot('Trusted Root')
    shared.appliance = await applianceInCloud()
    await appendFile(join(shared.appliance.files.identityFolder, 'root-ca.pem'), `${shared.root.pem}\n`)
  })

  afterAll(async () => {
    await shared.appliance?.[Symbol.asyncDispose]()
  })

  const setUp = (): { root: TestCertificate; appliance: ApplianceInCloud } => {
    const { root, appliance } = shared
    if (root === undefined || appliance === undefined) throw new Error('beforeAll did not run')
    return { root, appliance }
  }

  for (const { clock, aheadDays } of clocks) {
    const dates = datesFor(aheadDays)

    for (const [forgery, forge] of Object.entries(forgeries)) {
      test(`with a certificate ${forgery} gets no byte of a request for credentials while the clock is ${clock}`, async () => {
        const { root, appliance } = setUp()
        await using server = await startScriptedServer(await forge({ root, dates }))
        await expectNoByteForCredentials(appliance, server)
      })

      test(`with a certificate ${forgery} gets no byte of a request to a service while the clock is ${clock}`, async () => {
        const { root, appliance } = setUp()
        await using server = await startScriptedServer(await forge({ root, dates }))
        await expectNoByteForServices(appliance, server)
      })
    }

    test(`is not to be mistaken for the server that its authority vouches for, while the clock is ${clock}`, async () => {
      const { root, appliance } = setUp()
      const seen: string[] = []
      await using server = await startScriptedServer({
        ...(await chainBelow(root, dates)),
        onRequest: (socket) => {
          seen.push(socket.servername === false ? '' : (socket.servername ?? ''))
          socket.destroy()
        },
      })
      await rejectionOf(askForCredentials(appliance, server))
      await rejectionOf(askService(appliance, server))
      expect(new Set(seen)).toEqual(new Set(['localhost', accessPointHost(appliance)]))
    })
  }
})

async function expectNoByteForCredentials(appliance: ApplianceInCloud, server: ScriptedServer): Promise<void> {
  const error = await rejectionOf(askForCredentials(appliance, server))
  expect(error).toMatchObject({ name: 'CredentialsError', failure: 'untrusted-server', retryable: true })
  expect(error).toHaveProperty('hint', expect.stringContaining('identity.rootCa'))
  expect(server.receivedBytes()).toBe(0)
}

async function expectNoByteForServices(appliance: ApplianceInCloud, server: ScriptedServer): Promise<void> {
  const error = await rejectionOf(askService(appliance, server))
  expect(error).toMatchObject({ name: 'AwsError', failure: 'certificate', retryable: true })
  expect(error).toHaveProperty('hint', expect.stringContaining('identity.rootCa'))
  expect(server.receivedBytes()).toBe(0)
}

async function askForCredentials({ config }: ApplianceInCloud, { port }: ScriptedServer): Promise<void> {
  const endpoints = { ...config.endpoints, credentials: `localhost:${port}` }
  await using opened = await openSession({ ...config, endpoints })
  await opened.base.worker.requestPass()
}

async function askService({ config, cloud }: ApplianceInCloud, { port }: ScriptedServer): Promise<void> {
  const endpoints = { ...config.endpoints, s3: `https://s3.localhost:${port}` }
  await using opened = await openSession({ ...config, endpoints })
  await opened.base.get()
  await adaptersOf(opened.session, cloud.names.accessPointArn).artifacts.list(never)
}

function accessPointHost({ cloud }: ApplianceInCloud): string {
  return `${cloud.names.accessPoint}-${cloud.account}.s3.localhost`
}

async function makeRoot(commonName: string): Promise<TestCertificate> {
  return await makeCertificate({ commonName, ...long, extensions: authorityExtensions() })
}

async function chainBelow(root: TestCertificate, dates: Dates, hosts: readonly string[] = names): Promise<Chain> {
  const intermediate = await makeCertificate({
    commonName: 'Intermediate',
    issuer: root,
    ...long,
    extensions: authorityExtensions(0),
  })
  const certificate = await makeCertificate({
    commonName: hosts[0] ?? '',
    issuer: intermediate,
    ...dates,
    extensions: serverExtensions(...hosts),
  })
  return { certificate, intermediates: [intermediate] }
}

function datesFor(aheadDays: number): Dates {
  const nowMs = Date.now() + aheadDays * dayMs
  return { notBefore: new Date(nowMs - 5 * dayMs), notAfter: new Date(nowMs + 190 * dayMs) }
}
