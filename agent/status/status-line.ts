import { countText } from '../lib/quantity-text.ts'
import { isUnprovisioned } from './render-unprovisioned.ts'
import type { PartStatus, StatusDocument, StatusReport, UnprovisionedStatus } from './status-document.ts'

const maxErrorLength = 160
/** systemd ignores a message of more than 4,096 bytes, and a thousand cameras may be starting at once. */
const maxNames = 5
/** States of a part that has not had its first pass yet. */
const beginning = new Set(['starting', 'waiting'])

/** What is to be known first. */
export interface Verdict {
  readonly kind: 'well' | 'starting' | 'failing' | 'stuck'
  /** One line without an instant, so that it changes only when something does. */
  readonly text: string
  /** The one thing to do about it, where anything is. */
  readonly toDo?: string
}

const toDoWhenStuck = 'nothing at first: systemd restarts the agent. If it comes again, see panorama-agent logs'
const toDoWithoutHint = 'panorama-agent doctor looks for the cause, panorama-agent logs shows what led to it'

/** The status document in one line for people, as `systemctl status` shows it. Holds no instant that is not news. */
export function statusLine(status: StatusReport): string {
  return verdictOn(status).text
}

/** How the agent is as a whole, and what to do first. */
export function verdictOn(status: StatusReport): Verdict {
  if (status.overdue.length > 0) {
    return { kind: 'stuck', text: `Stuck: ${namesText(status.overdue)}`, toDo: toDoWhenStuck }
  }
  return isUnprovisioned(status) ? verdictOnProvisioning(status) : verdictOnParts(status)
}

function verdictOnProvisioning({ provisioning }: UnprovisionedStatus): Verdict {
  const { step, lastError, state } = provisioning
  const text = `Not provisioned: ${step}${errorText(provisioning)}`
  if (state === 'ok' || beginning.has(state)) return { kind: 'starting', text }
  return { kind: 'failing', text, toDo: lastError?.hint ?? toDoWithoutHint }
}

function verdictOnParts(status: StatusDocument): Verdict {
  const parts = namedParts(status)
  const failing = parts.filter(([, { state }]) => state !== 'ok' && !beginning.has(state))
  const [first] = failing
  if (first !== undefined) {
    const others = failing.length === 1 ? '' : ` and ${failing.length - 1} more`
    const toDo = first[1].lastError?.hint ?? toDoWithoutHint
    return { kind: 'failing', text: `Failing: ${first[0]}${others}${errorText(first[1])}`, toDo }
  }
  const starting = parts.filter(([, { state }]) => beginning.has(state)).map(([name]) => name)
  if (starting.length > 0) return { kind: 'starting', text: `Starting: ${namesText(starting)}` }
  const { artifacts, cameras, logs } = status
  const counts = [
    countText(artifacts.length, 'artifact'),
    countText(cameras.length, 'camera'),
    countText(logs.sources.length, 'log file'),
  ]
  return { kind: 'well', text: `All well: ${counts.join(', ')}` }
}

/** In the order in which one thing needs the other: the first that fails is the likely cause. */
function namedParts(status: StatusDocument): readonly (readonly [string, PartStatus])[] {
  return [
    ...configurationParts(status),
    ['identity', status.identity],
    ...status.credentials.map((part) => [part.name, part] as const),
    ...status.artifacts.map((part) => [`artifact ${part.name}`, part] as const),
    ...status.cameras.map((part) => [`camera ${part.name}`, part] as const),
    ...status.applications.map((part) => [`application ${part.name}`, part] as const),
    ...(status.cameraSealing === undefined ? [] : [['cameras sealing', status.cameraSealing] as const]),
    ...(status.cameraHooks ?? []).map((part) => [`camera hook ${part.name}`, part] as const),
    ...(status.jobs === undefined ? [] : [['jobs', status.jobs] as const]),
    ['logs', status.logs],
  ]
}

function configurationParts({ configuration }: StatusDocument): readonly (readonly [string, PartStatus])[] {
  if (configuration?.state !== 'fallback') return []
  const [{ path, message } = { path: '', message: 'it is not the one that it should be' }] = configuration.faults
  const lastError = { name: 'ConfigError', message: path === '' ? message : `${path}: ${message}` }
  return [['configuration', { state: configuration.state, lastError }]]
}

function namesText(names: readonly string[]): string {
  const others = names.length - maxNames
  return `${names.slice(0, maxNames).join(', ')}${others > 0 ? ` and ${others} more` : ''}`
}

function errorText({ lastError }: PartStatus): string {
  if (lastError === undefined) return ''
  const { message } = lastError
  return `: ${message.length > maxErrorLength ? `${message.slice(0, maxErrorLength)}...` : message}`
}
