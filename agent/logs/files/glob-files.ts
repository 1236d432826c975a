import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { errorCode } from '../../lib/errors.ts'

export interface GlobFiles {
  /** Absolute, sorted. What they lead to is not checked. */
  readonly paths: readonly string[]
  /** Folders that could not be listed for another reason than not being there. */
  readonly unreadable: readonly { readonly path: string; readonly error: unknown }[]
}

/**
 * The paths that fit an absolute pattern whose segments may hold `*` (any characters) and `?` (one character). As in
 * a shell, a wildcard at the start of a segment does not stand for a dot. A folder that is missing has no paths.
 */
export async function globFiles(pattern: string): Promise<GlobFiles> {
  const unreadable: { path: string; error: unknown }[] = []
  let paths: readonly string[] = ['/']
  for (const segment of segmentsOf(pattern)) {
    const found: string[] = []
    for (const folder of paths) {
      try {
        found.push(...(await namesIn(folder, segment)).map((name) => join(folder, name)))
      } catch (error) {
        unreadable.push({ path: folder, error })
      }
    }
    paths = found
  }
  return { paths: paths.toSorted(), unreadable }
}

/** Whether an absolute path fits the pattern, existing or not. */
export function matchesGlob(pattern: string, path: string): boolean {
  const segments = segmentsOf(pattern)
  const names = segmentsOf(path)
  return segments.length === names.length && segments.every((segment, at) => fits(segment)(names[at] ?? ''))
}

function segmentsOf(path: string): readonly string[] {
  return path.split('/').filter((segment) => segment !== '')
}

async function namesIn(folder: string, segment: string): Promise<readonly string[]> {
  try {
    if (/[*?]/.test(segment)) return (await readdir(folder)).filter(fits(segment))
    await stat(join(folder, segment))
    return [segment]
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return []
    throw error
  }
}

function fits(segment: string): (name: string) => boolean {
  const source = segment
    .replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll(/\*+/g, '.*')
    .replaceAll('?', '.')
  const expression = new RegExp(`^${source}$`, 'su')
  return (name) => (segment.startsWith('.') || !name.startsWith('.')) && expression.test(name)
}
