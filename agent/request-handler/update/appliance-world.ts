import { setTimeout as delay } from 'node:timers/promises'

import { AgentUnit } from './agent-unit.ts'
import { removeDurably } from './durable.ts'
import {
  finishInterrupted,
  forgetLeavingScripts,
  installWithDpkg,
  isInterrupted,
  unpackOver,
  type DpkgOptions,
} from './dpkg-install.ts'
import { FailedStarts } from './failed-starts.ts'
import { installedPackage } from './packages.ts'
import type { TrialWorld } from './run-trial.ts'
import type { Trial, TrialEvent } from './trial.ts'
import { removeRunner } from './trial-runner.ts'
import type { UpdateFolder } from './update-folder.ts'

export interface ApplianceWorldOptions extends DpkgOptions {
  readonly folder: UpdateFolder
  readonly systemctl: string
  readonly nowMs: () => number
  /** How often the agent on trial is looked at; less in tests. */
  readonly lookEveryMs?: number
}

const usualLookMs = 1_000
const mostFailedStarts = 3
const shortestRestMs = 10_000
const longestRestMs = 300_000
/** From these tries on, going back is done with less and less of what may be broken. */
const withoutScriptsFrom = 2
const withoutDpkgFrom = 4

/** The trial on a real appliance: dpkg installs, systemd starts, the agent confirms by a file that root writes for it. */
export function applianceWorld(options: ApplianceWorldOptions): TrialWorld {
  const { folder, update, print, nowMs, lookEveryMs = usualLookMs } = options
  const unit = new AgentUnit(options)
  return {
    load: () => folder.trial(),
    save: (trial) => {
      print(`update ${trial.id}: ${trial.phase}${trial.reason === undefined ? '' : `, ${trial.reason}`}`)
      folder.save(trial, trial.phase === 'watching' ? uptimeMs() + trial.confirmSeconds * 1_000 : undefined)
    },
    isConfirmed: (trial) => folder.isConfirmed(trial),
    install: (trial) => install(trial, options),
    watch: (trial, signal) => watch(trial, { folder, unit, signal, lookEveryMs }),
    revert: (trial) => revert(trial, { ...options, unit }),
    rest: async ({ begun }, signal) => {
      await delay(Math.min(longestRestMs, shortestRestMs * 2 ** (begun - 2)), undefined, { signal })
    },
    settle: async (trial) => {
      if (trial === undefined) folder.abandon()
      else folder.settle(trial, nowMs())
      removeRunner(update, folder)
      await unit.reload()
    },
  }
}

/** As process.hrtime has it, which does not begin anew with each process. */
function uptimeMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n)
}

/** What was finished before a power cut is not done again: it would restart the agent once more. */
async function install({ to, begun }: Trial, options: ApplianceWorldOptions): Promise<TrialEvent> {
  if (begun > 1 || isInterrupted(options)) await finishInterrupted(options)
  if (await isInstalled(to, options)) return { kind: 'installed' }
  const fault = await installWithDpkg(options.folder.candidate, options)
  if (await isInstalled(to, options)) return { kind: 'installed' }
  return { kind: 'failed', reason: `it cannot be installed: ${fault ?? 'dpkg has another version'}` }
}

interface Watch {
  readonly folder: UpdateFolder
  readonly unit: AgentUnit
  readonly signal: AbortSignal
  readonly lookEveryMs: number
}

/** The time counts while the appliance runs; after a power cut it begins anew. */
async function watch(trial: Trial, { folder, unit, signal, lookEveryMs }: Watch): Promise<TrialEvent> {
  const endMs = performance.now() + trial.confirmSeconds * 1_000
  const starts = new FailedStarts()
  let text = ''
  while (performance.now() < endMs) {
    if (folder.isConfirmed(trial)) return { kind: 'confirmed' }
    const state = await unit.state()
    if (state !== undefined && starts.observe(state)) await unit.start()
    text = state?.text ?? text
    if (starts.count >= mostFailedStarts)
      return { kind: 'failed', reason: `it failed to start ${mostFailedStarts} times` }
    await delay(lookEveryMs, undefined, { signal })
  }
  if (folder.isConfirmed(trial)) return { kind: 'confirmed' }
  const said = text === '' ? '' : ` (${text})`
  return { kind: 'failed', reason: `not confirmed within ${trial.confirmSeconds} s${said}` }
}

/** Ends with an agent of the version before that runs, as far as that can be had. */
async function revert(
  { from, to, begun }: Trial,
  options: ApplianceWorldOptions & { readonly unit: AgentUnit },
): Promise<TrialEvent> {
  const { folder, unit } = options
  if (begun >= withoutScriptsFrom) {
    forgetLeavingScripts(options)
    await finishInterrupted(options)
  }
  const other = await installedPackage(options.update)
  if (other?.status === 'ii' && other.version !== from && other.version !== to)
    return { kind: 'replaced', version: other.version }
  let fault: string | undefined
  if (!(await isInstalled(from, options))) fault = await installWithDpkg(folder.previous, options)
  const isBack = await isInstalled(from, options)
  if (!isBack) {
    const bare = begun < withoutDpkgFrom ? undefined : await putBareFiles(options)
    return { kind: 'not-reverted', reason: [fault ?? 'dpkg has another version', ...(bare ?? [])].join('; ') }
  }
  await unit.reload()
  const state = await unit.state()
  if (state?.active !== 'active') await unit.start()
  return { kind: 'reverted' }
}

/** Answers what kept it from that. */
async function putBareFiles(
  options: ApplianceWorldOptions & { readonly unit: AgentUnit },
): Promise<readonly [string] | undefined> {
  const { folder, unit, print } = options
  removeDurably(folder.candidate) // makes room
  const fault = await unpackOver(folder.previous, options)
  if (fault === undefined) await unit.restart()
  else print(fault)
  return fault === undefined ? undefined : [fault]
}

async function isInstalled(version: string, { update }: ApplianceWorldOptions): Promise<boolean> {
  const found = await installedPackage(update)
  return found?.status === 'ii' && found.version === version
}
