import { randomUUID } from 'node:crypto'

import type { IotCloud } from '../../cloud/iot/iot-cloud.ts'
import type { Container } from './container.ts'
import { pollUntil } from './poll-until.ts'

export interface EndedJob {
  readonly status: string
  readonly statusDetails: Readonly<Record<string, string>>
}

/** Jobs of one appliance, as an operator makes them and looks at what became of them. */
export class ApplianceJobs {
  readonly #cloud: IotCloud
  readonly #container: Container
  readonly #thingName: string

  constructor(
    cloud: IotCloud,
    { container, thingName }: { readonly container: Container; readonly thingName: string },
  ) {
    this.#cloud = cloud
    this.#container = container
    this.#thingName = thingName
  }

  /** Answers its id. */
  create(document: Readonly<Record<string, unknown>>): string {
    const jobId = randomUUID()
    this.#cloud.iot.jobs.createJob({ jobId, targets: [this.#thingName], document: { version: '1.0', ...document } })
    return jobId
  }

  /** Waits for its end; throws with the journal when that does not come. */
  async ended(jobId: string): Promise<EndedJob> {
    const find = () => this.#cloud.iot.jobs.describeExecution(this.#thingName, jobId)
    const isOver = (): boolean => !['QUEUED', 'IN_PROGRESS'].includes(find().status)
    await pollUntil(`the end of ${jobId}`, isOver, 180_000).catch(async (cause: unknown) => {
      const { stdout } = await this.#container.run('journalctl', '--no-pager', '--lines=150', '--boot')
      throw new Error(`${jobId} did not end: ${JSON.stringify(find())}\n${stdout}`, { cause })
    })
    const { status, statusDetails = {} } = find()
    return { status, statusDetails }
  }

  async done(document: Readonly<Record<string, unknown>>): Promise<EndedJob> {
    return await this.ended(this.create(document))
  }
}
