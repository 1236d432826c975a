import { open, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { AgentError, errorCode } from '../../lib/errors.ts'

/** What the header of a journal file tells ("Journal File Format", systemd.io). */
export interface JournalFile {
  readonly path: string
  /** Up to its last object, indexes included: more than its entries say, less than it takes on the disk. */
  readonly usedBytes: number
  /** The numbers of its first and last entry, in the sequence `id`. */
  readonly serials: { readonly id: string; readonly first: number; readonly last: number }
  /** Of its first and last entry, since 1970, by the clock that the device had. */
  readonly firstUs: number
  readonly lastUs: number
  /** Of its last entry. */
  readonly lastBootId: string
  readonly lastMonotonicUs: number
}

/** Reads what journal files there are. Throws what keeps it from that. */
export type ReadJournalFiles = () => Promise<readonly JournalFile[]>

const machineIdPath = '/etc/machine-id'
const parents = ['/var/log/journal', '/run/log/journal']
const maxFiles = 10_000
const headerBytes = 208
const signature = 'LPKSHHRH'
const fileName = /\.journal~?$/

/** The folders that journald of this machine writes to. Throws where it has no id. */
export async function journalFolders(): Promise<readonly string[]> {
  const machineId = (await readFile(machineIdPath, 'latin1')).trim()
  return parents.map((parent) => join(parent, machineId))
}

/**
 * The journal files in `folders` that hold entries, in no order. A file that goes meanwhile, or is none, is left out. Throws an
 * AgentError when there is none of the folders, or one cannot be read, or none of its files.
 */
export async function readJournalFiles(folders: readonly string[]): Promise<readonly JournalFile[]> {
  const found = await Promise.all(folders.map(filesIn))
  if (found.every((paths) => paths === undefined)) throw new AgentError(`there is neither ${folders.join(' nor ')}`)
  const files: JournalFile[] = []
  let denied: unknown
  for (const path of found.flatMap((paths) => paths ?? []).slice(0, maxFiles)) {
    try {
      const file = parseJournalFile(path, await readHeader(path))
      if (file !== undefined) files.push(file)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') denied = error
    }
  }
  if (files.length === 0 && denied !== undefined)
    throw new AgentError(`no file of the journal can be read`, { cause: denied })
  return files
}

/** Answers undefined for what is no journal file with entries. */
function parseJournalFile(path: string, header: Buffer): JournalFile | undefined {
  if (header.length < headerBytes || header.toString('latin1', 0, 8) !== signature) return undefined
  const number = (at: number): number => Number(header.readBigUInt64LE(at))
  const id = (at: number): string => header.toString('hex', at, at + 16)
  const [first, last] = [number(168), number(160)]
  if (first === 0 || last < first) return undefined
  return {
    path,
    usedBytes: number(136),
    serials: { id: id(72), first, last },
    firstUs: number(184),
    lastUs: number(192),
    lastBootId: id(56),
    lastMonotonicUs: number(200),
  }
}

async function filesIn(folder: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(folder)).filter((name) => fileName.test(name)).map((name) => join(folder, name))
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined
    throw new AgentError(`the folder ${folder} cannot be read`, { cause })
  }
}

async function readHeader(path: string): Promise<Buffer> {
  await using handle = await open(path, 'r')
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
  return buffer.subarray(0, bytesRead)
}
