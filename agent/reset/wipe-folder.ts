import { join } from 'node:path'

import { unfinishedEntry, type KeptEntry } from './kept-entries.ts'
import type { WipeFiles } from './wipe-files.ts'

export interface WipeOptions {
  readonly files: WipeFiles
  readonly signal: AbortSignal
}

/**
 * Removes what the agent keeps in a folder, in the order of `entries`, durably, and nothing else: a folder in it goes only when
 * that leaves it empty. May be repeated after a crash at any point. Throws what the file system throws, or the signal's
 * reason.
 */
export async function wipeFolder(folder: string, entries: readonly KeptEntry[], options: WipeOptions): Promise<void> {
  const { files, signal } = options
  const names = await files.list(folder)
  for (const entry of [...entries, unfinishedEntry]) {
    for (const name of names.filter((each) => isNamed(entry, each))) {
      signal.throwIfAborted()
      await wipeEntry(join(folder, name), entry, options)
    }
  }
  await files.sync(folder)
}

/** Which of `names` are those of `entries`. */
export function keptAmong(names: readonly string[], entries: readonly KeptEntry[]): readonly string[] {
  return names.filter((name) => entries.some((entry) => isNamed(entry, name)))
}

function isNamed({ name }: KeptEntry, found: string): boolean {
  return typeof name === 'string' ? name === found : name.test(found)
}

async function wipeEntry(path: string, { holds }: KeptEntry, options: WipeOptions): Promise<void> {
  const { files } = options
  if (holds === undefined) await files.remove(path)
  else if (holds === 'anything') await files.removeTree(path)
  else {
    await wipeFolder(path, holds, options)
    await files.removeFolder(path)
  }
}
