import { join } from 'node:path'

import { startCloud, type Cloud, type CloudOptions } from '../cloud.ts'
import { IotServices } from './iot-services.ts'
import { Jobs } from './jobs/jobs.ts'
import { notifyMessage, notifyNextMessage, seconds } from './jobs/job-messages.ts'
import { compareQueues } from './jobs/job-queue.ts'
import type { JobExecution } from './jobs/job-execution.ts'
import { createJobsTopics } from './jobs/jobs-topics.ts'
import type { Denial } from './gate-connection.ts'
import { findMosquitto, Mosquitto } from './mosquitto.ts'
import { MqttGate, type ConnectedClient } from './mqtt-gate.ts'
import { createShadowTopics, updateMessages } from './shadows/shadow-topics.ts'
import type { ProvisioningAdmin } from './provisioning/provisioning-admin.ts'
import { openProvisioning } from './provisioning/open-provisioning.ts'
import { Shadows, type ShadowUpdateResult } from './shadows/shadows.ts'

export interface IotCloudOptions extends CloudOptions {
  /** Default: as the environment's PATH has it. */
  readonly mosquitto?: string
  /** Default 0: any free port. */
  readonly mqttPort?: number
}

/** What AWS IoT Jobs told a thing about its queue. */
export interface JobsNotification {
  readonly topic: string
  readonly body: object
}

/** AWS IoT Core of the local cloud. */
export interface IotAdmin {
  readonly jobs: Jobs
  readonly shadows: Shadows
  readonly provisioning: ProvisioningAdmin
  /** The last hundred, oldest first. */
  readonly notifications: readonly JobsNotification[]
  /** Sends one to whoever subscribed: once more, late, or before another. */
  readonly notify: (notification: JobsNotification) => void
  /** As an operator does it: the thing is told. */
  readonly deleteShadow: (thingName: string, shadowName: string) => void
  /** Who is connected. */
  readonly clients: () => readonly ConnectedClient[]
  /** Resets the connections of a client id, or all; answers how many. */
  readonly drop: (clientId?: string) => number
  /** How a policy's denial shows from now on; `reason-code` until set. */
  readonly setDenial: (denial: Denial) => void
  /** Whether ALPN is demanded, as on port 443. */
  readonly setRequiresAlpn: (required: boolean) => void
  /** Ends the broker, and with it every connection; clients are refused until it is started again. */
  readonly stopBroker: () => Promise<void>
  readonly startBroker: () => Promise<void>
  readonly restartBroker: () => Promise<void>
}

export type IotCloud = Cloud & {
  readonly endpoints: Cloud['endpoints'] & {
    /** host:port, as `endpoints.mqtt` of the configuration wants it. */
    readonly mqtt: string
  }
  readonly iot: IotAdmin
}

const maxNotifications = 100

/** What to say where mosquitto is missing. */
export const mosquittoHint = 'mosquitto is not installed: apt-get install mosquitto (or any mosquitto 2.0 in PATH)'

/**
 * Starts a cloud that has AWS IoT Core too: a mosquitto of its own, the gate before it, and the services behind it.
 * Throws an Error that says so where there is no mosquitto. Defects of the gate and the services are thrown at the end.
 */
export async function startIotCloud(options: IotCloudOptions = {}): Promise<IotCloud> {
  const binary = options.mosquitto ?? (await findMosquitto(process.env['PATH'] ?? ''))
  if (binary === undefined) throw new Error(mosquittoHint)
  await using resources = new AsyncDisposableStack()
  const defects: unknown[] = []
  resources.defer(() => {
    if (defects.length > 0) throw new AggregateError(defects, 'the local cloud has defects')
  })
  const onDefect = (error: unknown): void => void defects.push(error)
  const cloud = resources.use(await startCloud(options))
  const broker = resources.use(await Mosquitto.start({ binary, folder: join(cloud.folder, 'mosquitto') }))
  const thingExists = (thingName: string): boolean => cloud.appliances.hasThing(thingName)
  const notifications: JobsNotification[] = []
  const jobs = new Jobs({
    now: cloud.now,
    thingExists,
    onChange: (...change) => {
      for (const notification of notificationsOf(jobs, { nowMs: cloud.now(), change })) {
        notifications.push(notification)
        notifications.splice(0, notifications.length - maxNotifications)
        services.publish(notification.topic, notification.body)
      }
    },
  })
  const nowSeconds = (): number => seconds(cloud.now())
  const shadows = new Shadows(nowSeconds, (...update) => {
    announceUpdate(services, update, nowSeconds())
  })
  const services = resources.use(
    await IotServices.start({
      account: cloud,
      broker,
      services: [
        createJobsTopics({ jobs, now: cloud.now, thingExists }),
        createShadowTopics({ shadows, nowSeconds, thingExists }),
      ],
      onDefect,
    }),
  )
  const { service: direct, admin: provisioning } = await openProvisioning(cloud)
  resources.use(direct)
  const gate = resources.use(
    await MqttGate.open({
      account: cloud,
      port: options.mqttPort ?? 0,
      brokerPath: () => (services.isConnected ? broker.socketPath : undefined),
      direct,
      onDefect,
    }),
  )
  const owned = resources.move()
  return {
    ...cloud,
    endpoints: { ...cloud.endpoints, mqtt: `${options.address === '::1' ? '[::1]' : 'localhost'}:${gate.port}` },
    iot: {
      jobs,
      shadows,
      provisioning,
      notifications,
      deleteShadow: (thingName, shadowName) => {
        const body = { version: shadows.delete(thingName, shadowName), timestamp: nowSeconds() }
        services.publish(`$aws/things/${thingName}/shadow/name/${shadowName}/delete/accepted`, body)
      },
      ...administer({ gate, broker, services }),
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function administer({
  gate,
  broker,
  services,
}: {
  readonly gate: MqttGate
  readonly broker: Mosquitto
  readonly services: IotServices
}): Omit<IotAdmin, 'jobs' | 'shadows' | 'provisioning' | 'notifications' | 'deleteShadow'> {
  const startBroker = async (): Promise<void> => {
    await broker.resume()
    await services.connect()
  }
  return {
    clients: () => gate.clients,
    notify: ({ topic, body }) => {
      services.publish(topic, body)
    },
    drop: (clientId) => gate.drop(clientId),
    setDenial: (denial) => {
      gate.denial = denial
    },
    setRequiresAlpn: (required) => {
      gate.requiresAlpn = required
    },
    stopBroker: () => broker.stop(),
    startBroker,
    restartBroker: async () => {
      await broker.stop()
      await startBroker()
    },
  }
}

/** What a thing is told of what became of its queue ("Jobs notifications"). */
function notificationsOf(
  jobs: Jobs,
  {
    nowMs,
    change: [thingName, before, after],
  }: {
    readonly nowMs: number
    readonly change: readonly [string, readonly JobExecution[], readonly JobExecution[]]
  },
): readonly JobsNotification[] {
  const { pendingChanged, nextChanged } = compareQueues(before, after)
  const topic = `$aws/things/${thingName}/jobs`
  const documentOf = (jobId: string): unknown => jobs.documentOf(jobId)
  return [
    ...(pendingChanged ? [{ topic: `${topic}/notify`, body: notifyMessage(after, nowMs) }] : []),
    ...(nextChanged ? [{ topic: `${topic}/notify-next`, body: notifyNextMessage(after, { nowMs, documentOf }) }] : []),
  ]
}

/** Tells a thing what an update of a shadow made of it, and what it has yet to do. */
function announceUpdate(
  services: IotServices,
  [thingName, shadowName, result]: readonly [string, string, ShadowUpdateResult],
  timestamp: number,
): void {
  const topic = `$aws/things/${thingName}/shadow/name/${shadowName}/update`
  for (const [level, message] of Object.entries(updateMessages(result, timestamp))) {
    if (message !== undefined) services.publish(`${topic}/${level}`, message)
  }
}
