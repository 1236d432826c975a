import type { BigIntStats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, parse } from 'node:path'

import { AgentError, errorCode } from '../../lib/errors.ts'
import { fileIdOf } from './file-identity.ts'

/** A regular file in the folder of a log file that may hold what was in it before. */
export interface RotatedFile {
  readonly location: string
  readonly fileId: string
  readonly stats: BigIntStats
}

/** A birth time of 0 is not known. */
export type FileTimes = Pick<BigIntStats, 'mtimeNs' | 'birthtimeNs'>

const maxNames = 2_000
const maxListings = 20
const suffix = /^[._-]?(\d[\dT:Z._-]*|old|bak|prev)$/
const infix = /^[._-]\d[\dT:Z._-]*$/
const compressed = /\.(?:7z|br|bz2|gz|lz4|lzma|tgz|xz|z|zip|zst)$/i

/** The file with this device and inode: at `path`, or by whatever name in its folder. Throws the file system's error. */
export async function findByFileId(path: string, fileId: string): Promise<RotatedFile | undefined> {
  const atPath = await regularFile(path)
  if (atPath?.fileId === fileId) return atPath
  return (await filesBeside(path, () => true)).find((file) => file.fileId === fileId)
}

/**
 * The files beside `path` that rotation may have made of it, by their names (`app.log.1`, `app.log-20260101`,
 * `app-2026.log`, `app.log.old`), oldest first. Compressed ones are left out. Throws the file system's error.
 */
export async function findRotated(path: string): Promise<readonly RotatedFile[]> {
  const files = await filesBeside(path, (name) => isRotatedName(basename(path), name))
  return files.toSorted((one, other) => compare(birthOrChange(one.stats), birthOrChange(other.stats)))
}

/** From milliseconds since 1970. */
export function timesOf(modifiedMs: number, bornMs: number): FileTimes {
  return { mtimeNs: BigInt(modifiedMs) * 1_000_000n, birthtimeNs: BigInt(bornMs) * 1_000_000n }
}

/** Whether a file came into being, and was last written to, after another one. */
export function isNewer(stats: FileTimes, than: FileTimes): boolean {
  if (stats.mtimeNs < than.mtimeNs) return false
  return stats.birthtimeNs === 0n || stats.birthtimeNs > than.birthtimeNs
}

/** Whether a file is compressed, by its name: its content was there before as another file. */
export function isCompressedName(name: string): boolean {
  return compressed.test(name)
}

/** Whether rotation may have given a file this name that was called `base`. */
export function isRotatedName(base: string, name: string): boolean {
  if (name === base) return false
  if (name.startsWith(base)) return suffix.test(name.slice(base.length))
  const { name: stem, ext } = parse(base)
  if (ext === '' || !name.startsWith(stem) || !name.endsWith(ext)) return false
  return infix.test(name.slice(stem.length, name.length - ext.length))
}

/** Names move on while a rotation goes on: two listings in a row that say the same are of one moment. */
async function filesBeside(path: string, wanted: (name: string) => boolean): Promise<readonly RotatedFile[]> {
  let before = await listBeside(path, wanted)
  for (let tries = 0; tries < maxListings; tries += 1) {
    const files = await listBeside(path, wanted)
    if (isSame(before, files)) return files
    before = files
  }
  throw new AgentError(`the files beside ${path} do not keep their names for long enough to be listed`, {
    retryable: true,
  })
}

function isSame(before: readonly RotatedFile[], files: readonly RotatedFile[]): boolean {
  const ids = new Map(before.map(({ location, fileId }) => [location, fileId]))
  return before.length === files.length && files.every(({ location, fileId }) => ids.get(location) === fileId)
}

async function listBeside(path: string, wanted: (name: string) => boolean): Promise<readonly RotatedFile[]> {
  const folder = dirname(path)
  const names = await namesIn(folder)
  const files: RotatedFile[] = []
  for (const name of names.filter((name) => name !== basename(path) && wanted(name)).slice(0, maxNames)) {
    const file = await regularFile(join(folder, name))
    if (file !== undefined) files.push(file)
  }
  return files
}

/** None in a folder that is not there, or not to be listed. Other errors, as for want of descriptors, prove nothing and are thrown. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')) return []
    throw error
  }
}

async function regularFile(location: string): Promise<RotatedFile | undefined> {
  const stats = await stat(location, { bigint: true }).catch(() => undefined)
  return stats?.isFile() ? { location, fileId: fileIdOf(stats), stats } : undefined
}

function birthOrChange({ birthtimeNs, mtimeNs }: BigIntStats): bigint {
  return birthtimeNs === 0n ? mtimeNs : birthtimeNs
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0
}
