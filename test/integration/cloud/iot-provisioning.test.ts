import { beforeEach, describe, expect, it } from 'vitest'

import type { DeviceCertificate } from '../../cloud/appliances.ts'
import { startIotCloud, type IotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { startProvisioningDevice, type ProvisioningDevice } from '../../support/provisioning-device.ts'
import { makeSigningRequest } from '../../support/signing-request.ts'
import { askCredentials } from './credentials-client.ts'

const templateName = 'panorama-appliance'
const rotationTemplate = 'panorama-appliance-rotation'

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
})
