import { configWarnings } from '../config/config-warnings.ts'
import { loadConfig } from '../config/load-config.ts'
import type { CommandContext } from './command-context.ts'

/**
 * `panorama-agent config check`: whether a configuration could be used, and what in it may not do as meant. Throws a
 * ConfigError that names every fault.
 */
export async function checkConfig(
  { configFile }: { readonly configFile: string },
  { stdout }: Pick<CommandContext, 'stdout'>,
): Promise<void> {
  const warnings = configWarnings(await loadConfig(configFile))
  for (const { path, message } of warnings) stdout.write(`warning: ${path}: ${message}\n`)
  stdout.write(`${configFile} has no fault\n`)
}
