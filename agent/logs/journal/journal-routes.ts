import type { JournalEntry } from './journal-entry.ts'
import type { LogTarget } from '../log-destination.ts'
import type { LogLevel } from '../events/source-event.ts'

/** As the configuration has it; without a unit, all that no other source is for. */
export interface JournalSourceConfig {
  readonly kind: 'journal'
  readonly unit?: string | undefined
  readonly group?: string | undefined
  readonly stream?: string | undefined
}

/** Templates of a group and a stream; without a group, that of the device. */
export interface TargetTemplates {
  readonly group: string | undefined
  readonly stream: string
}

/** Expands templates; `unit` is the unit's name without its suffix. */
export type JournalTargetOf = (templates: TargetTemplates, values: { readonly unit: string | undefined }) => LogTarget

export interface JournalRoutesOptions {
  readonly sources: readonly JournalSourceConfig[]
  readonly targetOf: JournalTargetOf
  /** The agent's own unit. */
  readonly ownUnit: string
}

/** Where an entry goes, and what it says there. */
export interface JournalRoute {
  readonly target: LogTarget
  /** Whether the stream is of many: then each message says whose it is. */
  readonly isShared: boolean
}

interface WholeJournal {
  readonly kernel: JournalRoute
  readonly own: JournalRoute
  readonly others: JournalRoute
}

/** Which stream an entry of the journal belongs to: a source for its unit wins over the one for all. */
export class JournalRoutes {
  readonly #units: ReadonlyMap<string, JournalRoute>
  readonly #whole: WholeJournal | undefined
  readonly #ownUnit: string

  constructor({ sources, targetOf, ownUnit }: JournalRoutesOptions) {
    this.#ownUnit = ownUnit
    const ofUnits = sources.flatMap(({ unit, group, stream }) => {
      if (unit === undefined) return []
      const templates = { group, stream: stream ?? (unit === ownUnit ? ownStream : '{unit}') }
      const target = targetOf(templates, { unit: withoutSuffix(unit) })
      return [[unit, { target, isShared: false }] as const]
    })
    this.#units = new Map(ofUnits)
    const whole = sources.find(({ unit }) => unit === undefined)
    this.#whole = whole === undefined ? undefined : routesOfAll(whole, targetOf)
  }

  /** Each once. */
  get targets(): readonly LogTarget[] {
    const { kernel, own, others } = this.#whole ?? {}
    const routes = [...this.#units.values(), kernel, own, others]
    const targets = routes.flatMap((route) => (route === undefined ? [] : [route.target]))
    return [...new Map(targets.map((target) => [keyOf(target), target])).values()]
  }

  /** Whether a source wants the agent's own unit. */
  get wantsOwnUnit(): boolean {
    return this.#whole !== undefined || this.#units.has(this.#ownUnit)
  }

  /** The stream to tell of entries that cannot be read. */
  get catchAll(): LogTarget | undefined {
    return this.#whole?.others.target ?? this.targets[0]
  }

  /** Undefined for what no source wants. */
  routeOf(entry: JournalEntry): JournalRoute | undefined {
    const { unit = '', aboutUnit = '', transport } = entry
    const ofUnit = this.#units.get(aboutUnit) ?? this.#units.get(unit)
    if (ofUnit !== undefined) return ofUnit
    if (transport === 'kernel') return this.#whole?.kernel
    return this.isOwn(entry) ? this.#whole?.own : this.#whole?.others
  }

  isOwn({ unit, aboutUnit }: JournalEntry): boolean {
    return (aboutUnit ?? unit) === this.#ownUnit
  }
}

/** The stream of the agent's own log, as AWS Panorama appliances named it. */
const ownStream = 'occ_log'

export function keyOf({ group, stream }: LogTarget): string {
  return `${group}:${stream}`
}

/** What an entry says in a stream: in one that many share, the way syslog has it. */
export function messageOf(entry: JournalEntry, { isShared }: JournalRoute): string {
  const { message = '', identifier, unit, pid } = entry
  if (!isShared || message === '') return message
  const who = identifier ?? unit ?? entry.transport ?? 'unknown'
  return `${who}${pid === undefined ? '' : `[${pid}]`}: ${message}`
}

/** As syslog's priorities stand to ours. The agent's own lines say it themselves: systemd takes all of them for info. */
export function levelOf({ priority, message, transport }: JournalEntry, isOwn: boolean): LogLevel | undefined {
  if (isOwn && transport === 'stdout') {
    const [, level] = /^\S+ (DEBUG|INFO|WARN|ERROR) /.exec(message ?? '') ?? []
    for (const known of ['debug', 'info', 'warn', 'error'] as const) if (level === known.toUpperCase()) return known
  }
  if (priority === undefined || priority < 0 || priority > 7) return undefined
  if (priority <= 3) return 'error'
  if (priority === 4) return 'warn'
  return priority === 7 ? 'debug' : 'info'
}

/** One stream for all where the configuration names it, else three, as AWS Panorama appliances had them. */
function routesOfAll({ group, stream }: JournalSourceConfig, targetOf: JournalTargetOf): WholeJournal {
  const route = (name: string, isShared: boolean): JournalRoute => {
    const target = targetOf({ group, stream: stream ?? name }, { unit: undefined })
    return { target, isShared: isShared || stream !== undefined }
  }
  return { kernel: route('kern_log', false), own: route(ownStream, false), others: route('syslog', true) }
}

function withoutSuffix(unit: string): string {
  return unit.slice(0, unit.lastIndexOf('.'))
}
