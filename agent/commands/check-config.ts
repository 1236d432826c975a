import { loadConfig } from '../config/load-config.ts'
import type { CommandContext } from './command-context.ts'

/** `panorama-agent config check`: whether a configuration could be used. Throws a ConfigError that names every fault. */
export async function checkConfig(
  { configFile }: { readonly configFile: string },
  { stdout }: Pick<CommandContext, 'stdout'>,
): Promise<void> {
  await loadConfig(configFile)
  stdout.write(`${configFile} has no fault\n`)
}
