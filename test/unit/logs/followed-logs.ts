import { appendFile, mkdir } from 'node:fs/promises'
import { join, parse } from 'node:path'

import { vi } from 'vitest'

import { FollowedPaths } from '../../../agent/logs/files/followed-paths.ts'
import type { LineFormat } from '../../../agent/logs/events/line-format.ts'
import type { LogCursor } from '../../../agent/logs/log-cursors.ts'
import type { LogTarget } from '../../../agent/logs/log-destination.ts'
import type { GapRecord } from '../../../agent/logs/log-source.ts'
import { keptEvent, type SourceEvent } from '../../../agent/logs/events/source-event.ts'
import { ReadMemory } from '../../../agent/logs/events/text-slab.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

export interface ReadEvent extends SourceEvent {
  readonly stream: string
}

/** The files of a temporary folder, followed; every event is kept, and accepted only when `accept` says so. */
export class FollowedLogs implements AsyncDisposable {
  readonly gaps: GapRecord[] = []
  readonly events: ReadEvent[] = []
  pattern = '*.log'
  format: LineFormat = { timestamps: 'auto', timeZone: 'utc' }
  /** Whether nothing is read, as if all streams were full. */
  isHeldBack = false
  /** What happens between a look at a file and reading from it. */
  beforeRead: () => Promise<void> = () => Promise.resolve()
  readonly #folder: TempFolder
  #sources: FollowedPaths | undefined
  #acceptedEvents = 0
  readonly #memory = new ReadMemory(65_536)

  private constructor(folder: TempFolder) {
    this.#folder = folder
  }

  static async open(): Promise<FollowedLogs> {
    const logs = new FollowedLogs(await tempFolder())
    await mkdir(logs.path(''))
    return logs
  }

  path(name: string): string {
    return join(this.#folder.path, 'logs', name)
  }

  get cursors(): readonly LogCursor[] {
    return this.#sources?.cursors ?? []
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    return this.#sources?.failures() ?? []
  }

  messages(stream: string): readonly string[] {
    return this.events.filter((event) => event.stream === stream).map(({ message }) => message)
  }

  streams(): readonly string[] {
    return [...new Set(this.events.map(({ stream }) => stream))]
  }

  /** Lets `ms` pass, then looks at all files and reads what there is. */
  async look(ms = 0): Promise<void> {
    vi.advanceTimersByTime(ms)
    this.#sources ??= this.#open([])
    await this.#sources.discover()
    for (const path of this.#sources.nextTurn()) {
      await path.look()
      await this.beforeRead()
      for (let file = path.nextFile(); file !== undefined && !this.isHeldBack; file = path.nextFile()) {
        await file.read(this.#memory, (event) => this.events.push({ ...keptEvent(event), stream: path.target.stream }))
      }
    }
    this.#sources.forgetSettled()
  }

  /** Lets time pass in looks of a second. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 1_000) await this.look(1_000)
  }

  /** Appends lines that state the time of now by the device's clock. Answers that clock minus the monotonic clock. */
  async writeStamped(name: string, lines: number): Promise<number> {
    const stated = new Date().toISOString()
    await appendFile(this.path(name), `${stated} text\n`.repeat(lines))
    return Date.now() - performance.now()
  }

  accept(events = Infinity): void {
    for (const { origin, position } of this.events.slice(this.#acceptedEvents, this.#acceptedEvents + events)) {
      origin?.accepted(position)
      this.#acceptedEvents += 1
    }
  }

  /** As a crash and a start: goes on with the cursors as they are, or as they are given. */
  async restart(cursors: readonly LogCursor[] = this.cursors): Promise<void> {
    await this.#sources?.[Symbol.asyncDispose]()
    this.events.length = 0
    this.gaps.length = 0
    this.#acceptedEvents = 0
    this.#sources = this.#open(cursors)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sources?.[Symbol.asyncDispose]()
    await this.#folder[Symbol.asyncDispose]()
  }

  #open(cursors: readonly LogCursor[]): FollowedPaths {
    return new FollowedPaths({
      patterns: [{ pattern: this.path(this.pattern), choose: (paths) => paths, targetOf, format: this.format }],
      cursors,
      onGap: (record) => {
        this.gaps.push(record)
      },
      cloudNow: () => Date.now(),
    })
  }
}

/** Lets so much time pass that files note another one: file systems take it from the tick of the kernel's clock. */
export function fileTime(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 12)
}

function targetOf(path: string): LogTarget {
  return { group: 'group', stream: parse(path).name }
}
