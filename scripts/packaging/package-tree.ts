import { chmod, cp, mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** One file of the package: what is in it, or which file it is a copy of. */
export interface PackageFile {
  /** Without a leading slash. */
  readonly path: string
  readonly mode: 0o644 | 0o755
  readonly source: { readonly content: string | Uint8Array } | { readonly copyOf: string }
}

/** Writes the files below `folder`; modes come from here and never from the umask. */
export async function writeTree(folder: string, files: readonly PackageFile[]): Promise<void> {
  for (const { path, mode, source } of files) {
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true })
    if ('copyOf' in source) await cp(source.copyOf, target)
    else await writeFile(target, source.content)
    await chmod(target, mode)
  }
}

/** Gives every folder its mode, and everything below and including `folder` the same time. */
export async function settleTree(folder: string, time: Date): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await settleTree(path, time)
    else await utimes(path, time, time)
  }
  await chmod(folder, 0o755)
  await utimes(folder, time, time)
}
