import type { Generations } from './generations.ts'
import { AgentError } from './lib/errors.ts'
import type { Session } from './session.ts'
import type { LocalRequests } from './status/status-server.ts'

export interface LocalRequestsOptions {
  readonly session: Session
  readonly generations: Pick<Generations, 'current' | 'status'>
}

/** What a person at the appliance asks for. It is tried at once, also where credentials are in back-off. */
export function localRequests({ session, generations }: LocalRequestsOptions): LocalRequests {
  const renewCredentials = async (): Promise<void> => {
    for (const credentials of session.credentials) await credentials.renewNow()
  }
  return {
    status: () => generations.status(),
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
  }
}

function unknownName(kind: string, name: string | undefined): AgentError {
  return new AgentError(name === undefined ? `no ${kind} is configured` : `no ${kind} is named "${name}"`, {
    hint: 'panorama-agent status lists the names',
  })
}
