import { createHash } from 'node:crypto'
import { createReadStream, type Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { checkPaths, RefusedKeyError } from '../artifacts/release/release-path.ts'
import { AgentError, errorCode } from '../lib/errors.ts'

/** A file of a release that is to be published. */
export interface LocalFile {
  /** In the release: relative, with `/`. */
  readonly path: string
  /** On this machine. */
  readonly file: string
  readonly sizeBytes: number
  readonly sha256: string
  readonly executable: boolean
}

/**
 * Every file below a folder, sorted by path. Throws an AgentError for what cannot be part of a release: symbolic links
 * (appliances would have to trust where they lead), sockets and the like, names that `checkPaths` refuses, no file at
 * all.
 */
export async function readReleaseFolder(folder: string, signal: AbortSignal): Promise<readonly LocalFile[]> {
  const paths = await listFiles(folder)
  if (paths.length === 0) throw new AgentError(`${folder} holds no file`, { hint: 'name the folder of the release' })
  return await describeFiles(folder, paths, signal)
}

/** The same of files that are known by their paths, relative to the folder. */
export async function describeFiles(
  folder: string,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<readonly LocalFile[]> {
  refuseWrongPaths(paths)
  const files: LocalFile[] = []
  for (const path of [...paths].sort()) files.push(await describeFile(folder, path, signal))
  return files
}

/** The paths of all files below a folder. */
export async function listFiles(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new AgentError(`${folder} cannot be read (${errorCode(error) ?? 'unknown error'})`, { cause: error })
  })
  const paths = entries.filter((entry) => !entry.isDirectory()).map((entry) => pathOf(folder, entry))
  for (const entry of entries) {
    if (entry.isFile() || entry.isDirectory()) continue
    const kind = entry.isSymbolicLink() ? 'a symbolic link' : 'neither a file nor a folder'
    throw new AgentError(`${join(entry.parentPath, entry.name)} is ${kind}`, {
      hint: 'publish a copy that holds files and folders only: cp -rL FOLDER COPY',
    })
  }
  return paths
}

async function describeFile(folder: string, path: string, signal: AbortSignal): Promise<LocalFile> {
  const file = join(folder, path)
  try {
    const { mode } = await stat(file)
    const hash = createHash('sha256')
    let sizeBytes = 0
    for await (const chunk of createReadStream(file, { signal, highWaterMark: 1024 * 1024 })) {
      if (!Buffer.isBuffer(chunk)) continue
      hash.update(chunk)
      sizeBytes += chunk.length
    }
    return { path, file, sizeBytes, sha256: hash.digest('hex'), executable: (mode & 0o111) !== 0 }
  } catch (error) {
    signal.throwIfAborted()
    throw new AgentError(`${file} cannot be read (${errorCode(error) ?? 'unknown error'})`, { cause: error })
  }
}

function refuseWrongPaths(paths: readonly string[]): void {
  try {
    checkPaths(paths.map((path) => ({ key: path, path })))
  } catch (error) {
    if (!(error instanceof RefusedKeyError)) throw error
    throw new AgentError(error.message, { hint: 'rename the file: appliances refuse such names' })
  }
}

function pathOf(folder: string, { parentPath, name }: Dirent): string {
  return relative(folder, join(parentPath, name))
}
