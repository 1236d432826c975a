import { configurationReport } from '../configuration/configuration-report.ts'
import type { Configurations } from '../configuration/configurations.ts'
import type { GenerationInUse } from '../generation/generation-in-use.ts'
import { AgentError } from '../../lib/errors.ts'
import { recentLogs, type RecentLogsSources } from './recent-logs.ts'
import { releaseList } from './release-list.ts'
import type { OperatorActions } from './operator-actions.ts'
import type { LocalRequests } from '../../status/status-server.ts'

export interface LocalRequestsOptions {
  readonly operator: OperatorActions
  readonly generations: Pick<GenerationInUse, 'status' | 'current'>
  readonly clock: RecentLogsSources['clock']
  readonly recent: RecentLogsSources['recent']
  readonly configurations?: Pick<Configurations, 'current'> | undefined
}

/** What a person at the appliance asks for. It is tried at once, also where credentials are in back-off. */
export function localRequests(options: LocalRequestsOptions): LocalRequests {
  const { operator, generations, configurations, clock, recent } = options
  return {
    status: () => generations.status(),
    configuration: () => {
      if (configurations === undefined) throw new AgentError('this agent keeps no versions of its configuration')
      return configurationReport(configurations.current)
    },
    recentLogs: (after) => recentLogs({ recent, streams: generations.current.logs.streams(), clock }, after),
    sync: async (name) => {
      await operator.sync(name === undefined ? undefined : [name])
    },
    refresh: async (name) => {
      await operator.refresh(name === undefined ? undefined : [name])
    },
    releases: (name) => releaseList(operator.artifact(name)),
    verify: async (name, signal) => ({ version: 1, name, ...(await operator.artifact(name).verify(signal)) }),
    rollBack: async (name, to) => {
      await operator.artifact(name).rollBack(to)
    },
  }
}
