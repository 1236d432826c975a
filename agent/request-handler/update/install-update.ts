import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { done, type Outcome } from '../outcome.ts'
import { runProgram } from '../run-program.ts'
import type { Owner } from '../trusted-list.ts'
import { installedPackage, isNewer, packageFacts, packageName, versionSyntax } from './packages.ts'
import { isNoSpace } from './durable.ts'
import { hasRoom } from './room.ts'
import { isSignedBy, readUpdateKeys } from './signature.ts'
import { takeIn } from './take-in.ts'
import { placeRunner, removeRunner, runnerUnit } from './trial-runner.ts'
import { UpdateFolder } from './update-folder.ts'
import type { UpdatePlaces } from './update-places.ts'

export interface InstallUpdateOptions {
  /** `/etc/panorama-agent`: `allowed/`, `hooks/` and `update-keys/` in it say what root is willing to do. */
  readonly configFolder: string
  readonly owner: Owner
  readonly systemctl: string
  readonly update: UpdatePlaces
  /** Writes one line to the journal. */
  readonly print: (line: string) => void
}

const argumentPattern = new RegExp(
  `^([A-Za-z0-9][A-Za-z0-9._-]{0,63})(?::(\\d{1,4})(?::([A-Za-z0-9]{8,32})(?::(${versionSyntax}))?)?)?$`,
)
const versionPattern = new RegExp(`^${versionSyntax}$`)
const confirmSeconds = { least: 10, most: 3_600, default: 600 }
const maxBytes = 268_435_456
const systemctlWithinMs = 30_000
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/**
 * `ARTIFACT[:SECONDS[:ID[:VERSION]]]`: puts the signed package in the current release of that artifact on trial, which must
 * confirm itself within so many seconds, and which has to be of that version where one is named. Answers once everything
 * is in place and the trial begins; what comes of it is in `last-update.json`, under the id. An id is taken once. Whatever
 * is refused has changed nothing.
 */
export async function installUpdate(argument: string, options: InstallUpdateOptions): Promise<Outcome> {
  const request = parse(argument)
  if (request === undefined) return refused('bad-argument')
  const folder = new UpdateFolder(options.update.folder, options.owner)
  const before = folder.trial()
  if (before !== undefined) return before.id === request.id ? done : refused('update-under-way')
  if (folder.hasOtherTrial()) return refused('update-under-way')
  if (folder.lastId() === request.id) return refused('asked-before')
  try {
    if (!(await isRunnerGone(options))) return refused('update-under-way')
    folder.clearIncoming()
    return await tryOut(request, { ...options, folder })
  } catch (error) {
    giveUp({ ...options, folder })
    if (!isNoSpace(error)) throw error
    return { result: 'failed', code: 'no-space' }
  } finally {
    folder.clearIncoming()
  }
}

interface Request {
  readonly artifact: string
  readonly seconds: number
  readonly id: string
  /** What the package has to be of. */
  readonly version: string | undefined
}

type Context = InstallUpdateOptions & { readonly folder: UpdateFolder }

function parse(argument: string): Request | undefined {
  const [, artifact, text, id = randomBytes(8).toString('hex'), version] = argumentPattern.exec(argument) ?? []
  const seconds = text === undefined ? confirmSeconds.default : Number(text)
  if (artifact === undefined || seconds < confirmSeconds.least || seconds > confirmSeconds.most) return undefined
  return { artifact, seconds, id, version }
}

async function tryOut(request: Request, context: Context): Promise<Outcome> {
  const verified = await verifiedPackage(request, context)
  if (verified === 'no-space') return { result: 'failed', code: verified }
  if (typeof verified === 'string') return refused(verified)
  const { folder, update } = context
  const installed = await installedPackage(update)
  if (installed === undefined) return refused('not-installed')
  if (installed.version === verified.version && isSameFile(verified.deb, folder.installed))
    return { result: 'done', code: 'already-installed' }
  if (!(await isNewer(verified.version, installed.version, update))) return refused('not-newer')
  const wayBack = await packageFacts(folder.installed, update)
  if (wayBack?.name !== packageName || wayBack.version !== installed.version) return refused('no-way-back')
  if (!hasRoom(update.programs, verified.kilobytes)) return { result: 'failed', code: 'no-space' }
  folder.stage(verified.deb)
  return await begin({ from: installed.version, to: verified.version, request }, context)
}

interface VerifiedPackage {
  readonly deb: string
  readonly version: string
  readonly kilobytes: number
}

/** Nothing looks into the package before its signature holds, and what is looked into is root's copy. */
async function verifiedPackage({ artifact, version }: Request, context: Context): Promise<VerifiedPackage | string> {
  const { configFolder, owner, print, update, folder } = context
  const keys = readUpdateKeys(configFolder, owner, print)
  if (typeof keys === 'string') return keys
  const architecture = architectures[process.arch] ?? process.arch
  const { artifacts } = update
  const taken = takeIn({ artifacts, name: artifact, architecture, incoming: folder.incoming, maxBytes })
  if (typeof taken === 'string') return taken
  if (!isSignedBy(keys, readFileSync(taken.deb), readFileSync(taken.signature))) return 'bad-signature'
  const facts = await packageFacts(taken.deb, update)
  if (facts === undefined) return 'not-a-package'
  if (facts.name !== packageName) return 'other-package'
  if (facts.architecture !== architecture) return 'other-architecture'
  if (!versionPattern.test(facts.version)) return 'bad-version'
  if (facts.version !== taken.version) return 'version-not-as-named'
  if (version !== undefined && facts.version !== version) return 'unexpected-version'
  return { deb: taken.deb, version: facts.version, kilobytes: facts.kilobytes }
}

/**
 * The runner is in place before there is anything for it to do, so that a boot in between finds it; and that it has to be
 * started is on disk before the trial is, so that resumeUpdate does it where this process is cut off.
 */
async function begin(
  { from, to, request }: { readonly from: string; readonly to: string; readonly request: Request },
  context: Context,
): Promise<Outcome> {
  const { folder, print, update, systemctl } = context
  placeRunner(update, folder)
  if ((await callSystemctl(['daemon-reload'], context)) !== undefined) print('systemctl daemon-reload failed')
  const { id, seconds } = request
  folder.startIsDue()
  folder.save({ version: 1, id, from, to, confirmSeconds: seconds, phase: 'installing', begun: 0 })
  const fault = await startRunner(context)
  if (fault === undefined) {
    startIsMade(context)
    print(`update ${id}: from ${from} to ${to}, to be confirmed within ${seconds} s`)
    return done
  }
  print(`${systemctl}: ${runnerUnit} cannot be started`)
  giveUp(context)
  return { result: 'failed', code: fault }
}

/** What runs is not given up for a file that cannot be removed: the next run sees to that. */
function startIsMade({ folder, print }: Context): void {
  try {
    folder.startIsMade()
  } catch {
    print('that the update has begun cannot be written down')
  }
}

/**
 * The runner of a trial that has ended is still there while it tidies up, and would take away what the next trial needs;
 * and a unit that is active is not started again.
 */
async function isRunnerGone({ systemctl: file }: InstallUpdateOptions): Promise<boolean> {
  const onLine = (): void => undefined // that there is no such unit is the rule
  return (await runProgram({ file, args: ['stop', runnerUnit], withinMs: systemctlWithinMs, onLine })) !== 'timed-out'
}

/** A systemctl that failed, or took too long, may have started it all the same: what counts is whether it has begun. */
async function startRunner(context: Context): Promise<string | undefined> {
  const { folder } = context
  const hasBegun = (): boolean => folder.trial()?.begun !== 0
  const fault = await callSystemctl(['start', runnerUnit], context)
  if (fault === undefined || hasBegun()) return undefined
  await callSystemctl(['stop', runnerUnit], context)
  if (!hasBegun()) return fault
  await callSystemctl(['start', '--no-block', runnerUnit], context)
  return undefined
}

function giveUp({ folder, update }: Context): void {
  folder.abandon()
  removeRunner(update, folder)
}

async function callSystemctl(args: readonly string[], context: Context): Promise<string | undefined> {
  const { systemctl: file, print } = context
  const onLine = (line: string): void => {
    print(`systemctl: ${line}`)
  }
  return await runProgram({ file, args, withinMs: systemctlWithinMs, onLine })
}

function isSameFile(one: string, other: string): boolean {
  try {
    return readFileSync(one).equals(readFileSync(other))
  } catch {
    return false
  }
}

function refused(code: string): Outcome {
  return { result: 'refused', code }
}
