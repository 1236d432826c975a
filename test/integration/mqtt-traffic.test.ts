import { describe, expect, it } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import type { IotConnectionOptions } from '../../agent/aws/iot-connection.ts'
import { createIotCore, type IotCore } from '../../agent/aws/iot-core.ts'
import { connectFleetProvisioning } from '../../agent/aws/iot-fleet-provisioning.ts'
import { ByteCounter } from '../../agent/lib/byte-counter.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { rejectionOf } from '../support/cloud-session.ts'
import { openCountingLink, type CountingLink } from '../support/counting-link.ts'
import { freePort } from '../support/free-port.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { makeSigningRequest } from '../support/signing-request.ts'
import { waitUntil } from '../support/wait-until.ts'

const thingName = 'dock-1'
const never = new AbortController().signal
/** Of a handshake, whose chains AWS has longer than the local cloud. */
const handshakeSpare = 4_000
const spare = 1_000
/** What belongs to one step and may come in the next: subscriptions, and the last packet. */
const late = 600

describe.skipIf(await lacksMosquitto('the bytes of MQTT'))(
  'the bytes of MQTT are counted, little more than it carries:',
  () => {
    it('the connection, requests with their answers, what is pushed, and what is refused', async () => {
      await using site = await createSite()
      const { core, cloud } = site
      const { jobs, shadow } = core()
      await jobs.next(never)
      await site.expectCounted('the connection', handshakeSpare)
      await jobs.next(never)
      await site.expectCounted('a request', spare)

      const document = { version: '1.0', operation: 'reboot', comment: 'x'.repeat(20_000) }
      cloud.iot.jobs.createJob({ jobId: 'job-1', targets: [thingName], document })
      await waitUntil('the job is pushed', () => site.carriedNow() > document.comment.length)
      await site.expectCounted('a job document that is pushed', 2 * spare) // as it has subscribed to, more than one
      const execution = await jobs.next(never)
      await site.expectCounted('a job document', spare)
      if (execution === undefined) throw new Error('there is no job')

      const details = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`key-${index}`, 'y'.repeat(1_000)]))
      await jobs.update({ execution, status: 'IN_PROGRESS', details }, never)
      await site.expectCounted('an update', spare)
      await shadow.report({ text: 'ä'.repeat(2_000) }, never)
      await site.expectCounted('a reported state', spare)
      await jobs.update({ execution, status: 'SUCCEEDED', details: {} }, never)
      await jobs.update({ execution, status: 'FAILED', details }, never)
      await site.expectCounted('an update that is refused', 2 * spare)
    })

    it('the calls of a rotation, and one that fails', async () => {
      await using site = await createSite()
      const core = site.core()
      await core.jobs.next(never)
      await site.expectCounted('the connection', handshakeSpare)
      const template = site.cloud.iot.provisioning.templateNames.rotation
      await using provisioning = await core.provisioning(template)
      const { pem } = await makeSigningRequest()
      const { token } = await provisioning.createCertificateFromCsr(pem, never)
      await site.expectCounted('CreateCertificateFromCsr', spare)
      const registration = { template, token, parameters: { ThingName: 'z'.repeat(2_000) } }
      await rejectionOf(provisioning.registerThing(registration, never))
      await site.expectCounted('a registration that fails', spare)
    })

    it('connections that the server refuses', async () => {
      await using site = await createSite()
      site.cloud.appliances.setCertificateStatus(site.certificateId, 'INACTIVE')
      const core = site.core()
      await rejectionOf(core.jobs.next(never))
      await core[Symbol.asyncDispose]()
      expect(site.carriedNow()).toBeGreaterThan(2_000)
      // the look why there is no connection may go on for a moment
      await waitUntil('all is counted', () => site.countedNow() >= site.carriedNow())
    })

    it('an attempt that is cut off by the end of the client', async () => {
      await using site = await createSite()
      await site.cloud.blackhole()
      const core = site.core()
      const asked = rejectionOf(core.jobs.next(never))
      await waitUntil('it has begun', () => site.carriedNow() > 0)
      await core[Symbol.asyncDispose]()
      await asked
      expect(site.countedNow()).toBeGreaterThanOrEqual(site.carriedNow())
    })

    it('provisioning by claim', async () => {
      await using site = await createSite()
      const { iot } = site.cloud
      const { certificatePem: certificate, privateKeyPem: privateKey } = await iot.provisioning.createClaim()
      const template = iot.provisioning.templateNames.claim
      const identity = { certificate, privateKey, roots: site.cloud.rootCaPem }
      const claim = { ...site.options, clientId: `${template}-SN-1`, identity, template }
      await using provisioning = await connectFleetProvisioning(claim, never)
      await site.expectCounted('the connection', handshakeSpare)
      const { token } = await provisioning.createCertificateFromCsr((await makeSigningRequest()).pem, never)
      await provisioning.registerThing({ template, token, parameters: { SerialNumber: 'SN-1' } }, never)
      await site.expectCounted('provisioning', 2 * spare)
    })

    it('nothing where nothing was reached', async () => {
      await using site = await createSite()
      const core = site.core({ endpoint: `localhost:${await freePort()}` })
      await rejectionOf(core.jobs.next(never))
      expect(core.status().error).toBeDefined()
      expect(site.countedNow()).toBe(0)
    })
  },
)

interface Site extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly link: CountingLink
  readonly certificateId: string
  readonly options: IotConnectionOptions
  readonly core: (changes?: Partial<IotConnectionOptions>) => IotCore
  /** Since the last look. */
  readonly carriedNow: () => number
  readonly countedNow: () => number
  /** Expects all that was carried since the last look to be counted, with so much more at most. */
  readonly expectCounted: (what: string, spareBytes: number) => Promise<void>
}

async function createSite(): Promise<Site> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud())
  cloud.quotas.enforce(false)
  const link = resources.use(await openCountingLink({ toPort: Number(cloud.endpoints.mqtt.split(':')[1]) }))
  const made = await cloud.appliances.createAppliance({ thingName })
  const { certificatePem: certificate, privateKeyPem: privateKey, certificateId } = made
  const counter = new ByteCounter()
  const options: IotConnectionOptions = {
    endpoint: `localhost:${link.port}`,
    clientId: thingName,
    keepAliveSeconds: 60,
    loadIdentity: () => Promise.resolve({ certificate, privateKey, roots: cloud.rootCaPem }),
    clockOffsetMs: () => 0,
    dialer: new Dialer({ counter }),
    serviceTrust: () => Promise.reject(new Error('there is no proxy')),
    counter,
    log: new RecordingLog(),
  }
  const seen = { carried: 0, counted: 0 }
  const carried = (): number => link.traffic().bytesReceived + link.traffic().bytesSent
  const carriedNow = (): number => carried() - seen.carried
  const countedNow = (): number => counter.bytes - seen.counted
  const owned = resources.move()
  return {
    cloud,
    link,
    certificateId,
    options,
    core: (changes = {}) => owned.use(createIotCore({ ...options, ...changes })),
    carriedNow,
    countedNow,
    expectCounted: async (what, spareBytes) => {
      // of an answer the client may tell whoever asked first
      await waitUntil(`${what} is counted in full`, () => countedNow() + late > carriedNow())
      expect(countedNow(), what).toBeLessThan(carriedNow() + spareBytes)
      Object.assign(seen, { carried: carried(), counted: counter.bytes })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
