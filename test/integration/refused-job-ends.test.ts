import { describe, expect, test } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { IotConnection } from '../../agent/aws/iot-connection.ts'
import { IotJobsService } from '../../agent/aws/iot-jobs-service.ts'
import { JobLedger } from '../../agent/jobs/job-ledger.ts'
import { JobsWorker } from '../../agent/jobs/jobs-worker.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { FakeJobActions } from '../support/fake-job-actions.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { running } from '../support/running-worker.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitUntil } from '../support/wait-until.ts'

const thingName = 'panorama_dock-1'
const document = { version: '1.0', operation: 'refresh-cameras' }
/** What AWS IoT says of an update that it does not take, whatever is tried. */
const refusals = ['InvalidRequest', 'ResourceNotFound', 'InvalidStateTransition'] as const

interface Site extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly worker: JobsWorker
  readonly actions: FakeJobActions
  readonly log: RecordingLog
  readonly statusOf: (jobId: string) => string
  readonly createJob: (jobId: string) => void
}

/** The jobs of an appliance, in this process. */
async function open(): Promise<Site> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud())
  const { certificatePem: certificate, privateKeyPem: privateKey } = await cloud.appliances.createAppliance({
    thingName,
  })
  const { path: folder } = resources.use(await tempFolder())
  const log = new RecordingLog()
  const connection = resources.use(
    new IotConnection({
      endpoint: cloud.endpoints.mqtt,
      clientId: thingName,
      keepAliveSeconds: 60,
      loadIdentity: () => Promise.resolve({ certificate, privateKey, roots: cloud.rootCaPem }),
      clockOffsetMs: () => 0,
      dialer: new Dialer(),
      serviceTrust: () => Promise.reject(new Error('there is no proxy')),
      log,
    }),
  )
  const service = resources.use(new IotJobsService({ connection, thingName }))
  const actions = new FakeJobActions()
  const ledger = new JobLedger({ folder, log })
  const worker = resources.use(new JobsWorker({ service, ledger, actions, log, askAgainMs: 200 }))
  resources.use(running(worker.worker))
  const owned = resources.move()
  return {
    cloud,
    worker,
    actions,
    log,
    statusOf: (jobId) => cloud.iot.jobs.describeExecution(thingName, jobId).status,
    createJob: (jobId) => {
      cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

describe.skipIf(await lacksMosquitto('ends of jobs that are refused'))('a job whose end AWS refuses for good', () => {
  test.concurrent.each(refusals)('as %s is said, and the next one is taken', { timeout: 60_000 }, async (code) => {
    await using site = await open()
    const { cloud, worker, actions, log } = site
    const update = { service: 'iot-jobs', action: 'UpdateJobExecution' }
    actions.refreshCameras = () => {
      cloud.faults.inject({ kind: 'error', status: 400, code, message: 'not like this' }, update)
      return Promise.resolve()
    }
    site.createJob('job-1')
    const said = (): string | undefined => worker.status().last?.endRefused
    await waitUntil('that the end is refused is said', () => said() !== undefined, 30_000)
    expect(said()).toBe(
      code === 'InvalidRequest' ? `UpdateJobExecution: ${code}: not like this` : 'it gives the job out again',
    )
    expect(worker.status()).toMatchObject({ last: { jobId: 'job-1', status: 'SUCCEEDED' }, unreported: 0 })
    expect(log.messages('error')).toEqual(['AWS IoT does not take the end of a job: it is reported no more'])
    cloud.faults.clear()
    actions.refreshCameras = () => Promise.resolve()
    site.createJob('job-2')
    site.worker.worker.requestPass().catch(() => undefined)
    const isReported = (): boolean => site.statusOf('job-2') === 'SUCCEEDED' && worker.status().unreported === 0
    await waitUntil('the next job', isReported, 30_000)
    expect(worker.status().last).toMatchObject({ jobId: 'job-2' })
    expect(site.statusOf('job-1')).toBe('IN_PROGRESS')
  })
})
