import { join } from 'node:path'

import { JobLedger } from '../../../agent/jobs/job-ledger.ts'
import type { ExecutionKey, JobStatus } from '../../../agent/jobs/jobs-service.ts'
import { JobsWorker, type JobsWorkerDeps } from '../../../agent/jobs/jobs-worker.ts'
import { FakeJobActions } from '../../support/fake-job-actions.ts'
import { FakeJobsService } from '../../support/fake-jobs-service.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running, type RunningWorker } from '../../support/running-worker.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { until } from '../../support/wait-until.ts'

/** An appliance that takes jobs; its worker can be stopped and started again over the same state, as by a restart. */
export class JobsAppliance implements AsyncDisposable {
  readonly service = new FakeJobsService()
  readonly actions = new FakeJobActions()
  readonly log = new RecordingLog()
  readonly stateFolder: string
  readonly #owned: AsyncDisposableStack
  #running: RunningWorker | undefined
  #worker: JobsWorker | undefined

  private constructor(stateFolder: string, owned: AsyncDisposableStack) {
    this.stateFolder = stateFolder
    this.#owned = owned
  }

  static async open(): Promise<JobsAppliance> {
    const owned = new AsyncDisposableStack()
    const { path } = owned.use(await tempFolder())
    return new JobsAppliance(path, owned)
  }

  get ledgerFolder(): string {
    return join(this.stateFolder, 'jobs')
  }

  get worker(): JobsWorker {
    if (this.#worker === undefined) throw new Error('the agent does not run')
    return this.#worker
  }

  start(changes: Partial<JobsWorkerDeps> = {}): void {
    const ledger = new JobLedger({ folder: this.ledgerFolder, log: this.log })
    const { service, actions, log } = this
    this.#worker = new JobsWorker({ service, ledger, actions, log, endWithinMs: 50, ...changes })
    this.#running = running(this.#worker.worker)
  }

  async stop(): Promise<void> {
    await this.#running?.stop()
    this.#worker?.[Symbol.dispose]()
  }

  /** Waits until the cloud has heard of a job's end. */
  async ended(key: ExecutionKey): Promise<JobStatus | undefined> {
    const open: readonly (JobStatus | undefined)[] = ['QUEUED', 'IN_PROGRESS']
    await until(() => !open.includes(this.service.status(key)))
    return this.service.status(key)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.#owned.disposeAsync()
  }
}
