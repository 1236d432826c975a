import { configFolderIn, readBase } from '../config/base-document.ts'
import { effectiveConfig } from '../config/effective-config.ts'
import { ConfigError, type ConfigFault } from '../config/config-error.ts'
import { readOverlayFiles } from '../config/overlay-store.ts'
import { versionInForce } from '../config/overlay-version.ts'
import { reportError } from '../lib/errors.ts'
import { baseAlone, type MadeConfiguration } from '../composition/configuration/made-configuration.ts'

export interface ReadConfiguration extends MadeConfiguration {
  /** What of the overlay could not be looked at. */
  readonly overlayWarning: readonly ConfigFault[]
}

/**
 * What the files say, changing nothing in them: the base file with the version of the remote overlay that is in force. Throws a
 * ConfigError that names every fault and whose it is.
 */
export async function readConfiguration(file: string): Promise<ReadConfiguration> {
  const base = await readBase(file)
  const folder = configFolderIn(base.config.paths.state)
  const files = await readOverlayFiles(folder).catch((error: unknown) => ({
    versions: [],
    unreadable: [{ path: folder, error }],
  }))
  const overlayWarning = files.unreadable.map(({ path, error }) => ({
    path,
    message: `cannot be read, so that only the rest is looked at: ${reportError(error).message}`,
  }))
  const version = versionInForce(files.versions, () => true)
  if (version === undefined) return { ...baseAlone(file, base), overlayWarning }
  const effective = effectiveConfig(base.document, version)
  if (effective.kind === 'invalid') throw new ConfigError(file, effective.faults)
  const { config, document } = effective
  return { config, document, base, version, faults: [], overlayWarning }
}
