import { beforeEach, describe, expect, test } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { IotConnection } from '../../agent/aws/iot-connection.ts'
import { IotJobsService } from '../../agent/aws/iot-jobs-service.ts'
import { IotShadow } from '../../agent/aws/iot-shadow.ts'
import type { Appliance } from '../cloud/appliances.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { until } from '../support/wait-until.ts'

const thingName = 'panorama_dock-1'
const never = new AbortController().signal

describe.skipIf(await lacksMosquitto('jobs over MQTT'))('jobs and shadow over MQTT', () => {
  let cloud: IotCloud
  let appliance: Appliance
  let owned: AsyncDisposableStack

  beforeEach(async () => {
    owned = new AsyncDisposableStack()
    cloud = owned.use(await startIotCloud())
    appliance = await cloud.appliances.createAppliance({ thingName })
    return async () => {
      await owned.disposeAsync()
    }
  })

  const open = (clientId = thingName) => {
    const log = new RecordingLog()
    const connection = owned.use(
      new IotConnection({
        endpoint: cloud.endpoints.mqtt,
        clientId,
        keepAliveSeconds: 60,
        loadIdentity: () =>
          Promise.resolve({
            certificate: appliance.certificatePem,
            privateKey: appliance.privateKeyPem,
            roots: cloud.rootCaPem,
          }),
        clockOffsetMs: () => 0,
        dialer: new Dialer(),
        serviceTrust: () => Promise.reject(new Error('there is no proxy')),
        log,
      }),
    )
    const jobs = owned.use(new IotJobsService({ connection, thingName }))
    return { connection, jobs, log }
  }
  const connected = async (opened: ReturnType<typeof open>): Promise<ReturnType<typeof open>> => {
    await opened.connection.client()
    await until(() => opened.connection.status().state === 'connected')
    return opened
  }
  const createJob = (jobId: string, document: object = { version: '1.0', operation: 'reboot' }): void => {
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
  }

  test('hands out the next job with its document, and takes its updates to the end', async () => {
    const { jobs } = await connected(open())
    expect(await jobs.next(never)).toBeUndefined()
    createJob('job-1')
    const execution = await jobs.next(never)
    if (execution === undefined) throw new Error('no job')
    expect(execution).toMatchObject({
      jobId: 'job-1',
      executionNumber: 1,
      status: 'QUEUED',
      document: { version: '1.0', operation: 'reboot' },
    })
    expect(typeof execution.queuedAt).toBe('number')
    const details = { step: 'one' }
    const began = { execution, status: 'IN_PROGRESS', details, stepTimeoutMinutes: 10 } as const
    expect(await jobs.update(began, never)).toEqual({ kind: 'accepted' })
    expect(await jobs.isOpen(execution, never)).toBe(true)
    expect(await jobs.update({ execution, status: 'SUCCEEDED', details: {} }, never)).toEqual({ kind: 'accepted' })
    expect(cloud.iot.jobs.describeExecution(thingName, 'job-1')).toMatchObject({ status: 'SUCCEEDED' })
    expect(await jobs.update({ execution, status: 'SUCCEEDED', details: {} }, never)).toMatchObject({ kind: 'ended' })
    expect(await jobs.isOpen(execution, never)).toBe(false)
  })

  test('knows a job that was cancelled from one that was deleted', async () => {
    const { jobs } = await connected(open())
    createJob('job-1')
    const execution = await jobs.next(never)
    if (execution === undefined) throw new Error('no job')
    const began = { execution, status: 'IN_PROGRESS', details: {} } as const
    await jobs.update(began, never)
    cloud.iot.jobs.cancelJob('job-1', { force: true })
    expect(await jobs.update(began, never)).toEqual({ kind: 'ended', status: 'CANCELED' })
    expect(await jobs.isOpen(execution, never)).toBe(false)
    cloud.iot.jobs.deleteJob('job-1', { force: true })
    expect(await jobs.update(began, never)).toEqual({ kind: 'gone' })
    expect(await jobs.isOpen(execution, never)).toBe(false)
  })

  test('tells of each job that becomes the next one, and of each connection', async () => {
    const { jobs, connection } = open()
    let changes = 0
    jobs.onChanged(() => {
      changes += 1
    })
    expect(await jobs.next(never)).toBeUndefined() // the first connection is waited for
    expect(connection.status().state).toBe('connected')
    await until(() => changes >= 2) // connected, subscribed
    const before = changes
    createJob('job-1')
    await until(() => changes > before)
    cloud.iot.drop(thingName)
    const afterJob = changes
    await until(() => changes > afterJob)
    expect(await jobs.next(never)).toMatchObject({ jobId: 'job-1' })
  })

  test('has what the service refuses named, and goes on after the broker was away', async () => {
    const { jobs, connection, log } = await connected(open())
    await cloud.iot.stopBroker()
    await until(() => connection.status().state === 'down')
    await expect(jobs.next(never)).rejects.toMatchObject({ retryable: true })
    await cloud.iot.startBroker()
    await until(() => connection.status().state === 'connected')
    createJob('job-1')
    expect(await jobs.next(never)).toMatchObject({ jobId: 'job-1' })
    expect(log.messages('info')).toContain('connected to AWS IoT Core')
  })

  test.each(['reason-code', 'close'] as const)(
    'says what to do when the policy denies the connection by %s',
    async (denial) => {
      cloud.iot.setDenial(denial)
      const { connection } = open('another-client-id')
      await connection.client()
      await until(() => connection.status().state === 'down')
      expect(connection.status().error).toMatchObject({ hint: expect.stringContaining('attach the thing') as string })
    },
  )

  test('gives out no job while it may not subscribe to notifications, and says what to allow', async () => {
    const { certificateId } = appliance
    const policy = cloud.appliances.findById(certificateId)?.policy
    if (policy === undefined) throw new Error('the appliance has no policy')
    const statements = policy.statements.map((statement) => ({
      ...statement,
      resources: (statement.resources ?? []).filter((resource) => !resource.includes('jobs/notify')),
    }))
    cloud.appliances.setIotPolicy(certificateId, { ...policy, statements })
    const { jobs } = await connected(open())
    for (let asked = 1; asked <= 2; asked += 1) {
      await expect(jobs.next(never)).rejects.toMatchObject({ hint: expect.stringContaining('iot:Subscribe') as string })
    }
    cloud.appliances.setIotPolicy(certificateId, policy)
    createJob('job-1')
    expect(await jobs.next(never)).toMatchObject({ jobId: 'job-1' })
  })

  test('says that another client has taken its client id', async () => {
    const first = await connected(open())
    const second = open()
    await new Promise((resolve) => setTimeout(resolve, 1_100)) // one CONNECT a second per client id
    await second.connection.client()
    await until(() => first.connection.status().error?.message.includes('another client has connected') ?? false)
  })

  test('keeps what is reported in the shadow, and reads it back', async () => {
    const { connection } = await connected(open())
    const shadow = owned.use(new IotShadow({ connection, thingName, shadowName: 'panorama-agent' }))
    expect(await shadow.reported(never)).toBeUndefined()
    await shadow.report({ health: 'ok', cameras: { total: 2, details: { 'dock-3': {} } } }, never)
    await shadow.report({ cameras: { details: null } }, never)
    expect(await shadow.reported(never)).toEqual({ health: 'ok', cameras: { total: 2 } })
  })
})
