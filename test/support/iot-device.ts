import { EventEmitter, once } from 'node:events'

import { iot, iotjobs, iotshadow, mqtt5 } from 'aws-iot-device-sdk-v2'

import type { KeyAndCertificate } from '../cloud/certificates.ts'
import type { IotCloud } from '../cloud/iot/iot-cloud.ts'

export interface DeviceOptions {
  readonly identity: KeyAndCertificate
  readonly clientId: string
  readonly keepAliveSeconds?: number
  readonly minReconnectDelayMs?: number
  /** Default 5. */
  readonly operationTimeoutSeconds?: number
}

/** The AWS IoT Device SDK as a device uses it. Disposing of it closes all that it opened. */
export interface IotDevice extends AsyncDisposable {
  readonly client: mqtt5.Mqtt5Client
  readonly jobs: iotjobs.IotJobsClientv2
  readonly shadows: iotshadow.IotShadowClientv2
  /** What each attempt to connect came to, oldest first. */
  readonly attempts: readonly ConnectAttempt[]
  /** How each connection ended, oldest first: the reason code of DISCONNECT, if there was one. */
  readonly disconnections: readonly (number | undefined)[]
  /** Resolves once `count` attempts have come to something. */
  readonly untilAttempts: (count: number) => Promise<void>
}

export interface ConnectAttempt {
  readonly connected: boolean
  /** The reason code of CONNACK, if there was one. */
  readonly reasonCode: number | undefined
  readonly serverKeepAlive: number | undefined
}

/** Builds a client and starts it; whether it connects, `attempts` tells. */
export function startDevice(cloud: IotCloud, options: DeviceOptions): IotDevice {
  const client = new mqtt5.Mqtt5Client(clientConfig(cloud, options))
  const attempts: ConnectAttempt[] = []
  const disconnections: (number | undefined)[] = []
  const events = new EventEmitter()
  client.on('connectionSuccess', ({ connack, settings }) => {
    attempts.push({ connected: true, reasonCode: connack.reasonCode, serverKeepAlive: settings.serverKeepAlive })
    events.emit('attempt')
  })
  client.on('connectionFailure', ({ connack }) => {
    attempts.push({ connected: false, reasonCode: connack?.reasonCode, serverKeepAlive: undefined })
    events.emit('attempt')
  })
  client.on('disconnection', ({ disconnect }) => {
    disconnections.push(disconnect?.reasonCode)
  })
  client.on('stopped', () => events.emit('stopped'))
  client.on('error', () => undefined)
  const requests = {
    maxRequestResponseSubscriptions: 8,
    maxStreamingSubscriptions: 8,
    operationTimeoutInSeconds: options.operationTimeoutSeconds ?? 5,
  }
  const jobs = iotjobs.IotJobsClientv2.newFromMqtt5(client, requests)
  const shadows = iotshadow.IotShadowClientv2.newFromMqtt5(client, requests)
  client.start()
  return {
    client,
    jobs,
    shadows,
    attempts,
    disconnections,
    untilAttempts: async (count) => {
      const signal = AbortSignal.timeout(15_000)
      while (attempts.length < count) await once(events, 'attempt', { signal })
    },
    [Symbol.asyncDispose]: async () => {
      jobs.close()
      shadows.close()
      const stopped = once(events, 'stopped', { signal: AbortSignal.timeout(15_000) })
      client.stop()
      await stopped
      client.close()
    },
  }
}

function clientConfig(cloud: IotCloud, options: DeviceOptions): mqtt5.Mqtt5ClientConfig {
  const { identity, clientId, keepAliveSeconds = 60, minReconnectDelayMs = 1100 } = options
  const [host = '', port = ''] = cloud.endpoints.mqtt.split(':')
  return iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromMemory(
    host,
    identity.certificatePem,
    identity.privateKeyPem,
  )
    .withCertificateAuthority(cloud.rootCaPem)
    .withPort(Number(port))
    .withConnectProperties({ clientId, keepAliveIntervalSeconds: keepAliveSeconds })
    .withMinReconnectDelayMs(minReconnectDelayMs)
    .withMaxReconnectDelayMs(5000)
    .withPingTimeoutMs(2000)
    .build()
}
