import { identityFolderIn, readUnprovisioned } from '../config/base-document.ts'
import type { UnprovisionedConfig } from '../config/config-schema.ts'
import { configWarnings } from '../config/config-warnings.ts'
import type { ConfigFault } from '../config/config-error.ts'
import { fileWarnings } from '../composition/doctor/configured-files.ts'
import { pendingReset } from '../reset/pending-reset.ts'
import { readConfiguration } from './read-configuration.ts'
import type { CommandContext } from './command-context.ts'

/**
 * `panorama-agent config check`: whether a configuration could be used, and what in it may not do as meant. With it goes the
 * remote overlay in force. That the appliance has yet to be provisioned is no fault. Throws a ConfigError that names every fault.
 */
export async function checkConfig(
  { configFile }: { readonly configFile: string },
  { stdout }: Pick<CommandContext, 'stdout'>,
): Promise<void> {
  const unprovisioned = await readUnprovisioned(configFile)
  if (unprovisioned !== undefined) {
    await checkUnprovisioned(configFile, unprovisioned, stdout)
    return
  }
  const { config, version, base, overlayWarning } = await readConfiguration(configFile)
  const baseWarning = base.warning === undefined ? [] : [base.warning]
  showWarnings([...baseWarning, ...overlayWarning, ...(await warningsOf(config))], stdout)
  const over = version === undefined ? '' : `, with configuration version ${version.number} over it,`
  stdout.write(`${configFile}${over} has no fault\n`)
}

async function checkUnprovisioned(
  configFile: string,
  config: UnprovisionedConfig,
  stdout: NodeJS.WritableStream,
): Promise<void> {
  showWarnings(await warningsOf(config), stdout)
  stdout.write(`${configFile} has no fault\n`)
  const { template = '', claimCertificate = '' } = config.provisioning ?? {}
  stdout.write(
    `the appliance is not provisioned: there is no proven identity in ${identityFolderIn(config.paths.state)}; ` +
      `the agent gets one with the template ${template} and the claim ${claimCertificate}\n`,
  )
}

/** Of the file itself, of files that it names, and of a state folder that the agent could not start on. */
async function warningsOf(config: UnprovisionedConfig): Promise<readonly ConfigFault[]> {
  const reset = await pendingReset(config.paths.state).catch(() => undefined) // which the doctor tells
  const unfinished = reset === undefined ? [] : [{ path: 'paths.state', message: `${reset.message}; ${reset.hint}` }]
  return [...configWarnings(config), ...(await fileWarnings(config)), ...unfinished]
}

function showWarnings(warnings: readonly ConfigFault[], stdout: NodeJS.WritableStream): void {
  for (const { path, message } of warnings) stdout.write(`warning: ${path}: ${message}\n`)
}
