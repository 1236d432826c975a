import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { renderControl, type ControlOptions } from './control.ts'
import type { PackageFile } from './package-tree.ts'

export interface ControlFilesOptions extends Omit<ControlOptions, 'installedBytes'> {
  /** The checkout. */
  readonly root: string
  /** What the package installs, and nothing else. */
  readonly tree: string
}

/** What dpkg reads: the control file, the maintainer scripts, and digests of all that is installed. */
export async function listControlFiles(options: ControlFilesOptions): Promise<readonly PackageFile[]> {
  const { root, tree } = options
  const installed = await digestTree(tree)
  const scripts = ['preinst', 'postinst', 'prerm', 'postrm'].map(
    (name) => ({ path: `DEBIAN/${name}`, mode: 0o755, source: { copyOf: join(root, 'packaging', name) } }) as const,
  )
  const control = renderControl({ ...options, installedBytes: installed.bytes })
  return [
    ...scripts,
    { path: 'DEBIAN/control', mode: 0o644, source: { content: control } },
    { path: 'DEBIAN/md5sums', mode: 0o644, source: { content: installed.md5sums } },
  ]
}

interface InstalledTree {
  readonly bytes: number
  /** What `dpkg --verify` compares with; it is against accidents and proves nothing. */
  readonly md5sums: string
}

async function digestTree(tree: string): Promise<InstalledTree> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const lines: string[] = []
  let bytes = 0
  for (const path of paths.sort()) {
    const content = await readFile(path)
    lines.push(`${createHash('md5').update(content).digest('hex')}  ${path.slice(tree.length + 1)}\n`)
    bytes += content.length
  }
  return { bytes, md5sums: lines.join('') }
}
