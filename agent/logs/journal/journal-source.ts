import type { DeliveredSource, SourceProgress } from '../delivered-source.ts'
import { backoffMs, type Random } from '../../lib/backoff.ts'
import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { listBoots, orderBoots } from './journal-boots.ts'
import type { StartJournalctl } from './journal-child.ts'
import type { JournalEntry } from './journal-entry.ts'
import { eventsOf } from './journal-events.ts'
import { isOfCursor } from './journal-first-entry.ts'
import { JournalFeed } from './journal-feed.ts'
import { JournalGaps, type JournalGapsDeps } from './journal-gaps.ts'
import { JournalJumps, type JournalBounds } from './journal-jumps.ts'
import { JournalLiveness } from './journal-liveness.ts'
import { isTorn, type JournalPosition, type JournalState } from './journal-position.ts'
import { JournalRestarts } from './journal-restarts.ts'
import { JournalRoutes, type JournalRoutesOptions } from './journal-routes.ts'
import { JournalStreams } from './journal-streams.ts'
import type { LogTarget } from '../log-destination.ts'
import type { EventSinks, LogSource } from '../log-source.ts'

export interface JournalSourceDeps extends JournalRoutesOptions, Omit<JournalGapsDeps, 'source'> {
  /** As it was saved last; undefined at the very first start, which begins with this boot's first entry. */
  readonly state: JournalState | undefined
  readonly start: StartJournalctl
  readonly bounds: JournalBounds
  readonly random?: Random
}

const catchUpBackoff = { baseMs: 5_000, capMs: 300_000, floorMs: 2_500 }
const calmMs = 600_000
const settlePassedEveryMs = 60_000
const maxReadMs = 500
const what = 'the journal'

/**
 * The journal of systemd as a source, by one journalctl for all its streams. It reads boot by boot: a journalctl that follows shows
 * one boot only, and sorts boots by a clock that may have been wrong. When one stream stands still, the others go on without it, and
 * it is read again from its own place once it takes something.
 */
export class JournalSource implements DeliveredSource {
  readonly #deps: JournalSourceDeps
  readonly #routes: JournalRoutes
  readonly #feed: JournalFeed
  readonly #gaps: JournalGaps
  readonly #liveness: JournalLiveness
  readonly #jumps: JournalJumps
  readonly #restarts: JournalRestarts
  readonly #streams = new JournalStreams()
  #boots: readonly string[]
  #isPrepared = false
  #readingBoot = ''
  #isFromStart = true
  #lastRead: JournalPosition | undefined
  #catchUps = 0
  #nextCatchUpMs = -Infinity
  #settledAtMs = monotonicMs()
  #ignoresCursors = false
  #isHeld = false
  #hasSeenItself = false

  constructor(deps: JournalSourceDeps) {
    this.#deps = deps
    this.#routes = new JournalRoutes(deps)
    this.#feed = new JournalFeed(deps.start)
    this.#gaps = new JournalGaps({ ...deps, source: what })
    this.#liveness = new JournalLiveness(deps.clock)
    this.#restarts = new JournalRestarts(deps.random)
    this.#jumps = new JournalJumps(deps.bounds, deps.start)
    this.#boots = deps.state?.boots ?? []
  }

  get targets(): readonly LogTarget[] {
    return this.#routes.targets
  }

  get hasMore(): boolean {
    return this.#isHeld || this.#streams.all.some(({ isBehind }) => isBehind)
  }

  /** Whether the agent's own log arrives by the journal: a source wants it, and this process was seen in it. */
  get coversOwnLog(): boolean {
    return this.#routes.wantsOwnUnit && this.#hasSeenItself
  }

  get mayCoverOwnLog(): boolean {
    return this.#routes.wantsOwnUnit && this.#failure === undefined
  }

  /** Whether what is written to the journal now is read now, for all streams: neither a backlog nor a full stream is before it. */
  get isHealthy(): boolean {
    return (
      this.#feed.isOn &&
      this.#liveness.isLive &&
      this.#failure === undefined &&
      !this.#streams.all.some(({ isBehind }) => isBehind)
    )
  }

  /** To be saved; undefined until the journal was first seen, when what was saved before stays as it is. */
  get state(): JournalState | undefined {
    if (!this.#isPrepared) return this.#deps.state
    return this.#streams.state(this.#deps.state, this.#boots)
  }

  get positions(): { readonly journal?: JournalState } {
    const { state } = this
    return state === undefined ? {} : { journal: state }
  }

  /** One per stream. */
  progress(): readonly SourceProgress[] {
    const lastError = this.#failure
    const shared = { name: what, ...(lastError === undefined ? {} : { lastError }) }
    return this.targets.map((target) => ({ ...shared, target }))
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    if (this.#failure !== undefined) return [{ what, error: this.#failure }]
    const { error } = this.#jumps
    return error === undefined ? [] : [{ what: 'the backlog of the journal', error }]
  }

  async read(sinks: EventSinks, { signal, beat }: Parameters<LogSource['read']>[1]): Promise<void> {
    this.#isHeld = false
    if (!(await this.#canRead(signal))) return
    if (this.#feed.isOn) this.#restarts.goesOn()
    await this.#rejoin(sinks)
    await this.#jumpIfBehind(signal)
    if (!this.#feed.isOn && this.#feed.end === undefined) await this.#startIfDue()
    const endMs = monotonicMs() + maxReadMs
    while (!signal.aborted) {
      const isThrough = this.#dispatch(sinks, endMs)
      beat()
      if (!isThrough) break
      if (this.#feed.end !== undefined && !(await this.#afterRun(this.#feed.end.error))) break
      if (!(await this.#feed.more(signal))) break
    }
    if (this.#streams.reading.length === 0) await this.#feed.stop()
    this.#settlePassed()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed[Symbol.asyncDispose]()
  }

  get #failure(): unknown {
    return this.#restarts.error ?? this.#feed.fault
  }

  /** Finds out, once, which boots there are and where each stream goes on. */
  async #canRead(signal: AbortSignal): Promise<boolean> {
    if (this.#isPrepared) return true
    const { state, clock, start } = this.#deps
    const current = clock.bootId
    if (current === undefined) {
      const hint = 'give the unit Environment=PANORAMA_BOOT_ID=%b, or leave ProcSubset= out of it'
      this.#restarts.blocked(
        new AgentError('the id of this boot cannot be had, so the journal cannot be read', { hint }),
      )
      return false
    }
    if (!this.#restarts.isDue) return false
    const cursors = state?.cursors ?? []
    const needed = cursors.map(({ bootId }) => bootId)
    try {
      const isNew = this.#boots.at(-1) !== current
      const present = isNew ? await listBoots(start, signal) : []
      if (isNew) this.#boots = orderBoots({ known: this.#boots, needed, present, current })
    } catch (error) {
      if (!signal.aborted) this.#restarts.failed(error)
      return false
    }
    this.#streams.restore(this.targets, cursors, current)
    this.#isPrepared = true
    return true
  }

  /** Takes streams in again that take something again; the more often, the later, because all is read again for them. */
  async #rejoin(sinks: EventSinks): Promise<void> {
    const ready = this.#streams.ready(sinks)
    const nowMs = monotonicMs()
    if (ready.length === 0 || (nowMs < this.#nextCatchUpMs && this.#streams.reading.length > 0)) return
    if (nowMs - this.#nextCatchUpMs > calmMs) this.#catchUps = 0
    this.#nextCatchUpMs = nowMs + backoffMs(this.#catchUps, catchUpBackoff, this.#deps.random)
    this.#catchUps += 1
    this.#passed()
    if (ready.some(({ isToDrain }) => isToDrain)) this.#jumps.lookNow()
    for (const stream of ready) stream.rejoin()
    await this.#feed.stop()
  }

  /** Looks now and then whether streams are too far behind, but not while what is written is read at once. */
  async #jumpIfBehind(signal: AbortSignal): Promise<void> {
    if ((this.#feed.isOn && this.#liveness.isLive) || this.#ignoresCursors) return
    if (!this.#jumps.isDue || !this.#restarts.isDue) return
    this.#passed()
    const points = this.#streams.reading.map(({ point }) => point)
    const jumps = await this.#jumps.look(points, { boots: this.#boots, signal })
    if (jumps.size === 0) return
    this.#streams.jump(jumps)
    await this.#feed.stop()
  }

  async #startIfDue(): Promise<void> {
    const oldest = this.#streams.oldestStart(this.#boots)
    if (oldest === undefined || !this.#restarts.isDue) return
    for (const stream of this.#streams.reading) stream.isSeeking = true
    this.#restarts.started()
    await this.#begin(oldest.bootId, this.#ignoresCursors ? undefined : oldest.at?.cursor)
  }

  async #begin(bootId: string, cursor: string | undefined): Promise<void> {
    this.#readingBoot = bootId
    this.#isFromStart = cursor === undefined
    this.#lastRead = undefined
    this.#liveness.began()
    await this.#feed.begin({ bootId, cursor, follow: bootId === this.#deps.clock.bootId })
  }

  /** Goes on with the next boot after the end of one; answers false when the run failed. */
  async #afterRun(error: AgentError | undefined): Promise<boolean> {
    if (error !== undefined) {
      if (isOfCursor(error)) this.#ignoresCursors = true
      this.#restarts.runFailed(error)
      this.#passed()
      await this.#feed.stop()
      return false
    }
    this.#passed()
    await this.#begin(this.#boots[this.#boots.indexOf(this.#readingBoot) + 1] ?? this.#readingBoot, undefined)
    return true
  }

  /** Hands out what is there. Answers false when it has to stop before all of it is handed out. */
  #dispatch(sinks: EventSinks, endMs: number): boolean {
    for (let item = this.#feed.peek(); item !== undefined; item = this.#feed.peek()) {
      if ('entry' in item) {
        if (monotonicMs() >= endMs || !this.#place(item.entry, sinks)) {
          this.#isHeld = true
          return false
        }
        this.#lastRead = item.entry.position
      } else this.#gaps.unreadable(this.#routes.catchAll, item.lostBytes)
      this.#feed.shift()
      this.#restarts.succeeded()
    }
    return true
  }

  /** Answers false when the entry has to wait for room. */
  #place(entry: JournalEntry, sinks: EventSinks): boolean {
    this.#lookForGaps(entry.position)
    this.#liveness.cameTo(entry.position)
    const isOwn = this.#routes.isOwn(entry)
    if (isOwn && entry.pid === String(process.pid))
      this.#hasSeenItself ||= entry.position.bootId === this.#deps.clock.bootId
    const route = this.#routes.routeOf(entry)
    const stream = route === undefined ? undefined : this.#streams.of(route.target)
    if (route === undefined || stream === undefined || stream.isBehind || stream.hasDone(entry.position)) return true
    const events = eventsOf(entry, route, { clock: this.#deps.clock, isOwn })
    if (events.length === 0) return true
    const sink = sinks.of(stream.target)
    if (!stream.hasRoom(sink)) {
      this.#liveness.held()
      const holdsUpOthers = this.#liveness.isLate && this.#streams.reading.length > 1
      if (!stream.isStuck && !holdsUpOthers) return false
      stream.isBehind = true
      return this.#streams.reading.length > 0
    }
    stream.offer(sink, entry, events)
    return true
  }

  #lookForGaps(entry: JournalPosition): void {
    const last = this.#lastRead
    // A journalctl that had to wait passes over files that went away meanwhile, and says nothing.
    const isCut = last !== undefined && this.#feed.wasHeldBack && isTorn(entry, last)
    for (const stream of this.#streams.reading) {
      const { at } = stream.point
      if (stream.isSeeking) {
        const reason = stream.jumpsTo === undefined ? 'vacuumed' : 'too far behind'
        const isLost = stream.hasLostItsPlace(entry, this.#boots, this.#isFromStart)
        if (isLost) this.#gaps.missed(stream, { from: at, to: entry, reason })
      } else if (isCut) this.#gaps.missed(stream, { from: last, to: entry, reason: 'vacuumed' })
    }
    if (isCut) this.#lastRead = undefined
  }

  /** Notes for each stream that reading has come this far. */
  #passed(): void {
    if (this.#lastRead !== undefined) this.#streams.passedTo(this.#lastRead)
  }

  /** What passes without being for anybody moves the cursors too, but is no reason to write them often. */
  #settlePassed(): void {
    if (monotonicMs() - this.#settledAtMs < settlePassedEveryMs) return
    this.#settledAtMs = monotonicMs()
    this.#passed()
    this.#streams.settlePassed()
  }
}
