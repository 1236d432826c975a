import { dirname } from 'node:path'

import type { SystemCall } from './system-calls.ts'

/** What a power cut after the rename could bring to light. */
export function whatIsNotDurable(calls: readonly SystemCall[], rename: SystemCall): readonly string[] {
  const [from = '', to = ''] = rename.paths
  const isLink = calls.some(({ name, paths }) => name.startsWith('symlink') && paths.at(-1) === from)
  const writes = writesTo(calls, from).filter(({ begin }) => begin < rename.begin)
  const lastWriteEnd = Math.max(-1, ...writes.map(({ end }) => end))
  const isSynced = syncsOf(calls, from).some(({ begin, end }) => begin > lastWriteEnd && end < rename.begin)
  return [
    ...(isLink || isSynced ? [] : ['what got the name is not synced before']),
    ...(isSyncedAfter(calls, dirname(to), rename) ? [] : ['the folder is not synced after']),
  ]
}

export function isSyncedAfter(calls: readonly SystemCall[], path: string, { end }: SystemCall): boolean {
  return syncsOf(calls, path).some(({ begin }) => begin > end)
}

export function syncsOf(calls: readonly SystemCall[], path: string): readonly SystemCall[] {
  return calls.filter(({ name, paths }) => /^f(data)?sync$/.test(name) && paths[0] === path)
}

function writesTo(calls: readonly SystemCall[], path: string): readonly SystemCall[] {
  return calls.filter(({ name, paths }) => /^p?writev?(64)?$/.test(name) && paths[0] === path)
}
