import { readFile, stat } from 'node:fs/promises'

import { findGroup } from '../../cameras/camera-groups.ts'
import { UnseenError } from '../../doctor/doctor-check.ts'
import { serviceAccess, type FileAccess, type ServiceUser } from '../../doctor/file-access.ts'
import { serviceUser } from '../../doctor/service-user.ts'
import type { GroupFacts } from '../../doctor/group-check.ts'
import type { CheckedIdentity } from '../../doctor/identity-check.ts'
import type { RunProgram } from '../../doctor/run-program.ts'
import type { PartFault, RunningAgent } from '../../doctor/service-check.ts'
import { readServiceVariables, type ServiceVariables } from '../../doctor/service-environment.ts'
import { readUnit, type UnitFacts } from '../../doctor/service-unit.ts'
import {
  IdentityError,
  identityPaths,
  loadIdentity,
  type Identity,
  type IdentityLocation,
} from '../../identity/identity.ts'
import { reportError } from '../../lib/errors.ts'
import { callAgent, NoAgentError, SilentAgentError, socketPathIn } from '../../status/status-client.ts'
import { isUnprovisioned } from '../../status/render-unprovisioned.ts'
import type { PartStatus, StatusDocument, StatusReport } from '../../status/status-document.ts'

/** What the machine says of the service, each asked once. */
export interface DoctorHost {
  readonly unit: (signal: AbortSignal) => Promise<UnitFacts | undefined>
  readonly requestUnit: (signal: AbortSignal) => Promise<UnitFacts | undefined>
  readonly groups: (signal: AbortSignal) => Promise<GroupFacts>
  readonly agent: (signal: AbortSignal) => Promise<RunningAgent>
  /** What the service is started with; undefined where there is no service. */
  readonly environment: (signal: AbortSignal) => Promise<ServiceVariables | undefined>
  readonly journal: (signal: AbortSignal) => ReturnType<RunProgram>
  readonly maySetClock: () => Promise<boolean>
  readonly identity: () => Promise<Identity & CheckedIdentity>
  readonly identityAccess: (signal: AbortSignal) => Promise<readonly FileAccess[]>
  /** Whom the agent runs as; undefined where that cannot be told. Throws where the unit names a user that is none. */
  readonly user: (signal: AbortSignal) => Promise<ServiceUser | undefined>
  /** Whether this process runs as that user, so that what may not be read here may not be read there. */
  readonly isServiceUser: (signal: AbortSignal) => Promise<boolean>
  /** Whether the agent may read these. */
  readonly access: (paths: readonly string[], signal: AbortSignal) => Promise<readonly FileAccess[]>
}

export interface DoctorHostOptions {
  readonly run: RunProgram
  readonly identity: IdentityLocation
  readonly paths: { readonly state: string; readonly runtime: string }
  /** Why it is not known that these folders are those of the agent. */
  readonly guess?: string | undefined
  /** How long a running agent has to answer. */
  readonly answerWithinMs?: number | undefined
}

export const serviceUnit = 'panorama-agent.service'
const statusWithinMs = 8_000
const setClockFile = '/etc/panorama-agent/allowed/set-clock'

export function doctorHost(options: DoctorHostOptions): DoctorHost {
  const { run, identity, paths } = options
  const unit = once((signal) => readUnit(serviceUnit, run, signal))
  const user = once(
    async (signal) => await serviceUser({ unit: await unit(signal), stateFolder: paths.state, run }, signal),
  )
  const isServiceUser = async (signal: AbortSignal): Promise<boolean> =>
    (await user(signal).catch(() => undefined))?.uid === process.getuid?.()
  const access = async (
    files: () => Promise<readonly string[]>,
    signal: AbortSignal,
  ): Promise<readonly FileAccess[]> => {
    const who = await user(signal).catch(() => undefined) // of which the check of files tells
    return who === undefined ? [] : await Promise.all((await files()).map((path) => serviceAccess(path, who)))
  }
  const orUnseen = async (error: unknown): Promise<never> => {
    if (await isServiceUser(AbortSignal.timeout(statusWithinMs))) throw error
    return unseenOr(error)
  }
  return {
    unit,
    requestUnit: (signal) => readUnit('panorama-agent-request.path', run, signal),
    groups: async (signal) => await readGroups(await unit(signal)),
    agent: once(async (signal) => await askAgent(options, await unit(signal), signal)),
    environment: async (signal) => {
      const facts = await unit(signal)
      if (facts === undefined || facts.load === 'not-found') return undefined
      return await readServiceVariables(facts, { ofManager: () => run('systemctl', ['show-environment'], signal) })
    },
    journal: (signal) => run('journalctl', ['--lines=1', '--no-pager', '--output=cat'], signal),
    maySetClock: async () => await stat(setClockFile).then(() => true, () => false), // prettier-ignore
    identity: async () => await loadIdentity(identity).catch(orUnseen),
    identityAccess: async (signal) =>
      await access(async () => {
        const { certificate, privateKey } = await identityPaths(identity).catch(orUnseen)
        return [certificate, privateKey, identity.seed.rootCa]
      }, signal),
    user,
    isServiceUser,
    access: async (paths, signal) => await access(() => Promise.resolve(paths), signal),
  }
}

/** A user who may not read a file cannot tell what is wrong with it. */
function unseenOr(error: unknown): never {
  if (error instanceof IdentityError && /\((EACCES|EPERM)\)/.test(error.message)) {
    throw new UnseenError(error.message.split(' ')[0] ?? 'the identity')
  }
  throw error
}

async function askAgent(
  { paths, guess, answerWithinMs = statusWithinMs }: DoctorHostOptions,
  unit: UnitFacts | undefined,
  signal: AbortSignal,
): Promise<RunningAgent> {
  const socketPath = socketPathIn(paths.runtime)
  try {
    const question = { method: 'GET', path: '/status', withinMs: answerWithinMs, signal } as const
    const { body } = await callAgent({ socketPath, ...question })
    return isStatus(body)
      ? agentOf(body)
      : { kind: 'unknown', text: 'what answers on its socket is no agent of this version' }
  } catch (error) {
    signal.throwIfAborted()
    const { message, hint } = reportError(error)
    if (error instanceof SilentAgentError) return hungAgent(socketPath, answerWithinMs)
    if (!(error instanceof NoAgentError)) return { kind: 'unknown', text: message, hint }
    if (unit?.active !== 'active') return guess === undefined ? { kind: 'none' } : { kind: 'unknown', text: guess }
    const text = `${serviceUnit} is active, and does not answer at ${socketPath}`
    return { kind: 'unknown', text, hint: 'name the configuration that it runs with: --config' }
  }
}

function hungAgent(socketPath: string, withinMs: number): RunningAgent {
  return {
    kind: 'unknown',
    text: `an agent listens at ${socketPath}, and has not answered within ${withinMs / 1_000} s: it hangs, or was stopped`,
    hint: `systemctl restart ${serviceUnit}; what it did last: journalctl -u ${serviceUnit} -n 50`,
    isHung: true,
  }
}

function isStatus(body: unknown): body is StatusReport {
  if (typeof body !== 'object' || body === null || !('version' in body) || body.version !== 1) return false
  return 'identity' in body || 'provisioning' in body
}

function agentOf(status: StatusReport): RunningAgent {
  if (!isUnprovisioned(status)) return provisionedAgent(status)
  const { agent, provisioning, overdue } = status
  const refused = faultOf('provisioning', provisioning).map((fault) => ({ ...fault, isGrave: true }))
  const faults = [...refused, ...overdue.map(overdueFault)]
  return { kind: 'answers', version: agent.version, faults, connection: undefined }
}

function provisionedAgent(status: StatusDocument): RunningAgent {
  const { connection } = status
  const parts: readonly (readonly [string, PartStatus])[] = [
    ['identity', status.identity],
    ...status.credentials.map((each) => [each.name, each] as const),
    ...status.artifacts.map((each) => [`artifact ${each.name}`, each] as const),
    ...status.cameras.map((each) => [`camera ${each.name}`, each] as const),
    ...status.applications.map((each) => [`application ${each.name}`, each] as const),
    ...(connection === undefined ? [] : [['connection', connection] as const]),
    ...(status.jobs === undefined ? [] : [['jobs', status.jobs] as const]),
    ['logs', status.logs],
    ...status.logs.sources.map((each) => [each.stream, each] as const),
  ]
  const faults = parts.flatMap(([name, part]) => faultOf(name, part))
  return {
    kind: 'answers',
    version: status.agent.version,
    faults: [...faults, ...status.overdue.map(overdueFault)],
    network: status.network,
    connection:
      connection === undefined
        ? undefined
        : { state: connection.state, message: connection.lastError?.message, hint: connection.lastError?.hint },
  }
}

function overdueFault(name: string): PartFault {
  return { name, state: 'overdue', message: 'it neither ended nor progressed by its own deadline', isGrave: true }
}

function faultOf(name: string, { state, lastError }: PartStatus): readonly PartFault[] {
  if (lastError === undefined || state === 'ok' || state === 'connected') return []
  return [{ name, state, message: lastError.message, hint: lastError.hint }]
}

/** The groups that the service gets: those of the unit, and those that /etc/group has its user in. */
async function readGroups(unit: UnitFacts | undefined): Promise<GroupFacts> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '')
  const exists = (group: string): boolean => findGroup(text, group) !== undefined
  if (unit === undefined || unit.load === 'not-found') {
    return { exists, isOfService: undefined }
  }
  const user = unit.user === '' ? 'root' : unit.user
  return {
    exists,
    isOfService: (group) => user === 'root' || unit.groups.includes(group) || isMember(text, group, user),
  }
}

function isMember(text: string, group: string, user: string): boolean {
  if (group === user) return true
  const fields = text.split('\n').map((line) => line.split(':'))
  return fields.some(([name, , , members = '']) => name === group && members.split(',').includes(user))
}

function once<T>(read: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let kept: Promise<T> | undefined
  return (signal) => {
    kept ??= read(signal)
    return kept
  }
}
