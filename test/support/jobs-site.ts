import type { CloudOptions } from '../cloud/cloud.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import type { CreateJob } from '../cloud/iot/jobs/jobs-control.ts'
import { AgentProcess, type AgentProcessOptions } from './agent-process.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { tempFolder } from './temp-folder.ts'
import { waitUntil } from './wait-until.ts'

export interface EndedJob {
  readonly status: string
  readonly statusDetails: Readonly<Record<string, string>>
}

/** A local cloud with AWS IoT Core and one appliance that has nothing to do; no agent runs yet. */
export interface JobsSite extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly appliance: ApplianceFiles
  /** Starts an agent, which disposing of the site ends. */
  readonly start: (options?: Partial<AgentProcessOptions>) => AgentProcess
  /** As `start`, and resolves once it is connected. */
  readonly startConnected: (options?: Partial<AgentProcessOptions>) => Promise<AgentProcess>
  readonly createJob: (jobId: string, document: object, options?: Partial<CreateJob>) => void
  readonly statusOf: (jobId: string) => string
  /** Waits until the cloud has the job at its end. */
  readonly ended: (jobId: string, withinMs?: number) => Promise<EndedJob>
}

export interface JobsSiteOptions {
  readonly cloud?: CloudOptions
  /** Merged over the configuration, section by section. */
  readonly config?: (cloud: IotCloud) => Readonly<Record<string, unknown>>
}

const thingName = 'panorama_dock-1'

/** `quotas.enforce` is off: an agent that a test restarts would wait for the one CONNECT a second that AWS takes. */
export async function createJobsSite({
  cloud: cloudOptions,
  config = () => ({}),
}: JobsSiteOptions = {}): Promise<JobsSite> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud(cloudOptions))
  cloud.quotas.enforce(false)
  const { path: folder } = resources.use(await tempFolder())
  const appliance = await createApplianceFiles({ cloud, folder, thingName, config: config(cloud) })
  const owned = resources.move()
  const find = (jobId: string) => cloud.iot.jobs.describeExecution(thingName, jobId)
  const start: JobsSite['start'] = (options = {}) => owned.use(new AgentProcess({ ...appliance, ...options }))
  return {
    cloud,
    appliance,
    start,
    startConnected: async (options) => {
      const agent = start(options)
      await agent.until(({ connection }) => connection?.state === 'connected')
      return agent
    },
    createJob: (jobId, document, options) => {
      const job = { jobId, targets: [thingName], document: { version: '1.0', ...document }, ...options }
      cloud.iot.jobs.createJob(job)
    },
    statusOf: (jobId) => find(jobId).status,
    ended: async (jobId, withinMs = 50_000) => {
      const isOpen = (): boolean => ['QUEUED', 'IN_PROGRESS'].includes(find(jobId).status)
      await waitUntil(`the end of ${jobId}`, () => !isOpen(), withinMs)
      const { status, statusDetails = {} } = find(jobId)
      return { status, statusDetails }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
