import { readFile, stat } from 'node:fs/promises'

import { AgentError } from '../lib/errors.ts'
import type { ServiceUser } from './file-access.ts'
import type { RunProgram } from './run-program.ts'
import { sandboxOf } from './service-sandbox.ts'
import type { UnitFacts } from './service-unit.ts'

/** What passwd(5) and group(5) say. */
export interface UserFiles {
  readonly passwd: string
  readonly group: string
}

export interface ServiceUserDeps {
  readonly unit: UnitFacts | undefined
  readonly stateFolder: string
  readonly run: RunProgram
  readonly readFiles?: () => Promise<UserFiles>
}

const usualUser = 'panorama-agent'

/**
 * Whom the agent runs as: the user of the unit; where there is no unit, the owner of the state folder, or else the user that the
 * package makes. Undefined where there is none of these. Throws an AgentError when the unit's user does not exist.
 */
export async function serviceUser(deps: ServiceUserDeps, signal: AbortSignal): Promise<ServiceUser | undefined> {
  const { unit, stateFolder, readFiles = readUserFiles } = deps
  const files = await readFiles()
  if (unit === undefined || unit.load === 'not-found') return await ownerOf(stateFolder, files)
  const { settings, groups } = unit
  const user = await ofUnit(unit.user === '' ? 'root' : unit.user, { ...deps, files }, signal)
  const primary = settings.group === '' ? user.gid : groupId(files, settings.group)
  const named = groups.map((group) => groupId(files, group))
  const gids = [primary, ...groupsOf(files, user.name), ...named].filter((gid) => gid !== undefined)
  return { name: user.name, uid: user.uid, gids, sandbox: sandboxOf(unit) }
}

async function ownerOf(stateFolder: string, files: UserFiles): Promise<ServiceUser | undefined> {
  const owner = await stat(stateFolder).catch(() => undefined)
  if (owner === undefined) {
    const usual = account(files.passwd, usualUser)
    return usual && { ...usual, gids: [usual.gid, ...groupsOf(files, usual.name)] }
  }
  const { uid, gid } = owner
  const entry = entries(files.passwd).find(({ fields }) => Number(fields[2]) === uid)
  if (entry === undefined) return { name: `user ${uid}`, uid, gids: [gid] }
  return { name: entry.name, uid, gids: [Number(entry.fields[3]), ...groupsOf(files, entry.name)] }
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

async function ofUnit(
  name: string,
  { files, run }: Pick<ServiceUserDeps, 'run'> & { readonly files: UserFiles },
  signal: AbortSignal,
): Promise<Account> {
  const known = account(files.passwd, name) ?? account((await run('getent', ['passwd', name], signal)).stdout, name)
  if (known !== undefined) return known
  throw new AgentError(`there is no user ${name}, which panorama-agent.service runs as: it cannot start`, {
    hint: 'make it: systemd-sysusers; or install the package again',
  })
}

function account(passwd: string, name: string): Account | undefined {
  const found = entries(passwd).find((entry) => entry.name === name || entry.fields[2] === name)
  return found && { name: found.name, uid: Number(found.fields[2]), gid: Number(found.fields[3]) }
}

function groupsOf({ group }: UserFiles, user: string): readonly number[] {
  return entries(group).flatMap(({ fields }) =>
    (fields[3] ?? '').split(',').includes(user) ? [Number(fields[2])] : [],
  )
}

function groupId({ group }: UserFiles, name: string): number | undefined {
  const found = entries(group).find((entry) => entry.name === name || entry.fields[2] === name)
  return found && Number(found.fields[2])
}

interface Entry {
  readonly name: string
  readonly fields: readonly string[]
}

function entries(text: string): readonly Entry[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(':')
    const [name = ''] = fields
    return fields.length < 4 ? [] : [{ name, fields }]
  })
}

async function readUserFiles(): Promise<UserFiles> {
  const read = async (path: string): Promise<string> => await readFile(path, 'utf8').catch(() => '')
  return { passwd: await read('/etc/passwd'), group: await read('/etc/group') }
}
