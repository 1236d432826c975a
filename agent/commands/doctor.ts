import { resolve } from 'node:path'
import { styleText } from 'node:util'

import { agentVersion } from '../build-info.ts'
import { openBase, readUnprovisioned } from '../config/base-document.ts'
import {
  defaultRuntimeFolder,
  defaultStateFolder,
  type Config,
  type UnprovisionedConfig,
} from '../config/config-schema.ts'
import { configWarnings } from '../config/config-warnings.ts'
import { ConfigError } from '../config/config-error.ts'
import { loadPaths } from '../config/load-config.ts'
import type { ConfigurationFacts } from '../doctor/configuration-check.ts'
import { doctorReport } from '../doctor/doctor-report.ts'
import { renderDoctor } from '../doctor/render-doctor.ts'
import { runChecks } from '../doctor/run-checks.ts'
import { createDoctor, doctorUser, type DoctorOverrides } from '../composition/doctor/doctor-checks.ts'
import { withDeadline } from '../lib/abort.ts'
import { AgentError, DeadlineError, errorCode, reportError } from '../lib/errors.ts'
import type { CommandContext } from './command-context.ts'
import { readConfiguration } from './read-configuration.ts'
import { isTerminal } from './verify-progress.ts'

export interface DoctorCommand {
  readonly configFile: string
  readonly json: boolean
  readonly overrides?: DoctorOverrides
}

const withinMs = 50_000
/** A disk that does not answer holds nothing up. */
const readWithinMs = 5_000
/** An appliance is not well as long as nobody knows these. They are skipped only where they may not be looked at. */
const vitalChecks = new Set(['configuration', 'reset', 'identity', 'claim', 'serial'])
const clearLine = '\r\u001b[K'

/**
 * `panorama-agent doctor [--json]`: looks at all that the agent needs and says what is wrong, within a minute. Needs no running
 * agent. Throws when anything failed, and when configuration or identity could not be looked at.
 */
export async function doctor(
  { configFile, json, overrides = {} }: DoctorCommand,
  context: CommandContext,
): Promise<void> {
  const { signal, stdout, stderr, service } = context
  const at = new Date().toISOString()
  const { paths, ...looked } = await lookAtConfiguration(configFile, signal)
  const usualFolders = paths ?? { state: defaultStateFolder, runtime: defaultRuntimeFolder }
  const configuration = { ...looked.configuration, file: resolve(configFile) }
  using doctor = await createDoctor(
    { ...looked, configuration, usualFolders, proxyEnvironment: service.proxy, overrides },
    signal,
  )
  const { checks } = doctor
  const progress = progressOn(stderr, checks.length)
  const findings = await runChecks(checks, { signal, withinMs, onEnded: progress.ended }).finally(progress.clear)
  const report = doctorReport({ at, agent: agentVersion, user: doctorUser() }, findings)
  stdout.write(json ? `${JSON.stringify(report)}\n` : renderDoctor(report, renderOptions(stdout)))
  const { fail } = report.counts
  if (fail > 0) throw new AgentError(`${fail} ${fail === 1 ? 'check' : 'checks'} failed`)
  const unknown = findings.filter(({ id, level }) => level === 'skip' && vitalChecks.has(id)).map(({ name }) => name)
  if (unknown.length === 0) return
  const hint = "run this as root or as the agent's user"
  throw new AgentError(`it is not known whether all is well: ${unknown.join(', ')} could not be looked at`, { hint })
}

interface LookedAt {
  readonly configuration: ConfigurationFacts
  readonly config: Config | undefined
  readonly unprovisioned?: UnprovisionedConfig
  /** Where the agent is, of a file that could be read as far as that. */
  readonly paths?: Config['paths'] | undefined
  readonly guess?: string | undefined
}

/** The configuration that the agent would start with, which need not be what stands in the file. */
async function lookAtConfiguration(file: string, signal: AbortSignal): Promise<LookedAt> {
  try {
    const deadline = { signal, withinMs: readWithinMs, what: 'reading the configuration' }
    const unprovisioned = await withDeadline(deadline, async () => await readUnprovisioned(file))
    if (unprovisioned !== undefined) {
      const what = `${file}, of an appliance that has no identity yet`
      return {
        config: undefined,
        unprovisioned,
        configuration: { what, faults: [], warnings: configWarnings(unprovisioned) },
      }
    }
    const made = await withDeadline(deadline, async () => await readConfiguration(file))
    const { config, version, overlayWarning } = made
    const over = version === undefined ? '' : ` with configuration version ${version.number} over it`
    const warnings = [...overlayWarning, ...configWarnings(config)]
    return { config, configuration: { what: `${file}${over}`, faults: [], warnings } }
  } catch (error) {
    signal.throwIfAborted()
    return await whatIsAtFault(file, error)
  }
}

async function whatIsAtFault(file: string, error: unknown): Promise<LookedAt> {
  const { message, hint } = reportError(error)
  const faults =
    error instanceof ConfigError ? error.faults : [{ path: '', message, ...(hint === undefined ? {} : { hint }) }]
  const paths = error instanceof DeadlineError ? undefined : await loadPaths(file).catch(() => undefined)
  if (isDenied(error)) {
    const unseen = paths === undefined ? file : `the identity in ${paths.state}, which ${file} needs,`
    const guess = paths === undefined ? `where the agent of ${file} would answer is not known` : undefined
    return { config: undefined, paths, guess, configuration: { what: file, faults, warnings: [], unseen } }
  }
  const copy =
    error instanceof DeadlineError ? undefined : await openBase(file, defaultStateFolder).catch(() => undefined)
  const fallback =
    copy === undefined
      ? undefined
      : 'what follows is of the last configuration without a fault, which the agent would use'
  return { config: copy?.config, paths, configuration: { what: file, faults, warnings: [], fallback } }
}

/** Whoever runs this may not read what is needed. */
function isDenied(error: unknown): boolean {
  const code = errorCode(error)
  if (code === 'EACCES' || code === 'EPERM') return true
  return error instanceof ConfigError && error.faults.some(({ message }) => /\((EACCES|EPERM)\)/.test(message))
}

function renderOptions(stdout: NodeJS.WritableStream) {
  if (!isTerminal(stdout)) return {}
  const columns = 'columns' in stdout && typeof stdout.columns === 'number' ? stdout.columns : undefined
  return {
    columns,
    paint: (color: Parameters<typeof styleText>[0], text: string) => styleText(color, text, { stream: stdout }),
  }
}

/** One line on a terminal, gone when it is over. */
function progressOn(stderr: NodeJS.WritableStream, total: number) {
  const isShown = isTerminal(stderr)
  let done = 0
  return {
    ended: (): void => {
      done += 1
      if (isShown) stderr.write(`${clearLine}${done} of ${total} checks done`)
    },
    clear: (): void => {
      if (isShown) stderr.write(clearLine)
    },
  }
}
