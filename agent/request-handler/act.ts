import { lstatSync } from 'node:fs'
import { join } from 'node:path'

import { done, type Outcome } from './outcome.ts'
import type { RootRequest } from './parse-request.ts'
import { runProgram } from './run-program.ts'
import { setClock } from './set-clock.ts'
import type { SystemClock } from './system-clock.ts'
import { confirmUpdate } from './update/confirm-update.ts'
import { installUpdate, type InstallUpdateOptions } from './update/install-update.ts'
import { isTrustedFile, isTrustedFolder, readTrustedList } from './trusted-list.ts'

/** What root acts with; only tests name anything but the real thing. */
export interface ActOptions extends InstallUpdateOptions {
  readonly clock: SystemClock
  readonly releasedAtMs: number
  /** Default 300 s. */
  readonly hookWithinMs?: number
}

const systemctlWithinMs = 90_000
const hookWithinMs = 300_000

/**
 * Does what a request asks for, where the image allows it. `reboot` takes no argument and needs no list. `restart-unit`
 * and `run-hook` take a name out of `allowed/<verb>`. `set-clock` takes any believable time, but only where the file
 * `allowed/set-clock` is there, whatever it lists. `install-update` takes the name of an artifact out of
 * `allowed/install-update`, with more behind a colon; `confirm-update` only ends what that began.
 */
export async function act(request: RootRequest & { writtenMs: number }, options: ActOptions): Promise<Outcome> {
  const { verb, argument, writtenMs } = request
  const refusal = whyNot(request, options)
  if (refusal !== undefined) return { result: 'refused', code: refusal }
  switch (verb) {
    case 'reboot':
      return await systemctl(['reboot'], options)
    case 'restart-unit':
      return await systemctl(['restart', '--', argument], options)
    case 'run-hook':
      return await runHook(argument, options)
    case 'set-clock':
      return setClock({ argument, writtenMs, releasedAtMs: options.releasedAtMs }, options.clock)
    case 'install-update':
      return await installUpdate(argument, options)
    case 'confirm-update':
      return confirmUpdate(argument, options)
  }
}

function whyNot({ verb, argument }: RootRequest, { configFolder, owner }: ActOptions): string | undefined {
  if (verb === 'reboot' || verb === 'confirm-update') return undefined
  if (!isTrustedFolder(configFolder, owner)) return 'list-not-trusted'
  const list = readTrustedList(join(configFolder, 'allowed'), verb, owner)
  if (typeof list === 'string') return list
  const [name = ''] = verb === 'install-update' ? argument.split(':') : [argument]
  return verb === 'set-clock' || list.has(name) ? undefined : 'argument-not-allowed'
}

/**
 * Waits for the job, so that `done` means done. A restart of the agent itself is no exception: this is another unit, and
 * ends with its answer whatever happens to the agent.
 */
async function systemctl(args: readonly string[], { systemctl: file, print }: ActOptions): Promise<Outcome> {
  return outcomeOf(
    await runProgram({
      file,
      args,
      withinMs: systemctlWithinMs,
      onLine: (line) => {
        print(`systemctl: ${line}`)
      },
    }),
  )
}

/** The folders above are root's alone, so that nobody can put another file in the hook's place after it was looked at. */
async function runHook(name: string, options: ActOptions): Promise<Outcome> {
  const { configFolder, owner, print } = options
  const folder = join(configFolder, 'hooks')
  if (!isTrustedFolder(folder, owner)) return { result: 'refused', code: 'hook-not-trusted' }
  const file = join(folder, name)
  const found = lstatSync(file, { throwIfNoEntry: false })
  if (found === undefined) return { result: 'failed', code: 'hook-missing' }
  if (!isTrustedFile(found, owner)) return { result: 'refused', code: 'hook-not-trusted' }
  return outcomeOf(
    await runProgram({
      file,
      args: [],
      withinMs: options.hookWithinMs ?? hookWithinMs,
      onLine: (line) => {
        print(`hook ${name}: ${line}`)
      },
    }),
  )
}

function outcomeOf(fault: string | undefined): Outcome {
  return fault === undefined ? done : { result: 'failed', code: fault }
}
