import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

import { AgentError, errorCode } from '../lib/errors.ts'

/** What a configuration archive may hold; everything else in it is left alone. */
export const archiveNames = [
  'certificate.pem',
  'private.key',
  'thing-name',
  'claim-certificate.pem',
  'claim-private.key',
  'config.json',
] as const

export type ArchiveName = (typeof archiveNames)[number]
export type ArchiveContents = Partial<Record<ArchiveName, string>>

const maxFileBytes = 262_144
const maxListBytes = 1_048_576
const withinMs = 30_000
const maxDepth = 2

/**
 * Reads a configuration archive: a folder, a .tar.gz or .tgz (by tar), or a .zip (by unzip). The files lie at the top, or in
 * one folder. Nothing is unpacked to the disk: what a path in it says leads nowhere. Throws an AgentError.
 */
export async function readArchive(path: string): Promise<ArchiveContents> {
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const archive = found.isDirectory() ? folderArchive(path) : packedArchive(path)
  const contents: Partial<Record<ArchiveName, string>> = {}
  const members = await archive.list()
  for (const name of archiveNames) {
    const [member, other] = members.filter((each) => basename(each) === name && isPlain(each))
    if (other !== undefined) throw new AgentError(`${path} holds ${name} more than once`, { hint: 'leave one of them' })
    if (member !== undefined) contents[name] = await archive.read(member)
  }
  return contents
}

interface Archive {
  readonly list: () => Promise<readonly string[]>
  readonly read: (member: string) => Promise<string>
}

/** No names that tar or unzip would take for a pattern or an option. */
function isPlain(member: string): boolean {
  const parts = member.split('/').filter((part) => part !== '.')
  return /^[A-Za-z0-9._][A-Za-z0-9._/ -]*$/.test(member) && parts.length <= maxDepth && !parts.includes('..')
}

function folderArchive(path: string): Archive {
  return {
    list: async () =>
      await readdir(path).catch((error: unknown) => {
        throw unreadable(path, error)
      }),
    read: (member) => readPlainFile(join(path, member)),
  }
}

/** On a stick there may be a link to what only root may read, or a pipe that nobody writes to. */
async function readPlainFile(path: string): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const found = await file.stat()
    if (!found.isFile()) throw new AgentError(`${path} is no file`)
    if (found.size > maxFileBytes) throw new AgentError(`${path} is larger than ${maxFileBytes} bytes`)
    return await file.readFile('utf8')
  } catch (cause) {
    if (cause instanceof AgentError) throw cause
    const code = errorCode(cause) ?? 'unknown error'
    throw new AgentError(code === 'ELOOP' ? `${path} is a link` : `${path} cannot be read (${code})`, {
      hint: 'put the file itself there',
      cause,
    })
  }
}

function unreadable(path: string, error: unknown): AgentError {
  return new AgentError(`${path} cannot be read (${errorCode(error) ?? 'unknown error'})`, {
    hint: 'see that it is there, and that you may read it',
  })
}

function packedArchive(path: string): Archive {
  if (/\.(tar\.gz|tgz)$/i.test(path)) {
    return {
      list: async () => linesOf(await run('tar', ['--list', '--gzip', '--file', path], maxListBytes)),
      read: (member) =>
        run(
          'tar',
          ['--extract', '--to-stdout', '--gzip', '--file', path, '--no-wildcards', '--', member],
          maxFileBytes,
        ),
    }
  }
  if (/\.zip$/i.test(path)) {
    return {
      list: async () => linesOf(await run('unzip', ['-Z1', path], maxListBytes)),
      read: (member) => run('unzip', ['-p', path, member], maxFileBytes),
    }
  }
  throw new AgentError(`${path} is no folder, .tar.gz, .tgz or .zip`)
}

async function run(program: string, args: readonly string[], maxBuffer: number): Promise<string> {
  try {
    const options = { maxBuffer, timeout: withinMs, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } }
    return (await promisify(execFile)(program, [...args], options)).stdout
  } catch (cause) {
    const isMissing = errorCode(cause) === 'ENOENT'
    throw new AgentError(isMissing ? `there is no ${program} on this machine` : 'the archive cannot be read', {
      hint: isMissing ? `apt-get install ${program}, or give the folder` : `see what ${program} says of it`,
      cause,
    })
  }
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '' && !line.endsWith('/'))
}
