import type { IPublishPacket } from 'mqtt-packet'
import { beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'

import type { DeviceCertificate } from '../../cloud/appliances.ts'
import { readTemplate } from '../../cloud/iam/cloud-policies.ts'
import { startIotCloud, type IotCloud } from '../../cloud/iot/iot-cloud.ts'
import type { MqttVersion } from '../../cloud/iot/mqtt-frames.ts'
import { startDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { startProvisioningDevice, type ProvisioningDevice } from '../../support/provisioning-device.ts'
import { RawMqtt } from '../../support/raw-mqtt.ts'
import { makeSigningRequest } from '../../support/signing-request.ts'
import { until } from '../../support/wait-until.ts'
import { askCredentials } from './credentials-client.ts'

const templateName = 'panorama-appliance'
const rotationTemplate = 'panorama-appliance-rotation'
const csrTopic = '$aws/certificates/create-from-csr/json'
const registerTopic = `$aws/provisioning-templates/${templateName}/provision/json`

describe.skipIf(await lacksMosquitto('fleet provisioning'))('fleet provisioning', () => {
  let cloud: IotCloud
  let claim: DeviceCertificate

  beforeEach(async () => {
    cloud = await startIotCloud()
    cloud.quotas.enforce(false)
    claim = await cloud.iot.provisioning.createClaim()
    return () => cloud[Symbol.asyncDispose]()
  })

  const claimant = (serial: string): Promise<ProvisioningDevice> =>
    startProvisioningDevice(cloud, {
      identity: claim,
      clientId: `${templateName}-${serial}`,
      operationTimeoutSeconds: 2,
    })

  /** A new key and the certificate for it, neither of any use before the token is. */
  const certify = async ({ identity }: ProvisioningDevice) => {
    const { pem, privateKeyPem } = await makeSigningRequest()
    const created = await identity.createCertificateFromCsr({ certificateSigningRequest: pem })
    const { certificateId = '', certificatePem = '', certificateOwnershipToken: token = '' } = created
    return { certificateId, certificatePem, privateKeyPem, token }
  }

  it('makes an appliance of a claim, by the SDK', async () => {
    await using device = await claimant('SN-1')
    const { token, ...own } = await certify(device)
    expect(cloud.iot.provisioning.certificates().at(-1)).toEqual({
      certificateId: own.certificateId,
      status: 'PENDING_ACTIVATION',
      things: [],
    })

    const registered = await device.identity.registerThing({
      templateName,
      certificateOwnershipToken: token,
      parameters: { SerialNumber: 'SN-1' },
    })

    expect(registered).toEqual({ deviceConfiguration: {}, thingName: 'panorama_SN-1' })
    expect(cloud.iot.provisioning.certificates().at(-1)).toMatchObject({ status: 'ACTIVE', things: ['panorama_SN-1'] })
    expect(cloud.appliances.thingAttributes('panorama_SN-1')).toEqual({ serialNumber: 'SN-1' })
    await using appliance = startDevice(cloud, { identity: own, clientId: 'panorama_SN-1' })
    await appliance.untilAttempts(1)
    expect(appliance.attempts).toMatchObject([{ connected: true }])
    expect(await askCredentials(cloud, { identity: own, thingName: 'panorama_SN-1' })).toMatchObject({ status: 200 })
  })

  it('gives an appliance a new certificate, and leaves it as it is otherwise', async () => {
    const thingName = 'panorama_SN-1'
    const before = await cloud.appliances.createAppliance({ thingName })
    cloud.appliances.createThing(thingName, 'dock', { site: 'north' })
    await using device = await startProvisioningDevice(cloud, { identity: before, clientId: thingName })
    const { token, ...own } = await certify(device)

    const registered = await device.identity.registerThing({
      templateName: rotationTemplate,
      certificateOwnershipToken: token,
      parameters: { ThingName: thingName },
    })

    expect(registered.thingName).toBe(thingName)
    expect(cloud.appliances.thingAttributes(thingName)).toEqual({ site: 'north' })
    expect(cloud.appliances.thingTypeName(thingName)).toBe('dock')
    for (const identity of [before, own]) {
      expect(await askCredentials(cloud, { identity, thingName })).toMatchObject({ status: 200 })
    }
  })

  it('tells the SDK why it refuses', async () => {
    await using device = await claimant('SN-1')
    const { token } = await certify(device)

    const refused = device.identity.registerThing({
      templateName,
      certificateOwnershipToken: token,
      parameters: { SerialNumber: 'SN-2' },
    })
    await expect(refused).rejects.toMatchObject({
      modeledError: { statusCode: 403, errorCode: 'AccessDenied', errorMessage: 'Access Denied' },
    })
    await expect(device.identity.createCertificateFromCsr({ certificateSigningRequest: 'none' })).rejects.toMatchObject(
      {
        modeledError: { statusCode: 400, errorCode: 'InvalidCsr' },
      },
    )
  })

  it('leaves the SDK without an answer that got lost, and the certificate good', async () => {
    await using device = await claimant('SN-1')
    const { token, ...own } = await certify(device)
    cloud.iot.provisioning.dropNextAnswer('register-thing')

    const lost = device.identity.registerThing({
      templateName,
      certificateOwnershipToken: token,
      parameters: { SerialNumber: 'SN-1' },
    })

    await expect(lost).rejects.toMatchObject({ internalError: expect.anything() as unknown })
    expect(await askCredentials(cloud, { identity: own, thingName: 'panorama_SN-1' })).toMatchObject({ status: 200 })
  })

  it('lets nobody in with a certificate that is pending, or not seen yet', async () => {
    cloud.iot.provisioning.activationDelayMs = 600_000
    await using device = await claimant('SN-1')
    const { token, ...own } = await certify(device)
    const isIn = async (): Promise<boolean> => {
      await using client = new RawMqtt(cloud, { identity: own })
      client.connect('panorama_SN-1')
      const { status } = await askCredentials(cloud, { identity: own, thingName: 'panorama_SN-1' })
      const connected = await client.next('connack').then(
        ({ reasonCode }) => reasonCode === 0,
        () => false,
      )
      expect(status).toBe(connected ? 200 : 403)
      return connected
    }

    expect(await isIn()).toBe(false)
    const parameters = { SerialNumber: 'SN-1' }
    await device.identity.registerThing({ templateName, certificateOwnershipToken: token, parameters })
    expect(await isIn()).toBe(false)
    await cloud.setTimeOffset(600_000)
    expect(await isIn()).toBe(true)
  })

  it('answers the client that asks, if it subscribed, and nobody else', async () => {
    await using first = await subscriber('SN-1')
    await using second = await subscriber('SN-2')
    await using deaf = new RawMqtt(cloud, { identity: claim })
    deaf.connect(`${templateName}-SN-3`)
    await deaf.next('connack')

    for (const client of [first, deaf]) {
      client.send(publish(csrTopic, JSON.stringify({ certificateSigningRequest: (await makeSigningRequest()).pem })))
      await client.next('puback')
    }
    expect(await first.next('publish')).toMatchObject({ topic: `${csrTopic}/accepted` })
    for (const client of [second, deaf]) {
      await until(() => cloud.iot.provisioning.certificates().length === 3)
      client.send({ cmd: 'pingreq' })
      await client.next('pingresp')
    }
  })

  it('goes on with what a client says while the hook is asked', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const body = await readTemplate(`provisioning/${templateName}`, {})
    cloud.iot.provisioning.setTemplate(templateName, { body, hook: () => promise })
    await using client = await subscriber('SN-1')
    client.send(publish(csrTopic, JSON.stringify({ certificateSigningRequest: (await makeSigningRequest()).pem })))
    await client.next('puback')
    const { payload } = await client.next('publish')
    const { certificateOwnershipToken } = z
      .object({ certificateOwnershipToken: z.string() })
      .parse(JSON.parse(payload.toString()))

    const parameters = { SerialNumber: 'SN-1' }
    client.send(publish(registerTopic, JSON.stringify({ certificateOwnershipToken, parameters })))
    await client.next('puback')
    client.send({ cmd: 'pingreq' })
    await client.next('pingresp')
    resolve({ allowProvisioning: true })

    expect(await client.next('publish')).toMatchObject({ topic: `${registerTopic}/accepted` })
  })

  it('serves MQTT 3.1.1 too', async () => {
    await using client = await subscriber('SN-1', 4)
    client.send(publish(csrTopic, '{}'))
    await client.next('puback')

    const { topic, payload } = await client.next('publish')
    expect(topic).toBe(`${csrTopic}/rejected`)
    expect(JSON.parse(payload.toString())).toMatchObject({ statusCode: 400 })
  })

  const subscriber = async (serial: string, version: MqttVersion = 5): Promise<RawMqtt> => {
    const client = new RawMqtt(cloud, { identity: claim, version })
    client.connect(`${templateName}-${serial}`)
    await client.next('connack')
    const subscriptions = [`${csrTopic}/+`, `${registerTopic}/+`].map((topic) => ({ topic, qos: 1 as const }))
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    await client.next('suback')
    return client
  }
})

function publish(topic: string, payload: string): IPublishPacket {
  return { cmd: 'publish', topic, payload, qos: 1, messageId: 7, dup: false, retain: false }
}
