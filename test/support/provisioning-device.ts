import { iotidentity } from 'aws-iot-device-sdk-v2'

import type { IotCloud } from '../cloud/iot/iot-cloud.ts'
import { startDevice, type DeviceOptions } from './iot-device.ts'

/** The AWS IoT Device SDK as a device uses it to be provisioned. */
export interface ProvisioningDevice extends AsyncDisposable {
  readonly identity: iotidentity.IotIdentityClientv2
}

/** Connects, and resolves once connected. */
export async function startProvisioningDevice(cloud: IotCloud, options: DeviceOptions): Promise<ProvisioningDevice> {
  const device = startDevice(cloud, options)
  const identity = iotidentity.IotIdentityClientv2.newFromMqtt5(device.client, {
    maxRequestResponseSubscriptions: 4,
    maxStreamingSubscriptions: 1,
    operationTimeoutInSeconds: options.operationTimeoutSeconds ?? 5,
  })
  await device.untilAttempts(1)
  return {
    identity,
    [Symbol.asyncDispose]: async () => {
      identity.close()
      await device[Symbol.asyncDispose]()
    },
  }
}
