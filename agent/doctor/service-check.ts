import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'
import type { UnitFacts } from './service-unit.ts'

/** A part of the running agent that is not well, in its own words. */
export interface PartFault {
  readonly name: string
  readonly state: string
  readonly message: string
  readonly hint?: string | undefined
  /** Whether the agent is of no use before that is mended. */
  readonly isGrave?: boolean
}

/** Of the running agent to AWS IoT Core. */
export interface AgentConnection {
  readonly state: string
  readonly message?: string | undefined
  readonly hint?: string | undefined
}

/** Whether an agent answers on its socket. */
export type RunningAgent =
  | {
      readonly kind: 'answers'
      readonly version: string
      readonly faults: readonly PartFault[]
      readonly connection: AgentConnection | undefined
      /** Which proxy it goes by, if by any: host and port. Undefined where it does not tell. */
      readonly network?: { readonly proxy?: string } | undefined
    }
  | { readonly kind: 'none' }
  /** Whether one runs is not known, or nothing of it but that it hangs. */
  | {
      readonly kind: 'unknown'
      readonly text: string
      readonly hint?: string | undefined
      readonly isHung?: boolean
    }

export type ReadUnit = (signal: AbortSignal) => Promise<UnitFacts | undefined>

const unit = 'panorama-agent.service'
const requestUnit = 'panorama-agent-request.path'
const manyRestarts = 3
const shownFaults = 8

/** How systemd has the service. */
export function serviceCheck(readUnit: ReadUnit): Check {
  return {
    id: 'service',
    name: 'service',
    withinMs: 8_000,
    run: async (signal) => [serviceOutcome(await readUnit(signal))],
  }
}

/** What watches for requests to root: without it nothing reboots, runs a hook or sets the clock. */
export function requestHandlerCheck(readUnit: ReadUnit): Check {
  return {
    id: 'service.requests',
    name: 'requests to root',
    withinMs: 8_000,
    run: async (signal) => [requestOutcome(await readUnit(signal))],
  }
}

/** What the agent that runs says of itself. */
export function runningAgentCheck(read: (signal: AbortSignal) => Promise<RunningAgent>): Check {
  return {
    id: 'agent',
    name: 'running agent',
    withinMs: 12_000,
    run: async (signal) => agentOutcomes(await read(signal)),
  }
}

export function serviceOutcome(facts: UnitFacts | undefined): Outcome {
  if (facts === undefined) return skip('systemd cannot be asked here')
  const { load, active, sub, result, restarts, settings } = facts
  if (load === 'not-found') return skip(`there is no ${unit} on this machine`)
  if (load === 'masked') return fail(`${unit} is masked: it cannot start`, `systemctl unmask ${unit}`)
  if (load !== 'loaded') return fail(`${unit} cannot be loaded: ${load}`, `systemd-analyze verify ${unit}`)
  const times = restarts === 0 ? 'never restarted' : `restarted ${restarts} ${restarts === 1 ? 'time' : 'times'}`
  const text = `${unit} is ${active} (${sub}), ${times}`
  if (active === 'failed')
    return fail(`${text}: ${result}`, `journalctl -u ${unit} -n 50, then systemctl restart ${unit}`)
  if (active === 'activating' && sub === 'auto-restart')
    return fail(`${text}: it keeps ending (${result})`, `journalctl -u ${unit} -n 50`)
  if (settings.unitFileState === 'disabled')
    return fail(`${text}, and does not start when the appliance does: it is disabled`, `systemctl enable ${unit}`)
  if (active === 'inactive') return warn(text, `systemctl enable --now ${unit}`)
  if (restarts >= manyRestarts) return warn(text, `journalctl -u ${unit} says what ended it`)
  return pass(text)
}

export function requestOutcome(facts: UnitFacts | undefined): Outcome {
  if (facts === undefined) return skip('systemd cannot be asked here')
  if (facts.load === 'not-found') return skip(`there is no ${requestUnit} on this machine`)
  if (facts.active === 'active') return pass(`${requestUnit} is active`)
  return warn(
    `${requestUnit} is ${facts.active}: nobody reboots, runs hooks or sets the clock for the agent`,
    `systemctl enable --now ${requestUnit}`,
  )
}

export function agentOutcomes(agent: RunningAgent): readonly Outcome[] {
  if (agent.kind === 'none') return [skip('no agent runs with this configuration')]
  if (agent.kind === 'unknown') return [(agent.isHung === true ? fail : skip)(agent.text, agent.hint)]
  const { version } = agent
  const faults = agent.faults.toSorted((one, other) => Number(other.isGrave ?? false) - Number(one.isGrave ?? false))
  if (faults.length === 0) return [pass(`version ${version} runs, and says that all is well`)]
  const shown = faults.slice(0, shownFaults).map(({ name, state, message, hint, isGrave = false }) => ({
    ...(isGrave ? fail : warn)(`is ${state}: ${message}`, hint),
    about: name,
  }))
  if (faults.length === shown.length) return shown
  return [...shown, warn(`${faults.length - shown.length} more parts of it are not well`, 'panorama-agent status')]
}
