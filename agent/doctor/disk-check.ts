import { randomBytes } from 'node:crypto'
import { open, stat, statfs, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { errorCode } from '../lib/errors.ts'
import { fail, pass, skip, UnseenError, warn, type Check, type Outcome } from './doctor-check.ts'

export interface DiskFacts {
  /** The folder, or the nearest one above that is there. */
  readonly folder: string
  readonly isThere: boolean
  /** Whether the folder, or the nearest one above that is there, is one. */
  readonly isFolder: boolean
  readonly freeBytes: number
  readonly sizeBytes: number
  readonly freeInodes: number
  /** Zero where the file system makes them as they are needed. */
  readonly inodes: number
}

export interface DiskDeps {
  readonly folder: string
  /** What has to stay free for downloads to go on. */
  readonly minFreeBytes: number
  /** Whoever makes it, where it is not there. */
  readonly maker?: (signal: AbortSignal) => Promise<string>
  readonly readFacts?: (folder: string) => Promise<DiskFacts>
  readonly tryWriting?: (folder: string) => Promise<void>
}

const fewInodes = 1_000

/** Room on the file system of a folder, and whether what is written there becomes durable. */
export function diskCheck(deps: DiskDeps): Check {
  const { folder, minFreeBytes, maker = theAgent, readFacts = readDisk, tryWriting = writeDurably } = deps
  return {
    id: 'disk',
    name: 'disk',
    withinMs: 10_000,
    run: async (signal) => {
      const facts = await readFacts(folder).catch((error: unknown) => unseenOr(error, folder))
      const room = { ...roomOutcome(facts, minFreeBytes), about: 'space' }
      if (!facts.isFolder) {
        const text = `${facts.folder} is no folder, so that ${folder} cannot be ${facts.isThere ? 'used' : 'made'}`
        return [
          room,
          { ...fail(text, `remove ${facts.folder}, or name another folder in paths.state`), about: 'write' },
        ]
      }
      if (!facts.isThere) {
        const text = `${folder} is not there yet; ${await maker(signal)} makes it when the agent starts`
        return [room, { ...skip(text), about: 'write' }]
      }
      return [room, { ...(await writeOutcome(folder, tryWriting)), about: 'write' }]
    },
  }
}

export function roomOutcome(facts: DiskFacts, minFreeBytes: number): Outcome {
  const { folder, freeBytes, sizeBytes, freeInodes, inodes } = facts
  const text = `${sizeText(freeBytes)} of ${sizeText(sizeBytes)} free on the file system of ${folder}`
  if (freeBytes === 0)
    return fail(`no space is left on the file system of ${folder}`, 'free space: nothing can be kept')
  if (inodes > 0 && freeInodes < fewInodes) {
    return fail(
      `${freeInodes} of ${inodes} inodes are free on the file system of ${folder}`,
      'remove files: no others can be made',
    )
  }
  if (freeBytes < minFreeBytes) {
    return fail(
      `${text}, and downloads need ${sizeText(minFreeBytes)} to stay free`,
      'free space, publish smaller releases, or lower downloads.minFreeBytes',
    )
  }
  if (freeBytes < minFreeBytes + sizeBytes / 20)
    return warn(text, 'free space: a release needs room for its new files beside the old')
  return pass(text)
}

export async function readDisk(folder: string): Promise<DiskFacts> {
  let found = folder
  while (found !== '/' && (await isMissing(found))) found = dirname(found)
  const { bavail, blocks, bsize, ffree, files } = await statfs(found)
  return {
    folder: found,
    isThere: found === folder,
    isFolder: (await stat(found)).isDirectory(),
    freeBytes: bavail * bsize,
    sizeBytes: blocks * bsize,
    freeInodes: ffree,
    inodes: files,
  }
}

async function writeOutcome(folder: string, tryWriting: (folder: string) => Promise<void>): Promise<Outcome> {
  try {
    await tryWriting(folder)
    return pass(`a file in ${folder} can be written, made durable and removed`)
  } catch (error) {
    const code = errorCode(error) ?? 'an unknown error'
    switch (code) {
      case 'EACCES':
      case 'EPERM':
        return skip(`${folder} may not be written by this user`, "run this as root or as the agent's user")
      case 'EROFS':
        return fail(
          `${folder} is on a file system that is mounted read-only`,
          'mount it read-write; after errors the kernel does this: dmesg',
        )
      case 'ENOSPC':
      case 'EDQUOT':
        return fail(`no space is left for a file in ${folder} (${code})`, 'free space, or raise the quota')
      default:
        return fail(
          `a file in ${folder} cannot be made durable (${code})`,
          'look for errors of the disk: dmesg, smartctl',
        )
    }
  }
}

async function writeDurably(folder: string): Promise<void> {
  const path = join(folder, `.doctor-${randomBytes(8).toString('hex')}`)
  const file = await open(path, 'wx', 0o600) // never through a link: the folder may belong to somebody else
  try {
    await file.write('x')
    await file.sync()
  } finally {
    await file.close()
    await unlink(path)
  }
}

function theAgent(): Promise<string> {
  return Promise.resolve('it')
}

/** Where there is something cannot be told by a user who may not pass a folder on the way. */
function unseenOr(error: unknown, folder: string): never {
  const code = errorCode(error)
  if (code === 'EACCES' || code === 'EPERM') throw new UnseenError(folder)
  throw error
}

async function isMissing(path: string): Promise<boolean> {
  const code = await stat(path).then(
    () => undefined,
    (error: unknown) => errorCode(error),
  )
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function sizeText(bytes: number): string {
  if (bytes >= 1_073_741_824) return `${(bytes / 1_073_741_824).toFixed(1)} GiB`
  return `${(bytes / 1_048_576).toFixed(bytes >= 10_485_760 ? 0 : 1)} MiB`
}
