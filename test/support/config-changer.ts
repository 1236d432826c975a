import { join } from 'node:path'

import type { ConfigChange, DryRun, Proposal } from '../../agent/composition/configuration/config-changes.ts'
import type { TrialOutcome } from '../../agent/config/overlay-versions.ts'
import type { JobExecutionId } from '../../agent/config/overlay-version.ts'
import { callAgent } from '../../agent/status/status-client.ts'
import type { ApplianceFiles } from './appliance-files.ts'
import { waitUntil } from './wait-until.ts'

/** The agent from this checkout, with somebody beside it who changes its configuration. */
export const configuredAgentCommand = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'configured-agent.ts'),
]

/** Whoever changes the configuration of an agent that runs by `configuredAgentCommand`. */
export class ConfigChanger {
  readonly #socketPath: string

  constructor({ runtimeFolder }: Pick<ApplianceFiles, 'runtimeFolder'>) {
    this.#socketPath = join(runtimeFolder, 'changes.sock')
  }

  async propose(change: ConfigChange): Promise<Proposal> {
    return (await this.#ask('propose', change)) as Proposal // what the program answers
  }

  async dryRun(change: ConfigChange): Promise<DryRun> {
    return (await this.#ask('dry-run', change)) as DryRun // what the program answers
  }

  async outcomeOf(job: JobExecutionId): Promise<TrialOutcome | undefined> {
    return ((await this.#ask('outcome', job)) as TrialOutcome | null) ?? undefined // what the program answers
  }

  /** Waits until the trial of a job's change is over, over restarts of the agent. */
  async outcome(job: JobExecutionId): Promise<TrialOutcome> {
    let last: TrialOutcome | undefined
    await waitUntil(`the change of ${job.jobId} is over`, async () => {
      last = await this.outcomeOf(job).catch(() => undefined)
      return last !== undefined && last !== 'running'
    })
    if (last === undefined) throw new Error('it is over without an outcome')
    return last
  }

  async #ask(verb: string, argument: object): Promise<unknown> {
    const path = `/${verb}/${encodeURIComponent(JSON.stringify(argument))}`
    const asked = { socketPath: this.#socketPath, method: 'POST', path, withinMs: 10_000 } as const
    const { status, body } = await callAgent(asked)
    if (status !== 200) throw new Error(String(body))
    return body
  }
}
