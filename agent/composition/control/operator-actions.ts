import type { ArtifactWorker } from '../../artifacts/artifact-worker.ts'
import type { GenerationInUse } from '../generation/generation-in-use.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Session } from '../session/session.ts'

/** What operators have done at once, on the appliance or by a job. Each rejects with what failed. */
export interface OperatorActions {
  readonly artifact: (name: string) => ArtifactWorker
  /**
   * All when no name is given. Credentials are renewed first, also where they are in back-off. Once `signal` aborts, downloads
   * keep to their windows again.
   */
  readonly sync: (names: readonly string[] | undefined, signal?: AbortSignal) => Promise<readonly ArtifactWorker[]>
  /** Once `signal` aborts, cameras that are not due are not begun any more. */
  readonly refresh: (names: readonly string[] | undefined, signal?: AbortSignal) => Promise<void>
}

export interface OperatorActionsOptions {
  readonly session: Session
  readonly generations: Pick<GenerationInUse, 'current'>
}

export function operatorActions({ session, generations }: OperatorActionsOptions): OperatorActions {
  const renewCredentials = async (): Promise<void> => {
    for (const credentials of session.credentials) await credentials.renewNow()
  }
  const artifact = (name: string): ArtifactWorker => {
    const found = generations.current.artifacts.find((each) => each.status().name === name)
    if (found === undefined) throw unknownName('artifact', name)
    return found
  }
  return {
    artifact,
    sync: async (names, signal) => {
      const chosen = names === undefined ? generations.current.artifacts : names.map(artifact)
      if (chosen.length === 0) throw unknownName('artifact', undefined)
      await renewCredentials()
      await Promise.all(chosen.map((each) => each.syncNow(signal)))
      return chosen
    },
    refresh: async (names, signal) => {
      const { cameras } = generations.current
      const known = new Set(cameras.status().map(({ name }) => name))
      if (known.size === 0) throw unknownName('camera', undefined)
      const unknown = names?.find((name) => !known.has(name))
      if (unknown !== undefined) throw unknownName('camera', unknown)
      await renewCredentials()
      await Promise.all((names ?? [undefined]).map((name) => cameras.refreshNow(name, signal)))
    },
  }
}

function unknownName(kind: string, name: string | undefined): AgentError {
  return new AgentError(name === undefined ? `no ${kind} is configured` : `no ${kind} is named "${name}"`, {
    hint: 'panorama-agent status lists the names',
  })
}
