import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readlinkSync,
  readSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

import { FolderHandle } from '../folder-handle.ts'
import { versionSyntax } from './packages.ts'

export interface TakenIn {
  /** Copies in a folder of root's alone. */
  readonly deb: string
  readonly signature: string
  /** As the name of the file has it. */
  readonly version: string
}

export type TakeInFault =
  'no-release' | 'no-package' | 'more-than-one-package' | 'no-signature' | 'too-large' | 'no-space'

export interface TakeInOptions {
  /** `<state>/artifacts`, in which everything is the agent's, and may be anything at any time. */
  readonly artifacts: string
  readonly name: string
  readonly architecture: string
  /** Where the copies go. */
  readonly incoming: string
  readonly maxBytes: number
}

const maxSignatureBytes = 1_024
const chunkBytes = 1_048_576
/** What stays free for everybody else. */
const reserveBytes = 33_554_432
const maxEntries = 1_000

/**
 * Copies the package of this architecture, and its signature, out of the current release of an artifact. Nothing is
 * followed but the link `current`, and that only where a release can be; no more is read than may be, and nothing that does
 * not leave room on the disk: a file of the agent's may be large and take none of its own.
 */
export function takeIn(options: TakeInOptions): TakenIn | TakeInFault {
  const { artifacts, name, architecture, incoming, maxBytes } = options
  const release = openRelease(artifacts, name)
  if (release === undefined) return 'no-release'
  using folder = release
  const pattern = new RegExp(`^panorama-agent_(${versionSyntax})_${architecture}\\.deb$`)
  const found = folder.names(maxEntries, (entry) => pattern.test(entry.toString('latin1')))
  const [entry] = found
  if (entry === undefined) return 'no-package'
  if (found.length > 1) return 'more-than-one-package'
  const file = entry.toString('latin1')
  const deb = join(incoming, 'update.deb')
  const signature = join(incoming, 'update.deb.sig')
  const signed = copy(folder, { entry: `${file}.sig`, to: signature, maxBytes: maxSignatureBytes })
  if (signed !== 'copied') return signed === 'no-space' ? signed : 'no-signature'
  const copied = copy(folder, { entry: file, to: deb, maxBytes })
  if (copied !== 'copied') return copied === 'no-file' ? 'no-package' : copied
  return { deb, signature, version: pattern.exec(file)?.[1] ?? '' }
}

function openRelease(artifacts: string, name: string): FolderHandle | undefined {
  try {
    using all = new FolderHandle(artifacts)
    using artifact = new FolderHandle(all.at(name))
    const [, tree] = /^releases\/([A-Za-z0-9~]{1,80})$/.exec(readlinkSync(artifact.at('current'))) ?? []
    if (tree === undefined) return undefined
    using releases = new FolderHandle(artifact.at('releases'))
    return new FolderHandle(releases.at(tree))
  } catch {
    return undefined
  }
}

interface Copy {
  readonly entry: string
  readonly to: string
  readonly maxBytes: number
}

/** Throws what the file system says of the copy. */
function copy(folder: FolderHandle, { entry, to, maxBytes }: Copy): 'copied' | 'no-file' | 'too-large' | 'no-space' {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants
  const source = openOrNone(folder.at(entry), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  if (source === undefined) return 'no-file'
  try {
    const found = fstatSync(source)
    if (!found.isFile()) return 'no-file'
    if (found.size > maxBytes) return 'too-large'
    if (!hasRoom(dirname(to), found.size)) return 'no-space'
    const target = openSync(to, 'wx', 0o600)
    try {
      const isWhole = pour(source, target, found.size)
      fsyncSync(target)
      return isWhole ? 'copied' : 'too-large'
    } finally {
      closeSync(target)
    }
  } finally {
    closeSync(source)
  }
}

function hasRoom(folder: string, bytes: number): boolean {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize > bytes + reserveBytes
}

function openOrNone(path: Buffer, flags: number): number | undefined {
  try {
    return openSync(path, flags)
  } catch {
    return undefined
  }
}

function pour(source: number, target: number, maxBytes: number): boolean {
  const chunk = Buffer.alloc(chunkBytes)
  for (let total = 0; ;) {
    const length = readSync(source, chunk, 0, chunk.length, null)
    if (length === 0) return true
    total += length
    if (total > maxBytes) return false // it may grow while it is read
    for (let written = 0; written < length;) written += writeSync(target, chunk, written, length - written)
  }
}
