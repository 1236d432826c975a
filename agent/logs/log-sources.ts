import { parse } from 'node:path'

import type { Config } from '../config/config-schema.ts'
import type { DeliveredSource, LogSourceContext } from './delivered-source.ts'
import { FileLogSource } from './file-log-source.ts'
import type { FilePattern } from './followed-paths.ts'
import type { LogTarget } from './log-destination.ts'

/** The sources that the configuration names. */
export function createLogSources(
  config: Pick<Config['logs'], 'sources' | 'maxBacklogBytes'>,
  group: string,
  context: LogSourceContext,
): readonly DeliveredSource[] {
  const patterns = config.sources.map((source) => filePattern(source, group))
  return [new FileLogSource({ ...context, patterns, maxBacklogBytes: config.maxBacklogBytes })]
}

function filePattern(source: Config['logs']['sources'][number], group: string): FilePattern {
  const targetOf = (path: string): LogTarget => ({ group, stream: streamOf(path) })
  return { pattern: source.path, takes: () => true, targetOf, format: source }
}

/** The stem of the file name, with what a stream name may not hold replaced ("CreateLogStream", API reference). */
function streamOf(path: string): string {
  return parse(path)
    .name.replaceAll(/[:*\p{C}]/gu, '-')
    .slice(0, 512)
}
