import type { BaseDocument } from '../../config/base-document.ts'
import type { Config } from '../../config/config-schema.ts'
import { effectiveConfig } from '../../config/effective-config.ts'
import { ConfigError, type ConfigFault } from '../../config/config-error.ts'
import type { OverlayVersions } from '../../config/overlay-versions.ts'
import type { OverlayVersion } from '../../config/overlay-version.ts'
import { reportError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'

/** A configuration with what it was made of. */
export interface MadeConfiguration {
  readonly config: Config
  /** Base and overlay merged, without defaults. */
  readonly document: unknown
  readonly base: BaseDocument
  /** Undefined for the base file alone. */
  readonly version: OverlayVersion | undefined
  /** Why it is not what it should be: of the base file, and of each version that could not be used. */
  readonly faults: readonly ConfigFault[]
}

export interface Ingredients {
  /** The base file. */
  readonly file: string
  readonly base: BaseDocument
  readonly versions: Pick<OverlayVersions, 'inForce' | 'revert' | 'unreadable'> | undefined
  /** Versions that are not to be used, each with why. */
  readonly unstartable: ReadonlyMap<number, ConfigFault>
  readonly log: Log
}

const noOverlay = { overlay: {} }

export function baseAlone(file: string, base: BaseDocument): MadeConfiguration {
  const { config, document } = base
  return { config, document, base, version: undefined, faults: baseFaults(file, base.fault) }
}

/**
 * What base file and versions make together. A version on trial that does not fit is reverted, an accepted one passed over,
 * and the one before is used, down to the base file alone. Throws a ConfigError when that is at fault as well.
 */
export function makeConfiguration({ file, base, versions, unstartable, log }: Ingredients): MadeConfiguration {
  const unusable = new Map<number, readonly ConfigFault[]>()
  for (const [number, fault] of unstartable) unusable.set(number, [fault])
  for (;;) {
    const version = versions?.inForce(({ number }) => !unusable.has(number))
    const effective = effectiveConfig(base.document, version ?? noOverlay)
    if (effective.kind === 'valid') {
      const { config, document } = effective
      const faults = [...baseFaults(file, base.fault), ...[...unusable.values()].flat(), ...unreadableFaults(versions)]
      return { config, document, base, version, faults }
    }
    if (version === undefined) throw new ConfigError(file, effective.faults)
    const { number, state } = version
    const { faults } = effective
    if (state === 'trial') {
      versions?.revert(number, `it does not fit the base file: ${textOf(faults)}`)
    } else {
      log.error('a configuration version is at fault: the one before is used', { version: number, faults })
      unusable.set(number, faults)
    }
  }
}

export function versionFault(number: number, why: string): ConfigFault {
  return { path: '', message: `configuration version ${number}: ${why}` }
}

/**
 * One that is in use while the base file, read anew, gave an error: it is not what it should be any more, and would not be found at
 * a start. Itself where there was none.
 */
export function withBaseError(file: string, made: MadeConfiguration, error: unknown): MadeConfiguration {
  if (error === undefined) return made
  const older = baseFaults(file, made.base.fault).length // which the newer ones take the place of
  return { ...made, faults: [...baseFaults(file, error), ...made.faults.slice(older)] }
}

function baseFaults(file: string, error: unknown): readonly ConfigFault[] {
  if (error === undefined) return []
  if (!(error instanceof ConfigError)) return [{ path: '', message: reportError(error).message }]
  return error.faults.map(({ path, message }) => ({ path, message: `${message} (in ${file})` }))
}

function unreadableFaults(versions: Ingredients['versions']): readonly ConfigFault[] {
  return (versions?.unreadable ?? []).map(({ number, error }) =>
    versionFault(number, `it cannot be read: ${reportError(error).message}`),
  )
}

function textOf(faults: readonly ConfigFault[]): string {
  return faults.map(({ path, message }) => `${path}: ${message}`).join('; ')
}
