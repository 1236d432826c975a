import { configurationReport } from './configuration-report.ts'
import type { Configurations } from './configurations.ts'
import type { Generations } from './generations.ts'
import type { ArtifactWorker } from './artifacts/artifact-worker.ts'
import { AgentError } from './lib/errors.ts'
import { releaseList } from './release-list.ts'
import type { Session } from './session.ts'
import type { LocalRequests } from './status/status-server.ts'

export interface LocalRequestsOptions {
  readonly session: Session
  readonly generations: Pick<Generations, 'current' | 'status'>
  readonly configurations?: Pick<Configurations, 'current'> | undefined
}

/** What a person at the appliance asks for. It is tried at once, also where credentials are in back-off. */
export function localRequests({ session, generations, configurations }: LocalRequestsOptions): LocalRequests {
  const renewCredentials = async (): Promise<void> => {
    for (const credentials of session.credentials) await credentials.renewNow()
  }
  const artifactNamed = (name: string): ArtifactWorker => {
    const found = generations.current.artifacts.find((artifact) => artifact.status().name === name)
    if (found === undefined) throw unknownName('artifact', name)
    return found
  }
  return {
    status: () => generations.status(),
    configuration: () => {
      if (configurations === undefined) throw new AgentError('this agent keeps no versions of its configuration')
      return configurationReport(configurations.current)
    },
    sync: async (name) => {
      const chosen = generations.current.artifacts.filter(
        (artifact) => name === undefined || artifact.status().name === name,
      )
      if (chosen.length === 0) throw unknownName('artifact', name)
      await renewCredentials()
      await Promise.all(
        chosen.map(async (artifact) => {
          await artifact.syncNow()
        }),
      )
    },
    refresh: async (name) => {
      const { cameras } = generations.current
      const known = cameras.status().some((camera) => name === undefined || camera.name === name)
      if (!known) throw unknownName('camera', name)
      await renewCredentials()
      await cameras.refreshNow(name)
    },
    releases: (name) => releaseList(artifactNamed(name)),
    verify: async (name, signal) => ({ version: 1, name, ...(await artifactNamed(name).verify(signal)) }),
    rollBack: async (name, to) => {
      await artifactNamed(name).rollBack(to)
    },
  }
}

function unknownName(kind: string, name: string | undefined): AgentError {
  return new AgentError(name === undefined ? `no ${kind} is configured` : `no ${kind} is named "${name}"`, {
    hint: 'panorama-agent status lists the names',
  })
}
