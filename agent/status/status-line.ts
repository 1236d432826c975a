import { isUnprovisioned } from './render-unprovisioned.ts'
import type { PartStatus, StatusDocument, StatusReport } from './status-document.ts'

const maxErrorLength = 160
/** systemd ignores a message of more than 4,096 bytes, and a thousand cameras may be starting at once. */
const maxNames = 5
/** States of a part that has not had its first pass yet. */
const beginning = new Set(['starting', 'waiting'])

/** The status document in one line for people, as `systemctl status` shows it. Holds no instant that is not news. */
export function statusLine(status: StatusReport): string {
  if (status.overdue.length > 0) return `Stuck: ${namesText(status.overdue)}`
  if (isUnprovisioned(status)) return `Not provisioned: ${status.provisioning.step}${errorText(status.provisioning)}`
  const parts = namedParts(status)
  const failing = parts.filter(([, { state }]) => state !== 'ok' && !beginning.has(state))
  const [first] = failing
  if (first !== undefined) {
    const others = failing.length === 1 ? '' : ` and ${failing.length - 1} more`
    return `Failing: ${first[0]}${others}${errorText(first[1])}`
  }
  const starting = parts.filter(([, { state }]) => beginning.has(state)).map(([name]) => name)
  if (starting.length > 0) return `Starting: ${namesText(starting)}`
  const { artifacts, cameras, logs } = status
  const counts = [
    count(artifacts.length, 'artifact'),
    count(cameras.length, 'camera'),
    count(logs.sources.length, 'log file'),
  ]
  return `All well: ${counts.join(', ')}`
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

function count(number: number, one: string): string {
  return `${number} ${one}${number === 1 ? '' : 's'}`
}
