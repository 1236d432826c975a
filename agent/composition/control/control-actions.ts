import { join } from 'node:path'

import { createCloudWatchLogDestination } from '../../aws/cloudwatch-log-destination.ts'
import { agentVersion } from '../../build-info.ts'
import type { ConfigChanges, RefusedChange } from '../configuration/config-changes.ts'
import type { ConfigDiff } from '../../config/config-values.ts'
import { sendDiagnostics } from './diagnostics.ts'
import type { GenerationInUse } from '../generation/generation-in-use.ts'
import type {
  ChangedValue,
  ConfigureActions,
  JobActions,
  RefusedConfigure,
  RotationActions,
  SyncAsk,
  UpdateActions,
} from '../../jobs/job-actions.ts'
import { linkedAbort, untilAborted } from '../../lib/abort.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { processId } from '../../lib/process-id.ts'
import type { LogRing } from '../../logs/log-ring.ts'
import type { OperatorActions } from './operator-actions.ts'
import { updateVersionIn } from '../../root-requests/update-reports.ts'
import type { Session } from '../session/session.ts'
import { tellSyncProgress } from './sync-progress.ts'

export interface ControlActionsOptions {
  readonly session: Session
  readonly generations: GenerationInUse
  readonly configurations: ConfigChanges
  readonly operator: OperatorActions
  readonly rotation: RotationActions
  /** The last lines of the agent's own log. */
  readonly recent: Pick<LogRing, 'lines'>
  readonly restart: (() => void) | undefined
  readonly bootId: string | undefined
  readonly log: Log
}

const releaseDigits = 12

/** What jobs can do with this agent. */
export function controlActions(options: ControlActionsOptions): JobActions {
  const { session, operator, configurations, rotation, restart, bootId } = options
  return {
    configure: configureActions(configurations),
    rotation,
    update: updateActions(options),
    syncArtifacts: (names, ask) => syncArtifacts(options, names, ask),
    rollbackTarget: (name, to) => Promise.resolve(rollbackTarget(operator, name, to)),
    currentRelease: (name) => operator.artifact(name).status().releaseId,
    rollBack: async (name, to, signal) => {
      await untilAborted(operator.artifact(name).rollBack(to, signal), signal)
    },
    refreshCameras: async (names, signal) => {
      await untilAborted(operator.refresh(names, signal), signal)
    },
    collectDiagnostics: (request, signal) => collectDiagnostics(options, request, signal),
    requestRoot: (request, signal) => session.rootRequests.request(request, signal),
    restartAgent: restart,
    processId: processId(),
    bootId,
  }
}

async function syncArtifacts(
  { operator, generations }: ControlActionsOptions,
  names: readonly string[] | undefined,
  { signal, onProgress }: SyncAsk,
): Promise<Readonly<Record<string, string>>> {
  using end = linkedAbort(signal)
  const told = tellSyncProgress({ artifacts: () => generations.current.artifacts, onProgress }, end.controller.signal)
  try {
    const synced = await untilAborted(operator.sync(names, signal), signal)
    return Object.fromEntries(
      synced.map((artifact) => {
        const { name, releaseId = 'none' } = artifact.status()
        return [name, releaseId.slice(0, releaseDigits)]
      }),
    )
  } finally {
    end.controller.abort()
    await told
  }
}

function updateActions({ session, generations }: ControlActionsOptions): UpdateActions {
  const { updates } = session
  return {
    version: agentVersion,
    candidate: async (name) => {
      const { state } = generations.config.paths
      return await updateVersionIn(join(state, 'artifacts', name, 'current'))
    },
    report: async (id) => {
      if ((await updates.trial())?.id === id) return { kind: 'trial' }
      const last = await updates.last()
      return last?.id === id ? { kind: 'ended', ...last } : { kind: 'none' }
    },
  }
}

function configureActions(configurations: ConfigChanges): ConfigureActions {
  return {
    propose: async (request) => {
      const proposal = await configurations.propose(request)
      if (proposal.kind === 'trial') {
        return { kind: 'trial', number: proposal.number, changes: shownChanges(proposal.diff) }
      }
      return refusal(proposal)
    },
    dryRun: (request) => {
      const planned = configurations.dryRun(request)
      return Promise.resolve(
        planned.kind === 'diff' ? { kind: 'changes', changes: shownChanges(planned.diff) } : refusal(planned),
      )
    },
    settled: async (job, signal) => {
      const outcome = await configurations.settled(job, signal)
      if (outcome === undefined) return undefined
      const { number } = outcome
      return 'accepted' in outcome ? { kind: 'accepted', number } : { kind: 'reverted', number, reason: outcome.reason }
    },
    revert: (job, reason) => {
      configurations.abandon(job, reason)
      return Promise.resolve()
    },
  }
}

function refusal(refused: RefusedChange): RefusedConfigure {
  return refused.kind === 'invalid' ? refused : { kind: refused.kind, number: refused.version }
}

function shownChanges({ changes, omitted }: ConfigDiff): readonly ChangedValue[] {
  const shown = changes.map(({ path, from, to }) => ({ path, from: shownValue(from), to: shownValue(to) }))
  return omitted === 0 ? shown : [...shown, { path: `${omitted} more`, from: '', to: '' }]
}

function shownValue(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value)
}

function rollbackTarget(operator: OperatorActions, name: string, to: string | undefined): string {
  const artifact = operator.artifact(name)
  const current = artifact.status().releaseId
  const kept = artifact.releases()
  const found = kept.filter(({ releaseId, isPrevious }) => (to === undefined ? isPrevious : releaseId.startsWith(to)))
  const [target] = found
  if (target !== undefined && found.length === 1) return target.releaseId
  const others = kept
    .map(({ releaseId }) => releaseId.slice(0, releaseDigits))
    .filter((id) => current?.startsWith(id) !== true)
  throw new AgentError(
    `${name} has ${found.length === 0 ? 'no' : 'more than one'} release ${to ?? 'before the current one'}`,
    {
      hint: others.length === 0 ? 'no other release is kept' : `kept are: ${others.join(', ')}`,
    },
  )
}

/** The log group is the one of the device's own logs. */
async function collectDiagnostics(
  { session, generations, recent, log }: ControlActionsOptions,
  { jobId, logLines }: { readonly jobId: string; readonly logLines: number },
  signal: AbortSignal,
): Promise<{ readonly stream: string; readonly events: number }> {
  const { clients, call, clock } = session
  const { config } = generations
  const stream = `diagnostics/${jobId}`
  const { examineFromInside } = await import('../doctor/doctor-inside.ts')
  const doctor = await examineFromInside(config, session.network, signal)
  const events = await sendDiagnostics(
    {
      target: { group: generations.current.logGroup, stream },
      destination: createCloudWatchLogDestination({
        client: clients.logs,
        call,
        compression: config.logs.compression,
        log,
      }),
      status: generations.status(),
      doctor,
      recent,
      logLines,
      nowMs: clock.now(),
    },
    signal,
  )
  return { stream, events }
}
