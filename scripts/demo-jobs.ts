import { setTimeout as delay } from 'node:timers/promises'

import type { StatusDocument } from '../agent/status/status-document.ts'
import type { IotCloud } from '../test/cloud/iot/iot-cloud.ts'
import type { JobExecution } from '../test/cloud/iot/jobs/job-execution.ts'
import type { AgentProcess } from '../test/support/agent-process.ts'
import type { DemoConsole } from './demo-console.ts'

export interface DemoJobsOptions {
  readonly screen: DemoConsole
  readonly cloud: IotCloud
  readonly thingName: string
  /** Ends the waiting at once. */
  readonly signal: AbortSignal
}

/** What came of a job, as an operator sees it in AWS IoT. */
export interface EndedJob {
  readonly jobId: string
  readonly status: string
  readonly statusDetails: Readonly<Record<string, string>>
}

/** The shortest that a document may ask for. */
const confirmSeconds = 30
/** After the time without network, a connection may wait for its next attempt as long as it ever does: two minutes. */
const endWithinMs = 150_000
const lookEveryMs = 200
const tellEverySeconds = 10

/** The scenes with AWS IoT Jobs. Each throws when the job does not end as it should. */
export class DemoJobs {
  readonly #options: DemoJobsOptions

  constructor(options: DemoJobsOptions) {
    this.#options = options
  }

  /** A change that works. */
  async change(agent: AgentProcess): Promise<EndedJob> {
    const { screen } = this.#options
    screen.heading('The operator changes the configuration by a job')
    this.#create('flush-every-2-seconds', { logs: { flushSeconds: 2 } })
    await screen.step('the appliance took it, and is still there with it: the job SUCCEEDED', () =>
      this.#ended('flush-every-2-seconds', 'SUCCEEDED'),
    )
    await this.#showConfiguration(agent)
    return this.#show('flush-every-2-seconds')
  }

  /** One that nobody could take back from afar: with it the appliance hears of no further job. */
  async mistake(agent: AgentProcess): Promise<EndedJob> {
    const { screen } = this.#options
    screen.heading('A job with a mistake in it, which would cut the appliance off')
    this.#create('wrong-endpoint', { endpoints: { mqtt: 'localhost:1' } })
    await screen.step('nobody has to drive there: the version before is back, the job FAILED', async () => {
      const told = new AbortController()
      const telling = this.#tellTrial(agent, told.signal)
      try {
        await this.#ended('wrong-endpoint', 'FAILED')
      } finally {
        told.abort()
        await telling
      }
    })
    await this.#showConfiguration(agent)
    return this.#show('wrong-endpoint')
  }

  #create(jobId: string, patch: object): void {
    const { cloud, screen, thingName } = this.#options
    const document = { version: '1.0', operation: 'configure', patch, confirmSeconds }
    screen.fact(`job ${jobId}: ${JSON.stringify(document)}`)
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
  }

  async #ended(jobId: string, wanted: string): Promise<void> {
    const endMs = performance.now() + endWithinMs
    for (;;) {
      const { status } = this.#execution(jobId)
      if (status === wanted) return
      if (!['QUEUED', 'IN_PROGRESS'].includes(status)) throw new Error(`the job ${jobId} ended as ${status}`)
      if (performance.now() > endMs) throw new Error(`the job ${jobId} is still ${status}`)
      await delay(lookEveryMs, undefined, { signal: this.#options.signal })
    }
  }

  /** Says what goes on while the trial does, until it is aborted. */
  async #tellTrial(agent: AgentProcess, signal: AbortSignal): Promise<void> {
    const { screen } = this.#options
    screen.fact(`it has ${confirmSeconds} s to show that it is still there`)
    for (let passed = tellEverySeconds; passed < confirmSeconds; passed += tellEverySeconds) {
      await delay(tellEverySeconds * 1_000, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      screen.fact(`${passed} of ${confirmSeconds} s: ${trialText(await agent.status().catch(() => undefined))}`)
    }
  }

  async #showConfiguration(agent: AgentProcess): Promise<void> {
    const { screen } = this.#options
    const isSettled = ({ configuration, connection }: StatusDocument): boolean =>
      configuration?.state === 'accepted' && connection?.state === 'connected'
    const { configuration } = await agent.until(isSettled)
    screen.fact(`configuration: version ${configuration?.version ?? 0}, ${configuration?.state ?? 'unknown'}`)
  }

  #show(jobId: string): EndedJob {
    const { status, statusDetails = {} } = this.#execution(jobId)
    this.#options.screen.fact(`job ${jobId}: ${status} ${JSON.stringify(statusDetails)}`)
    return { jobId, status, statusDetails }
  }

  #execution(jobId: string): JobExecution {
    const { cloud, thingName } = this.#options
    return cloud.iot.jobs.describeExecution(thingName, jobId)
  }
}

function trialText(status: StatusDocument | undefined): string {
  const { configuration, connection } = status ?? {}
  const version = configuration === undefined ? '' : `version ${configuration.version}: ${configuration.state}, `
  const error = connection?.lastError?.message
  return `${version}connection ${connection?.state ?? 'unknown'}${error === undefined ? '' : `: ${error}`}`
}
