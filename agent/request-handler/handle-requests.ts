import { act, type ActOptions } from './act.ts'
import { done, type Outcome } from './outcome.ts'
import { parseRequest, type RootRequest } from './parse-request.ts'
import { readRequestFile } from './read-request.ts'
import { RequestFolders, type RequestFoldersOptions } from './request-folders.ts'
import { printable } from './run-program.ts'
import { resumeUpdate } from './update/resume-update.ts'

export interface HandlerOptions extends ActOptions, RequestFoldersOptions {
  /** How long to wait for what can be neither moved nor removed. Default 60 s. */
  readonly patienceMs?: number
  /** After this no further request is begun; the path unit starts the next run. Default 200 s. */
  readonly runMs?: number
}

/** `stuck` when something stayed that systemd starts the next run for. */
export type RunEnd = 'finished' | 'stuck'

const defaults = { patienceMs: 60_000, runMs: 200_000 }
const lookEveryMs = 1_000
const idPattern = /^([A-Za-z0-9-]{1,64})\.json$/
const shownNameLength = 80

/**
 * Handles what waits, one after the other, oldest first, until nothing does. Everything leaves the folder before it is
 * looked at, so that no failure can start the next run. What cannot leave would make the path unit start runs in a
 * tight loop: then this one stays, goes on serving the others, and only after a minute ends with `stuck`. First of all an
 * update goes on that a run before was cut off at.
 */
export async function handleRequests(options: HandlerOptions): Promise<RunEnd> {
  const { patienceMs, runMs } = { ...defaults, ...options }
  const isResumed = await resumed(options)
  using folders = new RequestFolders(options)
  const startedMs = performance.now()
  const told = new Set<string>()
  for (;;) {
    const stuck = await handleWaiting(folders, options, startedMs + runMs)
    if (stuck.length === 0) return isResumed ? 'finished' : 'stuck'
    for (const name of stuck) {
      if (!told.has(name)) options.print(`${name}: it can be neither moved nor removed`)
      told.add(name)
    }
    if (performance.now() - startedMs > patienceMs) return 'stuck'
    await new Promise((resolve) => setTimeout(resolve, Math.min(lookEveryMs, patienceMs)))
  }
}

/** Whether no update waits for its runner any more. The requests are served all the same. */
async function resumed(options: HandlerOptions): Promise<boolean> {
  try {
    await resumeUpdate(options)
    return true
  } catch (error) {
    options.print(`update: ${reason(error)}`)
    return false
  }
}

async function handleWaiting(
  folders: RequestFolders,
  options: HandlerOptions,
  untilMs: number,
): Promise<readonly string[]> {
  const stuck: string[] = []
  for (const name of folders.waiting()) {
    if (performance.now() > untilMs) break
    using taken = new DisposableStack()
    const entry = folders.take(name)
    if (entry === 'stuck') stuck.push(shown(name))
    if (entry === 'removed')
      options.print(`${shown(name)}: removed unread: it cannot be moved to ${options.workFolder}`)
    if (typeof entry !== 'string') await handleOne(name, taken.use(entry).path, { folders, options })
  }
  return stuck
}

interface Context {
  readonly folders: RequestFolders
  readonly options: HandlerOptions
}

async function handleOne(name: Buffer, path: Buffer, context: Context): Promise<void> {
  const { folders, options } = context
  const id = idPattern.exec(name.toString('latin1'))?.[1]
  const request = id === undefined ? 'bad-id' : readRequest(path, folders.agentUid)
  if (typeof request === 'string') {
    conclude({ id, what: shown(name) }, { result: 'refused', code: request }, context)
    return
  }
  const told = { id, what: `${shown(name)} ${request.verb} ${request.argument}`.trimEnd() }
  // there may be no time for it after
  if (request.verb === 'reboot') conclude(told, done, context)
  const outcome = await act(request, options).catch((error: unknown) => unforeseen(error, options))
  if (request.verb !== 'reboot' || outcome.result !== 'done') conclude(told, outcome, context)
}

function readRequest(path: Buffer, agentUid: number): (RootRequest & { writtenMs: number }) | string {
  const file = readRequestFile(path, agentUid)
  if (typeof file === 'string') return file
  const parsed = parseRequest(file.bytes)
  return typeof parsed === 'string' ? parsed : { ...parsed, writtenMs: file.modifiedMs }
}

/** One line in the journal, and the answer; a request without a proper id gets none. */
function conclude(
  { id, what }: { readonly id: string | undefined; readonly what: string },
  outcome: Outcome,
  { folders, options }: Context,
): void {
  options.print(`request ${what}: ${outcome.result} ${outcome.code}`)
  if (id === undefined) return
  try {
    folders.answer(id, outcome)
  } catch (error) {
    options.print(`request ${what}: the answer cannot be given (${reason(error)})`)
  }
}

function unforeseen(error: unknown, { print }: HandlerOptions): Outcome {
  print(`unforeseen: ${reason(error)}`)
  return { result: 'failed', code: 'internal-error' }
}

function reason(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error))
}

function shown(name: Buffer): string {
  return printable(name.toString('latin1').slice(0, shownNameLength)).replaceAll(' ', '?')
}
