import { access, readdir, readFile } from 'node:fs/promises'

import type { IPublishPacket, ISubscription } from 'mqtt-packet'
import { beforeEach, describe, expect, it } from 'vitest'

import type { Appliance } from '../../cloud/appliances.ts'
import { startIotCloud, type IotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { RawMqtt, type RawMqttOptions } from '../../support/raw-mqtt.ts'
import { until } from '../../support/wait-until.ts'
import { policy } from './demo-frame.ts'

const thingName = 'panorama_dock-1'
const jobs = `$aws/things/${thingName}/jobs`

describe.skipIf(await lacksMosquitto('the gate of AWS IoT Core'))('the gate of AWS IoT Core', () => {
  let cloud: IotCloud
  let identity: Appliance

  beforeEach(async () => {
    cloud = await startIotCloud()
    identity = await cloud.appliances.createAppliance({ thingName })
    return () => cloud[Symbol.asyncDispose]()
  })

  const open = (options: RawMqttOptions = {}): RawMqtt => new RawMqtt(cloud, { identity, ...options })
  const allowEverything = (): void => {
    cloud.appliances.setIotPolicy(identity.certificateId, policy({ actions: ['iot:*'], resources: ['*'] }))
  }
  const connected = async (options: RawMqttOptions = {}): Promise<RawMqtt> => {
    const client = open(options)
    client.connect(thingName)
    await client.next('connack')
    return client
  }

  it('accepts the SDK, and says what AWS IoT allows', async () => {
    await using client = open({ tls: { ALPNProtocols: ['x-amzn-mqtt-ca'] } })
    client.connect(thingName)

    expect(await client.next('connack')).toMatchObject({
      reasonCode: 0,
      properties: {
        maximumQoS: 1,
        maximumPacketSize: 149_504,
        serverKeepAlive: 60,
        subscriptionIdentifiersAvailable: false,
        sharedSubscriptionAvailable: false,
      },
    })
    await using device = startDevice(cloud, {
      identity: await cloud.appliances.createAppliance({ thingName: 'dock-2' }),
      clientId: 'dock-2',
    })
    await device.untilAttempts(1)
    expect(device.attempts).toEqual([{ connected: true, reasonCode: 0, serverKeepAlive: 60 }])
    expect(cloud.iot.clients().map(({ clientId }) => clientId)).toEqual([thingName, 'dock-2'])
  })

  it.each([
    [10, 30],
    [0, 1200],
    [5000, 1200],
    [300, 300],
  ])('makes of a keep-alive of %i seconds one of %i', async (keepalive, inForce) => {
    await using client = open()
    client.connect(thingName, { keepalive })

    expect(await client.next('connack')).toMatchObject({ properties: { serverKeepAlive: inForce } })
  })

  it.each<[string, () => Promise<RawMqttOptions> | RawMqttOptions]>([
    ['is inactive', () => (setStatus('INACTIVE'), {})],
    ['is revoked', () => (setStatus('REVOKED'), {})],
    ['is another account’s', async () => ({ identity: await strangersIdentity() })],
    ['is missing', () => ({ tls: { cert: undefined, key: undefined } })],
  ])('drops a client without a word when its certificate %s', async (_what, arrange) => {
    await using client = open(await arrange())
    client.connect(thingName)

    expect(await client.untilClosed()).toEqual([])
  })

  it('ends the connection of a certificate that is revoked, also while nothing is said on it', async () => {
    await using client = await connected()

    setStatus('REVOKED')

    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
    await client.untilClosed()
  })

  it.each<[string, RawMqttOptions]>([
    ['names no server', { tls: { servername: '' } }],
    ['asks for another protocol', { tls: { ALPNProtocols: ['mqtt'] } }],
    ['speaks TLS 1.1 at most', { tls: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } }],
  ])('drops a client that %s', async (_what, options) => {
    await using client = open(options)
    client.connect(thingName)

    expect(await client.untilClosed()).toEqual([])
  })

  it('demands ALPN on request, as port 443 does', async () => {
    cloud.iot.setRequiresAlpn(true)
    await using without = open()
    without.connect(thingName)
    expect(await without.untilClosed()).toEqual([])

    await using client = open({ tls: { ALPNProtocols: ['x-amzn-mqtt-ca'] } })
    client.connect(thingName)
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  })

  it('refuses a client id that the policy does not allow, with a reason code or without a word', async () => {
    cloud.quotas.enforce(false)
    await using client = open()
    client.connect('panorama_dock-2')
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
    await client.untilClosed()

    cloud.iot.setDenial('close')
    await using again = open()
    again.connect('panorama_dock-2')
    expect(await again.untilClosed()).toEqual([])
  })

  it('refuses a thing that is no longer attached to its certificate', async () => {
    cloud.appliances.detach(thingName, identity.certificateId)
    await using client = open()
    client.connect(thingName)

    expect(await client.next('connack')).toMatchObject({ reasonCode: 0x87 })
  })

  it('answers a publish that is denied with its reason code, and disconnects where there is no answer', async () => {
    await using client = await connected()
    const message = publish('$aws/things/panorama_dock-2/jobs/get')

    client.send(message)
    expect(await client.next('puback')).toMatchObject({ messageId: 7, reasonCode: 0x87 })
    client.send({ ...message, qos: 0 })
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
    await client.untilClosed()
  })

  it('closes on a publish or subscription that is denied, when told to', async () => {
    cloud.iot.setDenial('close')
    await using client = await connected()
    client.send(publish('$aws/things/panorama_dock-2/jobs/get'))
    expect(await client.untilClosed()).toEqual([])

    cloud.quotas.enforce(false)
    await using again = await connected()
    again.send(subscribe(`${jobs}/notify`, 'elsewhere'))
    expect(await again.untilClosed()).toEqual([])
  })

  it('refuses only those filters of a SUBSCRIBE that are denied', async () => {
    await using client = await connected()

    client.send(subscribe(`${jobs}/notify`, '$aws/things/panorama_dock-2/jobs/notify', `${jobs}/get/+`))
    expect(await client.next('suback')).toMatchObject({ messageId: 9, granted: [1, 0x87, 1] })
    client.send(subscribe('#', `$aws/things/+/jobs/notify`))
    expect(await client.next('suback')).toMatchObject({ granted: [0x87, 0x87] })
    expect(cloud.iot.clients()[0]?.filters).toEqual([`${jobs}/notify`, `${jobs}/get/+`])
  })

  it('delivers nothing that the policy does not let the client receive', async () => {
    cloud.appliances.setIotPolicy(identity.certificateId, {
      version: '2012-10-17',
      statements: [
        ...policy({ actions: ['iot:*'], resources: ['*'] }).statements,
        { effect: 'Deny', actions: ['iot:Receive'], resources: ['*/secret'], conditions: [] },
      ],
    })
    await using client = await connected()
    client.send(subscribe('+'))
    await client.next('suback')

    client.send({ ...publish('secret'), messageId: 1 })
    await client.next('puback')
    client.send({ ...publish('open'), messageId: 2 })

    const packets = [await client.next('publish'), await client.next('puback')]
    expect(packets).toMatchObject([{ topic: 'open' }, { messageId: 2 }])
  })

  it('ends the older of two connections with one client id, saying why', async () => {
    cloud.quotas.enforce(false)
    await using first = await connected()
    await using second = await connected()

    expect(await first.next('disconnect')).toMatchObject({ reasonCode: 0x8e })
    await first.untilClosed()
    second.send({ cmd: 'pingreq' })
    await second.next('pingresp')
  })

  it('takes one CONNECT a second of a client id, and 500 a second of an account', async () => {
    await using first = await connected()
    await using second = open()
    second.connect(thingName)
    expect(await second.next('connack')).toMatchObject({ reasonCode: 0x97 })
    first.send({ cmd: 'pingreq' })
    await first.next('pingresp')

    cloud.quotas.scale(1 / 500)
    const others = await Promise.all(
      ['dock-2', 'dock-3'].map((name) => cloud.appliances.createAppliance({ thingName: name })),
    )
    const codes = []
    for (const other of others) {
      await using client = open({ identity: other })
      client.connect(other.thingName)
      codes.push((await client.next('connack')).reasonCode)
    }
    expect(codes).toEqual([0, 0x97])
  })

  it('disconnects a client with nine filters in one SUBSCRIBE, and refuses the 51st subscription', async () => {
    allowEverything()
    await using client = await connected()
    for (let index = 0; index < 48; index += 8) {
      client.send(subscribe(...Array.from({ length: 8 }, (_filter, offset) => `a/${index + offset}`)))
      await client.next('suback')
    }
    client.send(subscribe('b/1', 'b/2', 'b/3'))
    expect(await client.next('suback')).toMatchObject({ granted: [1, 1, 0x97] })

    client.send(subscribe(...Array.from({ length: 9 }, (_filter, index) => `a/${index}`)))
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x97 })
  })

  it('disconnects a client that publishes to a topic that AWS does not have', async () => {
    allowEverything()
    await using client = await connected()
    client.send(publish(`${jobs}/notify-next`))

    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x90 })
  })

  it('disconnects a client that sends what is no MQTT, or too much', async () => {
    allowEverything()
    await using client = await connected()
    client.send({ ...publish('a'), payload: Buffer.alloc(150_000) })
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x95 })

    await using other = open()
    other.send({ cmd: 'pingreq' })
    expect(await other.untilClosed()).toEqual([])
  })

  it('follows topic aliases', async () => {
    allowEverything()
    await using client = await connected()
    client.send({ ...publish('a/b'), properties: { topicAlias: 3 } })
    await client.next('puback')
    client.send({ ...publish(''), properties: { topicAlias: 3 } })
    await client.next('puback')

    expect(cloud.requests.list({ action: 'Publish' }).map(({ path }) => path)).toEqual(['a/b', 'a/b'])
  })

  it('speaks MQTT 3.1.1, which knows fewer reasons', async () => {
    await using denied = open({ version: 4 })
    denied.connect('elsewhere')
    expect(await denied.next('connack')).toMatchObject({ returnCode: 5 })

    await using client = await connected({ version: 4 })
    client.send(subscribe(`${jobs}/notify-next`, 'elsewhere'))
    expect(await client.next('suback')).toMatchObject({ granted: [1, 0x80] })
    cloud.iot.jobs.createJob({ jobId: 'job-1', targets: [thingName], document: {} })
    expect(await client.next('publish')).toMatchObject({ topic: `${jobs}/notify-next` })
    client.send(publish('elsewhere'))
    expect(await client.untilClosed()).toEqual([])
  })

  it('refuses, swallows, holds up and resets on demand', async () => {
    cloud.quotas.enforce(false)
    cloud.faults.inject(
      { kind: 'error', status: 0x89, code: 'ServerBusy' },
      { service: 'iot', action: 'Connect', count: 1 },
    )
    await using refused = open()
    refused.connect(thingName)
    expect(await refused.next('connack')).toMatchObject({ reasonCode: 0x89 })

    const reset = cloud.faults.inject({ kind: 'reset' }, { service: 'iot', action: 'Connect', count: 1 })
    await using broken = open()
    broken.connect(thingName)
    expect(await broken.untilClosed()).toEqual([])
    expect(reset.hits).toBe(1)

    await using client = await connected()
    cloud.faults.inject({ kind: 'stall', afterBytes: 0 }, { service: 'iot', action: 'Publish', count: 1 })
    cloud.faults.inject(
      { kind: 'error', status: 0x97, code: 'QuotaExceeded' },
      { service: 'iot', action: 'Publish', count: 2 },
    )
    client.send({ ...publish(`${jobs}/get`), messageId: 1 })
    client.send({ ...publish(`${jobs}/get`), messageId: 2 })
    expect(await client.next('puback')).toMatchObject({ messageId: 2, reasonCode: 0x97 })
    cloud.faults.inject({ kind: 'latency', delayMs: 20 }, { service: 'iot', action: 'Publish', count: 1 })
    client.send({ ...publish(`${jobs}/get`), messageId: 3 })
    expect(await client.next('puback')).toMatchObject({ messageId: 3 })
  })

  it('records what clients do, with their thing', async () => {
    await using client = await connected()
    client.send(subscribe(`${jobs}/get/+`))
    await client.next('suback')
    client.send({ ...publish(`${jobs}/get`), payload: '{}' })
    await until(() => cloud.requests.count({ action: 'Receive' }) === 1)

    const records = cloud.requests.list({ thingName })
    expect(records.map(({ service, action, path, status }) => `${service} ${action} ${path} ${status}`)).toEqual([
      `iot Connect ${thingName} 200`,
      `iot Subscribe ${jobs}/get/+ 200`,
      `iot Publish ${jobs}/get 200`,
      `iot-jobs GetPendingJobExecutions ${jobs}/get 200`,
      `iot Receive ${jobs}/get/accepted 200`,
    ])
  })

  it('gives a device its place back after a restart of the broker, a drop and a black hole', async () => {
    cloud.quotas.enforce(false)
    await using device = startDevice(cloud, { identity, clientId: thingName, minReconnectDelayMs: 50 })
    await device.untilAttempts(1)
    const works = async (): Promise<void> => {
      await until(() => cloud.iot.clients().length === 1 && device.attempts.at(-1)?.connected === true)
      await expect(device.jobs.getPendingJobExecutions({ thingName })).resolves.toMatchObject({ queuedJobs: [] })
    }
    await works()

    await cloud.iot.restartBroker()
    await until(() => device.disconnections.length === 1)
    await works()
    expect(cloud.iot.drop(thingName)).toBe(1)
    await until(() => device.disconnections.length === 2)
    await works()
    await cloud.blackhole()
    await expect(device.jobs.getPendingJobExecutions({ thingName })).rejects.toThrow()
    await cloud.reachable()
    await until(() => device.disconnections.length === 3)
    await works()
  })

  it('refuses clients while the broker is away', async () => {
    await cloud.iot.stopBroker()
    await using client = open()
    client.connect(thingName)
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0x88 })
  })

  it('leaves no broker behind', async () => {
    const another = await startIotCloud()
    const { folder } = another
    expect(await processesOf(folder)).toHaveLength(1)

    await another[Symbol.asyncDispose]()

    expect(await processesOf(folder)).toEqual([])
    await expect(access(folder)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  function setStatus(status: 'INACTIVE' | 'REVOKED'): void {
    cloud.appliances.setCertificateStatus(identity.certificateId, status)
  }

  async function strangersIdentity(): Promise<Appliance> {
    await using elsewhere = await startIotCloud()
    return await elsewhere.appliances.createAppliance({ thingName })
  }
})

/** The processes that have the folder in their arguments. */
async function processesOf(folder: string): Promise<readonly string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(folder))
}

function publish(topic: string): IPublishPacket {
  return { cmd: 'publish', topic, payload: 'hello', qos: 1, dup: false, retain: false, messageId: 7 }
}

function subscribe(...filters: readonly string[]): {
  readonly cmd: 'subscribe'
  readonly messageId: number
  subscriptions: ISubscription[]
} {
  return { cmd: 'subscribe', messageId: 9, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) }
}
