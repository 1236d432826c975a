import { join } from 'node:path'

import { beforeEach, describe, expect, test } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { IotConnection } from '../../agent/aws/iot-connection.ts'
import { IotJobsService } from '../../agent/aws/iot-jobs-service.ts'
import { JobLedger } from '../../agent/jobs/job-ledger.ts'
import { JobsWorker } from '../../agent/jobs/jobs-worker.ts'
import type { Fault, FaultOptions } from '../cloud/faults.ts'
import { startIotCloud, type IotCloud, type JobsNotification } from '../cloud/iot/iot-cloud.ts'
import { FakeJobActions } from '../support/fake-job-actions.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { running } from '../support/running-worker.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { until, waitUntil } from '../support/wait-until.ts'

const thingName = 'panorama_dock-1'
const topic = `$aws/things/${thingName}/jobs`
const answerWithinSeconds = 1
/** After the time in which an answer is waited for. */
const late: Fault = { kind: 'latency', delayMs: 1_500 }

describe.skipIf(await lacksMosquitto('notifications about jobs'))('jobs that an appliance is notified of', () => {
  let cloud: IotCloud
  let owned: AsyncDisposableStack
  let actions: FakeJobActions
  let log: RecordingLog
  let worker: JobsWorker

  beforeEach(async () => {
    owned = new AsyncDisposableStack()
    cloud = owned.use(await startIotCloud())
    actions = new FakeJobActions()
    log = new RecordingLog()
    const { certificatePem, privateKeyPem } = await cloud.appliances.createAppliance({ thingName })
    const identity = { certificate: certificatePem, privateKey: privateKeyPem, roots: cloud.rootCaPem }
    const connection = owned.use(
      new IotConnection({
        endpoint: cloud.endpoints.mqtt,
        clientId: thingName,
        keepAliveSeconds: 60,
        loadIdentity: () => Promise.resolve(identity),
        clockOffsetMs: () => 0,
        dialer: new Dialer(),
        serviceTrust: () => Promise.reject(new Error('there is no proxy')),
        log,
      }),
    )
    const service = owned.use(new IotJobsService({ connection, thingName, answerWithinSeconds }))
    const { path } = owned.use(await tempFolder())
    worker = owned.use(
      new JobsWorker({ service, ledger: new JobLedger({ folder: join(path, 'jobs'), log }), actions, log }),
    )
    owned.use(running(worker.worker))
    await until(() => cloud.iot.clients().some(({ filters }) => filters.includes(`${topic}/notify-next`)))
    await until(() => worker.worker.health().passes >= 2) // for the connection, and for the subscription
    return async () => {
      await owned.disposeAsync()
    }
  })

  const createJob = (jobId: string): void => {
    const document = { version: '1.0', operation: 'sync-artifacts', artifacts: [jobId] }
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
  }
  const statusOf = (jobId: string): string => cloud.iot.jobs.describeExecution(thingName, jobId).status
  const succeeded = async (...jobIds: readonly string[]): Promise<void> => {
    await waitUntil(`the end of ${jobIds.join()}`, () => jobIds.every((jobId) => statusOf(jobId) === 'SUCCEEDED'))
  }
  /** Has a job run until the answered function is called. */
  const holdUp = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const sync = actions.syncArtifacts
    actions.syncArtifacts = async (...request) => {
      await promise
      return await sync(...request)
    }
    return () => {
      resolve(undefined)
    }
  }
  const nextIs = (jobId: string | undefined): JobsNotification => {
    const execution = { jobId, status: 'QUEUED', queuedAt: 1, lastUpdatedAt: 1, versionNumber: 1, executionNumber: 1 }
    return { topic: `${topic}/notify-next`, body: { timestamp: 1, ...(jobId === undefined ? {} : { execution }) } }
  }
  /** Every message that was sent before has been dealt with, and nothing else comes of it. */
  const atRest = async (): Promise<void> => {
    createJob('the-last')
    await succeeded('the-last')
    await until(() => {
      const { current, unreported } = worker.status()
      return current === undefined && unreported === 0 && worker.worker.health().state === 'ok'
    })
    expect(actions.calls.filter((call) => call === 'sync the-last')).toHaveLength(1)
  }

  test('run once each, whatever they are notified of again while they run and after they have ended', async () => {
    const goOn = holdUp()
    for (const jobId of ['job-1', 'job-2']) createJob(jobId)
    await until(() => worker.status().current?.jobId === 'job-1')
    const again = (): void => {
      for (const notification of [...cloud.iot.notifications]) {
        for (let time = 0; time < 2; time += 1) cloud.iot.notify(notification)
      }
    }
    again()
    goOn()
    await succeeded('job-1', 'job-2')
    expect(cloud.iot.notifications.length).toBeGreaterThanOrEqual(4)
    again()
    await atRest()
    expect(actions.calls).toEqual(['sync job-1', 'sync job-2', 'sync the-last'])
  })

  test('run in the order of the queue when the notifications come in another one', async () => {
    using lost = cloud.faults.inject({ kind: 'stall', afterBytes: 0 }, { service: 'iot', action: 'Receive', count: 1 })
    for (const jobId of ['job-1', 'job-2']) createJob(jobId)
    await until(() => lost.hits === 1)
    for (const jobId of ['job-2', undefined, 'job-1', 'never-made']) cloud.iot.notify(nextIs(jobId))
    await succeeded('job-1', 'job-2')
    await atRest()
    expect(actions.calls).toEqual(['sync job-1', 'sync job-2', 'sync the-last'])
  })

  test('do not end because of notifications that say that there is nothing to do, or something else', async () => {
    const goOn = holdUp()
    createJob('job-1')
    await until(() => statusOf('job-1') === 'IN_PROGRESS')
    for (const jobId of [undefined, 'job-0', undefined]) cloud.iot.notify(nextIs(jobId))
    const asked = (): number => cloud.requests.list({ service: 'iot-jobs', action: 'DescribeJobExecution' }).length
    const before = asked()
    await until(() => asked() > before) // whether it is still to be done
    goOn()
    await succeeded('job-1')
    expect(actions.calls).toEqual(['sync job-1'])
  })

  const once = (action: string, service = 'iot-jobs') => ({ service, action, count: 1 })
  const delays: readonly (readonly [string, FaultOptions])[] = [
    ['the question for the next job', once('DescribeJobExecution')],
    ['the report that it runs', once('UpdateJobExecution')],
    ['whatever comes first', once('Receive', 'iot')],
  ]
  test.each(delays)('run once when the answer comes after its time: %s', async (_, options) => {
    using injected = cloud.faults.inject(late, options)
    createJob('job-1')
    await succeeded('job-1')
    expect(injected.hits).toBe(1)
    await atRest()
    expect(actions.calls).toEqual(['sync job-1', 'sync the-last'])
  })

  test('are not done again when the answer to the report of the end comes after its time', async () => {
    const goOn = holdUp()
    createJob('job-1')
    await until(() => statusOf('job-1') === 'IN_PROGRESS')
    using injected = cloud.faults.inject(late, once('UpdateJobExecution'))
    goOn()
    await until(() => worker.status().unreported === 1)
    await atRest()
    expect(injected.hits).toBe(1)
    expect(actions.calls).toEqual(['sync job-1', 'sync the-last'])
    expect(log.messages('warn').filter((text) => text.includes('ended in the cloud'))).toEqual([])
    expect(statusOf('job-1')).toBe('SUCCEEDED')
  })
})
