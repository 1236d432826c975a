import { parse } from 'node:path'

import type { Config } from '../config/config-schema.ts'
import type { DeliveredSource, LogSourceContext } from './delivered-source.ts'
import { FileLogSource } from './file-log-source.ts'
import type { FilePattern } from './followed-paths.ts'

/** The sources that the configuration names. */
export function createLogSources(
  config: Pick<Config['logs'], 'sources' | 'maxBacklogBytes'>,
  group: string,
  context: LogSourceContext,
): readonly DeliveredSource[] {
  const patterns = config.sources.map(({ path }) => filePattern(path, group))
  return [new FileLogSource({ ...context, patterns, maxBacklogBytes: config.maxBacklogBytes })]
}

function filePattern(pattern: string, group: string): FilePattern {
  return { pattern, takes: () => true, targetOf: (path) => ({ group, stream: streamOf(path) }) }
}

/** The stem of the file name, with what a stream name may not hold replaced ("CreateLogStream", API reference). */
function streamOf(path: string): string {
  return parse(path)
    .name.replaceAll(/[:*\p{C}]/gu, '-')
    .slice(0, 512)
}
