import type { BaseDocument } from '../../config/base-document.ts'
import type { Config } from '../../config/config-schema.ts'
import { diffConfigs, type ConfigDiff } from '../../config/config-values.ts'
import { effectiveConfig, overlayFaults } from '../../config/effective-config.ts'
import type { ConfigFault } from '../../config/config-error.ts'
import type { SettledTrial, TrialOutcome } from '../../config/overlay-versions.ts'
import { confirmSecondsBounds, digestOf, type JobExecutionId } from '../../config/overlay-version.ts'
import { isJsonObject, pathText, type JsonObject } from '../../lib/json-object.ts'
import type { LogFields } from '../../lib/log.ts'
import { composePatches } from '../../lib/merge-patch.ts'

const maxLogged = 10

/** A change of the remote overlay. */
export interface ConfigChange {
  /** A JSON merge patch (RFC 7396) over the present overlay, or, with `replace`, in its place. */
  readonly patch: unknown
  readonly replace?: boolean | undefined
  /** The version that has to be in force; 0 is the base file alone. */
  readonly expectedVersion?: number | undefined
  /** How long the evidence may take: 30 to 3,600; default 300. */
  readonly confirmSeconds?: number | undefined
  readonly job?: JobExecutionId | undefined
}

/** Why a change was not made. */
export type RefusedChange =
  /** The overlay is that already. */
  | { readonly kind: 'unchanged'; readonly version: number }
  | { readonly kind: 'invalid'; readonly faults: readonly ConfigFault[] }
  /** Another version is in force than was expected, or one is on trial. */
  | { readonly kind: 'conflict'; readonly version: number }

export type Proposal = RefusedChange | { readonly kind: 'trial'; readonly number: number; readonly diff: ConfigDiff }
export type DryRun = RefusedChange | { readonly kind: 'diff'; readonly diff: ConfigDiff }

/** What the jobs of an appliance may do with its configuration. */
export interface ConfigChanges {
  /**
   * Checks a change and begins the trial of it: resolves once that is durable, before the new configuration is used. Ask
   * `outcomeOf` what came of it. Throws a WriteError when it cannot be made durable, and then nothing is changed.
   */
  propose(change: ConfigChange): Promise<Proposal>
  /** What `propose` would do, without doing it. */
  dryRun(change: ConfigChange): DryRun
  /** What came of the change of a job, also after a restart; undefined when it brought none, or that is long ago. */
  outcomeOf(job: JobExecutionId): TrialOutcome | undefined
  /** As `outcomeOf`, once it is durable that the trial is over; rejects with the signal's reason when it aborts before. */
  settled(job: JobExecutionId, signal: AbortSignal): Promise<SettledTrial | undefined>
  /** Takes the change of a job back while it is on trial; afterwards nothing happens. */
  abandon(job: JobExecutionId, reason: string): void
}

/** What a change is made to. */
export interface ChangedFrom {
  readonly base: BaseDocument
  readonly config: Config
  /** 0 for the base file alone. */
  readonly number: number
  readonly overlay: JsonObject
  /** The version on trial. */
  readonly trial: number | undefined
}

export interface PlannedChange {
  readonly kind: 'planned'
  readonly overlay: JsonObject
  readonly confirmSeconds: number
  readonly diff: ConfigDiff
}

/** Checks everything about a change that can be known before it is tried. */
export function planChange(from: ChangedFrom, change: ConfigChange): RefusedChange | PlannedChange {
  const { expectedVersion = from.number, confirmSeconds = confirmSecondsBounds.usual } = change
  if (from.trial !== undefined) return { kind: 'conflict', version: from.trial }
  if (expectedVersion !== from.number) return { kind: 'conflict', version: from.number }
  const { min, max } = confirmSecondsBounds
  if (!Number.isInteger(confirmSeconds) || confirmSeconds < min || confirmSeconds > max) {
    return invalid('confirmSeconds', `must be a whole number from ${min} to ${max}`)
  }
  const composed = composedOverlay(from, change)
  if (composed.kind === 'invalid') return composed
  const { overlay } = composed
  if (digestOf(overlay) === digestOf(from.overlay)) return { kind: 'unchanged', version: from.number }
  const effective = effectiveConfig(from.base.document, { overlay })
  if (effective.kind === 'invalid') return effective
  const { config } = effective
  if (from.config.endpoints.mqtt !== undefined && config.endpoints.mqtt === undefined) {
    return invalid('endpoints.mqtt', 'has to stay: without it nobody could change the configuration from afar again')
  }
  return { kind: 'planned', overlay, confirmSeconds, diff: diffConfigs(from.config, config) }
}

type Composed = Extract<RefusedChange, { kind: 'invalid' }> | { readonly kind: 'overlay'; readonly overlay: JsonObject }

function composedOverlay({ base, overlay }: ChangedFrom, { patch, replace = false }: ConfigChange): Composed {
  if (!isJsonObject(patch)) return invalid('', 'the change must be an object')
  const faults = overlayFaults(patch)
  if (faults.length > 0) return { kind: 'invalid', faults }
  if (replace) return { kind: 'overlay', overlay: patch }
  const composition = composePatches(base.document, overlay, patch)
  if (composition.kind === 'composed') return { kind: 'overlay', overlay: composition.patch }
  return invalid(
    pathText(composition.path),
    'cannot be merged into what the overlay has there: send the whole overlay, with "replace"',
  )
}

function invalid(path: string, message: string): Extract<RefusedChange, { kind: 'invalid' }> {
  return { kind: 'invalid', faults: [{ path, message }] }
}

/** The first of its changes, and how many there are. */
export function loggedChanges({ changes, omitted }: ConfigDiff): LogFields {
  return { changes: changes.slice(0, maxLogged), count: changes.length + omitted }
}
