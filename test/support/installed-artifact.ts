import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { errorCode } from '../../agent/lib/errors.ts'

/** Contents by path. */
export type Contents = ReadonlyMap<string, Buffer>

/** What `current` of an artifact's folder holds; undefined when it names nothing. */
export async function installedContents(artifactFolder: string): Promise<Contents | undefined> {
  const current = join(artifactFolder, 'current')
  try {
    const files = await filesBelow(join(current, '.'))
    return new Map(
      await Promise.all(files.map(async (file) => [relative(current, file), await readFile(file)] as const)),
    )
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The sha256 of each content in the store, as its name says. */
export async function storedDigests(artifactFolder: string): Promise<ReadonlySet<string>> {
  const files = await filesBelow(join(artifactFolder, 'store')).catch(() => [])
  return new Set(files.map((file) => /[0-9a-f]{64}/.exec(file)?.[0] ?? ''))
}

/** Whatever an interrupted write may have left in the state folder: temporary files, half-built trees. */
export async function unfinishedFiles(stateFolder: string): Promise<readonly string[]> {
  const entries = await readdir(stateFolder, { recursive: true })
  return entries.filter((path) => /\.tmp$|\.copy$|(^|\/)incoming\/./.test(path))
}

export function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}
