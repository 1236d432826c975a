import type { SealingStatus } from '../../cameras/last-known-good.ts'
import type { Config } from '../../config/config-schema.ts'
import { reportError } from '../../lib/errors.ts'
import type { CameraPart, CameraSealingPart, StatusDocument } from '../../status/status-document.ts'
import type { Generation } from '../generation/generation.ts'
import type { Session } from '../session/session.ts'
import { errorPart, type ToInstant } from './part-status.ts'

export function cameraParts({ cameras }: Generation, at: ToInstant): readonly CameraPart[] {
  const { nextPassMs } = cameras.worker.health()
  return cameras.status().map(({ name, state, sinceMs, versionId, changedAt, detail, lastError, dueMs }) => {
    const nextMs = dueMs ?? nextPassMs
    return {
      name,
      state,
      since: at(sinceMs),
      ...(detail === undefined ? {} : { detail }),
      ...(versionId === undefined ? {} : { versionId }),
      ...(changedAt === undefined ? {} : { changedAt }),
      ...(lastError === undefined ? {} : { lastError: errorPart(lastError, at) }),
      ...(nextMs === undefined ? {} : { nextAttemptAt: at(nextMs) }),
    }
  })
}

/** None while secrets are read in batches. */
export function cameraSecretsPart({ cameras }: Generation, at: ToInstant): Pick<StatusDocument, 'cameraSecrets'> {
  const denied = cameras.deniedBatches()
  if (denied === undefined) return {}
  const { name, message, hint } = reportError(denied.error)
  const lastError = { name, message, ...(hint === undefined ? {} : { hint }), at: at(denied.sinceMs) }
  return {
    cameraSecrets: { state: 'one by one', since: at(denied.sinceMs), lastError, nextAttemptAt: at(denied.againMs) },
  }
}

interface CameraSources {
  readonly config: Config
  readonly session: Session
  readonly generation: Generation
  readonly at: ToInstant
}

/** None where no camera is configured. */
export function cameraStoreParts({
  config,
  session,
  generation,
  at,
}: CameraSources): Pick<StatusDocument, 'cameraSealing' | 'cameraHooks'> {
  if (config.cameras.streams.length === 0) return {}
  const sealing = session.sealedCameras.status()
  const { key, fault: message, hint } = sealing
  const error =
    message === undefined
      ? {}
      : { lastError: { name: 'SealingFault', message, ...(hint === undefined ? {} : { hint }) } }
  const hooks = generation.cameraHooks.status().map(({ name, state, sinceMs, lastError, nextAttemptMs }) => ({
    name,
    state,
    since: at(sinceMs),
    ...(lastError === undefined ? {} : { lastError: errorPart(lastError, at) }),
    ...(nextAttemptMs === undefined ? {} : { nextAttemptAt: at(nextAttemptMs) }),
  }))
  return {
    cameraSealing: { state: sealingState(sealing), ...error, key },
    ...(hooks.length === 0 ? {} : { cameraHooks: hooks }),
  }
}

/** A key that is not there is a fault, unless nobody has looked for one yet. */
function sealingState({ key, fault }: SealingStatus): CameraSealingPart['state'] {
  if (fault !== undefined) return 'failing'
  return key === 'none' ? 'starting' : 'ok'
}
