import { access, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { runCommand } from '../../support/run-command.ts'
import { ControlGroup } from './control-group.ts'
import { removeTree } from './root-file-system.ts'

/** Folders and control groups of the system tests are named so; the number of the process that owns them follows. */
export const ownedPrefix = 'panorama-agent-system-'

/** What is left of runs whose process has ended; `isOurs` says which of the others count too. */
export async function findLeftovers(isOurs: (pid: number) => boolean): Promise<readonly string[]> {
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith(ownedPrefix))
  const groups = await ControlGroup.named(ownedPrefix)
  const orphans: string[] = []
  for (const name of new Set([...folders, ...groups])) {
    const pid = Number(name.slice(ownedPrefix.length).split('-')[0])
    if (isOurs(pid) || !(await isRunning(pid))) orphans.push(name)
  }
  return orphans
}

/** Ends and removes what a killed run could not. */
export async function removeLeftovers(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const group = await ControlGroup.make(name)
    await group[Symbol.asyncDispose]()
    const folder = join(tmpdir(), name)
    for (const mount of await mountsBelow(folder)) await runCommand('umount', ['--lazy', mount])
    await removeTree(folder)
  }
}

/** What is mounted in a folder, innermost first. */
async function mountsBelow(folder: string): Promise<readonly string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')
  const points = lines.map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${folder}/`))
  return points.toReversed()
}

async function isRunning(pid: number): Promise<boolean> {
  return await access(`/proc/${pid}`).then(
    () => true,
    () => false,
  )
}
