import { iotjobs } from 'aws-iot-device-sdk-v2'
import { beforeEach, describe, expect, it } from 'vitest'

import type { Appliance } from '../../cloud/appliances.ts'
import { startIotCloud, type IotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startDevice, type DeviceOptions, type IotDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { until } from '../../support/wait-until.ts'

const thingName = 'panorama_dock-1'
const { JobStatus } = iotjobs.model

describe.skipIf(await lacksMosquitto('AWS IoT Jobs'))('AWS IoT Jobs, asked by the SDK', () => {
  let cloud: IotCloud
  let identity: Appliance

  beforeEach(async () => {
    cloud = await startIotCloud()
    identity = await cloud.appliances.createAppliance({ thingName })
    return () => cloud[Symbol.asyncDispose]()
  })

  const createJob = (jobId: string): void => {
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document: { operation: 'reboot' } })
  }
  const connect = async (options: Partial<DeviceOptions> = {}): Promise<IotDevice> => {
    const device = startDevice(cloud, { identity, clientId: thingName, ...options })
    await device.untilAttempts(1)
    return device
  }
  /** What notify-next says, by job id; undefined for a queue that is empty. */
  const watchNext = async ({ jobs }: IotDevice): Promise<(string | undefined)[]> => {
    const seen: (string | undefined)[] = []
    const established = Promise.withResolvers<undefined>()
    const stream = jobs.createNextJobExecutionChangedStream({ thingName })
    stream.on('subscriptionStatus', () => {
      established.resolve(undefined)
    })
    stream.on('incomingPublish', ({ message }) => seen.push(message.execution?.jobId))
    stream.open()
    await established.promise
    return seen
  }

  it('hands a job that was made while the device was away to the device, and follows it to its end', async () => {
    createJob('job-1')
    await using device = await connect()

    const { execution } = await device.jobs.startNextPendingJobExecution({ thingName })
    expect(execution).toMatchObject({ jobId: 'job-1', status: 'IN_PROGRESS', jobDocument: { operation: 'reboot' } })
    await device.jobs.updateJobExecution({ thingName, jobId: 'job-1', status: JobStatus.SUCCEEDED, expectedVersion: 2 })
    const after = await device.jobs.startNextPendingJobExecution({ thingName })

    expect(after.execution).toBeUndefined()
    expect(cloud.iot.jobs.describeExecution(thingName, 'job-1')).toMatchObject({
      status: 'SUCCEEDED',
      versionNumber: 3,
    })
  })

  it('announces each job that is next, and that none is left', async () => {
    await using device = await connect()
    const seen = await watchNext(device)

    createJob('job-1')
    createJob('job-2')
    await until(() => seen.length === 1)
    await device.jobs.startNextPendingJobExecution({ thingName })
    cloud.iot.jobs.cancelJob('job-1', { force: true })
    await until(() => seen.length === 2)
    cloud.iot.jobs.cancelJob('job-2')
    await until(() => seen.length === 3)

    expect(seen).toEqual(['job-1', 'job-2', undefined])
    await expect(
      device.jobs.updateJobExecution({ thingName, jobId: 'job-1', status: JobStatus.SUCCEEDED }),
    ).rejects.toMatchObject({
      modeledError: { code: 'InvalidStateTransition', executionState: { status: 'CANCELED' } },
    })
  })

  it('rejects with a modelled error, and never answers where it was told not to', async () => {
    await using device = await connect({ operationTimeoutSeconds: 2 })
    const ask = () => device.jobs.describeJobExecution({ thingName, jobId: '$next' })
    cloud.faults.inject({ kind: 'error', status: 429, code: 'RequestThrottled' }, { service: 'iot-jobs', count: 1 })
    await expect(ask()).rejects.toMatchObject({ modeledError: { code: 'RequestThrottled' } })

    cloud.faults.inject(
      { kind: 'stall', afterBytes: 0 },
      { service: 'iot-jobs', action: 'DescribeJobExecution', count: 1 },
    )
    await expect(ask()).rejects.toMatchObject({ internalError: expect.anything() as unknown })
    await expect(ask()).resolves.toMatchObject({ timestamp: expect.any(Number) as unknown })
  })

  it('times a job out by the time of the cloud, and says so', async () => {
    await using device = await connect()
    const seen = await watchNext(device)
    createJob('job-1')
    await device.jobs.startNextPendingJobExecution({ thingName, stepTimeoutInMinutes: 5 })

    await cloud.setTimeOffset(5 * 60_000)

    await until(() => seen.length === 2)
    expect(seen).toEqual(['job-1', undefined])
    expect(cloud.iot.jobs.describeExecution(thingName, 'job-1').status).toBe('TIMED_OUT')
  })

  it('keeps jobs over a restart of the broker, and streams come back', async () => {
    cloud.quotas.enforce(false)
    await using device = await connect({ minReconnectDelayMs: 50 })
    const seen = await watchNext(device)
    createJob('job-1')
    await until(() => seen.length === 1)

    await cloud.iot.restartBroker()
    await until(() => cloud.iot.clients()[0]?.filters.some((filter) => filter.endsWith('/notify-next')) === true)
    cloud.iot.jobs.cancelJob('job-1')

    await until(() => seen.length === 2)
    expect(seen).toEqual(['job-1', undefined])
  })

  it('lets nobody ask for another thing’s jobs', async () => {
    cloud.appliances.createThing('panorama_dock-2')
    await using device = await connect()

    await expect(device.jobs.getPendingJobExecutions({ thingName: 'panorama_dock-2' })).rejects.toThrow()
    expect(cloud.requests.count({ service: 'iot-jobs' })).toBe(0)
    expect(cloud.requests.list({ service: 'iot', action: 'Subscribe' }).map(({ status }) => status)).toEqual([0x87])
  })
})
