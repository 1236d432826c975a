import { configWarnings } from '../config/config-warnings.ts'
import { readConfiguration } from './read-configuration.ts'
import type { CommandContext } from './command-context.ts'

/**
 * `panorama-agent config check`: whether a configuration could be used, and what in it may not do as meant. With it goes the
 * remote overlay in force. Throws a ConfigError that names every fault.
 */
export async function checkConfig(
  { configFile }: { readonly configFile: string },
  { stdout }: Pick<CommandContext, 'stdout'>,
): Promise<void> {
  const { config, version, overlayWarning } = await readConfiguration(configFile)
  const warnings = [...overlayWarning, ...configWarnings(config)]
  for (const { path, message } of warnings) stdout.write(`warning: ${path}: ${message}\n`)
  const over = version === undefined ? '' : `, with configuration version ${version.number} over it,`
  stdout.write(`${configFile}${over} has no fault\n`)
}
