import type { Stats } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { errorCode } from '../lib/errors.ts'
import { fail, type Outcome } from './doctor-check.ts'
import { sandboxFault, type Sandbox } from './service-sandbox.ts'

/** The user that the service runs as, with every group that it gets. */
export interface ServiceUser {
  readonly name: string
  readonly uid: number
  readonly gids: readonly number[]
  /** What its unit keeps from it, whatever the modes say. */
  readonly sandbox?: Sandbox | undefined
}

/** `write`: of a folder, whether files can be made in it; of what is not there, whether it can be made. */
export type FileNeed = 'read' | 'write'

/** Whether a user may do what it needs to with a file. */
export interface FileAccess {
  readonly path: string
  readonly user: string
  readonly need: FileNeed
  /** `unseen`: whoever asks may not even look there. */
  readonly access: 'allowed' | 'denied' | 'absent' | 'unseen'
  /** What denies it, as a clause, where that is not the mode of the file itself. */
  readonly why?: string
  readonly hint?: string
}

const bits = { read: 0o4, write: 0o3, search: 0o1 } as const

/**
 * Whether the service may read or write a file, by owner and mode of that and of every folder on the way, and by the sandbox of
 * its unit. Root reads everything, so that what root finds readable tells nothing of the agent. Access control lists are not
 * looked at.
 */
export async function serviceAccess(path: string, user: ServiceUser, need: FileNeed = 'read'): Promise<FileAccess> {
  return { path, user: user.name, need, ...(await judge(path, user, need)) }
}

/** What is denied; of several files that one folder keeps it from, the first. */
export function fileOutcomes(files: readonly FileAccess[]): readonly Outcome[] {
  const denied = files.filter(({ access }) => access === 'denied')
  const causes = new Map(denied.toReversed().map((file) => [file.why ?? file.path, file]))
  return denied.filter((file) => causes.get(file.why ?? file.path) === file).map(deniedOutcome)
}

export function deniedOutcome({ path, user, need, why, hint = `chown ${user} ${path}` }: FileAccess): Outcome {
  const verb = need === 'read' ? 'read' : 'written'
  return fail(
    `${path} cannot be ${verb} by ${user}, which the agent runs as${why === undefined ? '' : `: ${why}`}`,
    hint,
  )
}

type Judgement = Pick<FileAccess, 'access' | 'why' | 'hint'>

async function judge(path: string, user: ServiceUser, need: FileNeed): Promise<Judgement> {
  const fault = sandboxFault(path, need, user.sandbox)
  if (fault !== undefined) return { access: 'denied', ...fault }
  let folder = '/'
  try {
    for (folder of foldersAbove(path)) {
      const denied = way(folder, await stat(folder), user)
      if (denied !== undefined) return denied
    }
    for (const real of foldersAbove(await realpath(path))) {
      const denied = way(real, await stat(real), user)
      if (denied !== undefined) return denied
    }
    return ofItself(path, await stat(path), { user, need })
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EACCES' || code === 'EPERM') return { access: 'unseen' }
    if (need === 'read') return { access: 'absent' }
    return await ofMaking(path, user)
  }
}

function way(folder: string, found: Stats, user: ServiceUser): Judgement | undefined {
  if (!found.isDirectory()) return noFolder(folder)
  if (may(found, user, bits.search)) return undefined
  return {
    access: 'denied',
    why: `it may not pass ${folder} (mode ${modeText(found)})`,
    hint: `chmod o+x ${folder}, or give it the group of ${user.name} and mode 0750`,
  }
}

function ofItself(
  path: string,
  found: Stats,
  { user, need }: { readonly user: ServiceUser; readonly need: FileNeed },
): Judgement {
  if (need === 'write' && !found.isDirectory()) return noFolder(path)
  const needed = need === 'write' ? bits.write : found.isDirectory() ? bits.read | bits.search : bits.read
  if (may(found, user, needed)) return { access: 'allowed' }
  const hint =
    need === 'write'
      ? `chown ${user.name} ${path}`
      : `chown ${user.name} ${path}, or give it the group of ${user.name} and mode ${found.isDirectory() ? '0750' : '0640'}`
  return { access: 'denied', hint }
}

/** Of what is not there: by the nearest folder above that is. */
async function ofMaking(path: string, user: ServiceUser): Promise<Judgement> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => undefined)
    if (found === undefined && folder !== '/') continue
    if (found !== undefined && !found.isDirectory()) return noFolder(folder)
    if (found !== undefined && may(found, user, bits.write)) return { access: 'allowed' }
    const why = `it is not there, and cannot be made in ${folder}`
    return { access: 'denied', why, hint: `install -d -m 0711 -o ${user.name} ${path}` }
  }
}

function noFolder(path: string): Judgement {
  return { access: 'denied', why: `${path} is no folder`, hint: `remove ${path}, or name another folder` }
}

function may({ uid, gid, mode }: Stats, user: ServiceUser, needed: number): boolean {
  if (user.uid === 0) return true
  const given = uid === user.uid ? mode >> 6 : user.gids.includes(gid) ? mode >> 3 : mode
  return (given & needed) === needed
}

function modeText({ mode, uid }: Stats): string {
  return `${(mode & 0o7777).toString(8).padStart(4, '0')} of ${uid === 0 ? 'root' : `user ${uid}`}`
}

/** The topmost first. */
function foldersAbove(path: string): readonly string[] {
  const above = dirname(path)
  return above === path ? [] : [...foldersAbove(above), above]
}
