import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { runProgram } from '../run-program.ts'
import { packageFacts, packageName } from './packages.ts'
import { hasRoom } from './room.ts'
import type { UpdatePlaces } from './update-places.ts'

export interface DpkgOptions {
  readonly update: UpdatePlaces
  readonly print: (line: string) => void
  /** How long to wait for somebody else who has dpkg's lock. Default 15 minutes. */
  readonly lockWithinMs?: number
  /** Default 5 s. */
  readonly lockPollMs?: number
}

const dpkgWithinMs = 900_000
const lockWithinMs = 900_000
const lockPollMs = 5_000
const locked = / (was|is) locked by /
const quiet = { DEBIAN_FRONTEND: 'noninteractive' }

/** Installs a file; answers what dpkg said last where it did not end well. */
export async function installWithDpkg(file: string, options: DpkgOptions): Promise<string | undefined> {
  return await dpkg(['--force-confold', '--force-confdef', '--install', file], options)
}

/** Finishes what a power cut has left. What of it cannot be finished is mended by installing again, or is not ours. */
export async function finishInterrupted(options: DpkgOptions): Promise<void> {
  await dpkg(['--configure', '-a', '--force-confold', '--force-confdef'], options)
}

/**
 * Takes away the scripts that dpkg runs before it replaces or removes the version that is there: they are its own, and may be
 * what fails.
 */
export function forgetLeavingScripts({ update: { dpkgFolder } }: DpkgOptions): void {
  for (const name of ['prerm', 'postrm']) rmSync(join(dpkgFolder, 'info', `${packageName}.${name}`), { force: true })
}

/**
 * The last resort: the files of a package, whatever dpkg thinks of it. Answers why not, where there is no room for all of them:
 * tar takes away what is there before it writes, and half of a program is worse than another version of it.
 */
export async function unpackOver(file: string, { update, print }: DpkgOptions): Promise<string | undefined> {
  const facts = await packageFacts(file, update)
  if (facts === undefined) return 'its package cannot be read'
  if (!hasRoom(update.programs, facts.kilobytes)) return 'there is no room to unpack its files'
  const run = async (program: string, args: readonly string[]): Promise<string | undefined> =>
    await runProgram({ file: program, args, withinMs: dpkgWithinMs, onLine: print })
  const fault = await run(update.dpkgDeb, ['--extract', file, update.root])
  await run('sync', ['--file-system', update.root, update.programs]) // tar does not
  return fault === undefined ? undefined : `its files cannot be unpacked: ${fault}`
}

/** Whether dpkg was cut off before it could write down what it did. */
export function isInterrupted({ update: { dpkgFolder } }: DpkgOptions): boolean {
  const updates = join(dpkgFolder, 'updates')
  return existsSync(updates) && readdirSync(updates).length > 0
}

async function dpkg(args: readonly string[], options: DpkgOptions): Promise<string | undefined> {
  const { update, print } = options
  const endMs = performance.now() + (options.lockWithinMs ?? lockWithinMs)
  for (;;) {
    const lines: string[] = []
    const fault = await runProgram({
      file: update.dpkg,
      args,
      withinMs: dpkgWithinMs,
      env: quiet,
      onLine: (line) => {
        lines.push(line)
        print(`dpkg: ${line}`)
      },
    })
    if (fault === undefined) return undefined
    const isLocked = lines.some((line) => locked.test(line))
    if (!isLocked || performance.now() > endMs) return `dpkg: ${told(lines) ?? fault}`
    print('somebody else has the lock of dpkg: waiting')
    await delay(options.lockPollMs ?? lockPollMs)
  }
}

/** What went wrong is told first; what follows are its consequences. */
function told(lines: readonly string[]): string | undefined {
  return lines.find((line) => /error|dependency problems/i.test(line)) ?? lines.at(-1)
}
