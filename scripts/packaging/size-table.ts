import { stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { PackageFile } from './package-tree.ts'

const mebibyte = 1_048_576

/** What takes the space in a tree, largest first: everything of at least a tenth of a mebibyte, then the rest. */
export async function renderSizes(tree: string, files: readonly PackageFile[]): Promise<string> {
  const sizes = await Promise.all(files.map(async ({ path }) => ({ path, bytes: (await stat(join(tree, path))).size })))
  const large = sizes.filter(({ bytes }) => bytes >= mebibyte / 10).sort((a, b) => b.bytes - a.bytes)
  const rest = sizes.filter(({ bytes }) => bytes < mebibyte / 10)
  const restBytes = rest.reduce((sum, { bytes }) => sum + bytes, 0)
  return [...large, { path: `${rest.length} more files`, bytes: restBytes }]
    .map(({ path, bytes }) => `${(bytes / mebibyte).toFixed(1).padStart(7)} MiB  ${path}\n`)
    .join('')
}
