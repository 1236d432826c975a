import type { Config } from '../config/config-schema.ts'
import type { DeliveredSource, LogSourceContext } from './delivered-source.ts'
import { FileLogSource } from './file-log-source.ts'
import { sourcePatterns, type DeviceLabels } from './log-targets.ts'

/** The sources that the configuration names. */
export function createLogSources(
  { sources, maxBacklogBytes }: Pick<Config['logs'], 'sources' | 'maxBacklogBytes'>,
  device: DeviceLabels,
  context: LogSourceContext,
): readonly DeliveredSource[] {
  return [new FileLogSource({ ...context, patterns: sourcePatterns(sources, device), maxBacklogBytes })]
}
