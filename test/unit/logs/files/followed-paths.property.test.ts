import { appendFileSync, copyFileSync, existsSync, mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { keptEvent, type SourceEvent } from '../../../../agent/logs/events/source-event.ts'
import { ReadMemory } from '../../../../agent/logs/events/text-slab.ts'
import { FollowedPaths } from '../../../../agent/logs/files/followed-paths.ts'
import type { LogCursor } from '../../../../agent/logs/log-cursors.ts'
import type { GapRecord } from '../../../../agent/logs/log-source.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { fileTime } from '../followed-logs.ts'
import { useFakeClock } from '../log-appliance.ts'

type Step =
  | { readonly do: 'write'; readonly lines: number }
  | { readonly do: 'look'; readonly afterMs: number; readonly reads: number }
  | { readonly do: 'accept'; readonly events: number }
  | { readonly do: 'crash' | 'stop' | 'start' | 'rotate' | 'delete' }

interface Setting {
  readonly pattern: string
  readonly rotation: 'rename' | 'copy'
}

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('look' as const),
      afterMs: fc.constantFrom(0, 1_000, 11_000, 35_000),
      reads: fc.constantFrom(0, 1, 2, 100),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('accept' as const), events: fc.constantFrom(1, 2, 100) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('crash', 'stop', 'start', 'rotate', 'rotate', 'delete') }) },
)
const anySetting: fc.Arbitrary<Setting> = fc.record({
  pattern: fc.constantFrom('app.log', 'app.log*'),
  rotation: fc.constantFrom('rename', 'copy'),
})

beforeEach(useFakeClock)

afterEach(() => {
  vi.useRealTimers()
})

it('accepts every line once, in order, or tells of it in a gap record, whatever happens to files, streams and process', async () => {
  await fc.assert(
    fc.asyncProperty(anySetting, fc.array(anyStep, { maxLength: 30 }), async (setting, steps) => {
      await using folder = await tempFolder()
      await using trial = new Trial(folder.path, setting)
      for (const step of steps) await trial.take(step)
      await trial.finish()
      const accepted = [...trial.accepted.values()].flat()
      const missing = trial.lines.filter((line) => !accepted.includes(line))
      expect([...accepted, ...missing].toSorted((one, other) => one - other)).toEqual(trial.lines)
      expect(bytesOf(missing)).toBeLessThanOrEqual(trial.toldBytes)
      if (!trial.hasDeleted) expect(trial.toldBytes).toBe(0)
      for (const [path, lines] of trial.accepted) {
        expect(lines, path).toEqual(lines.toSorted((one, other) => one - other))
      }
    }),
    { numRuns: 25 },
  )
}, 30_000)

function bytesOf(lines: readonly number[]): number {
  return lines.reduce((sum, line) => sum + `${line}\n`.length, 0)
}

/** Does to the files what it is told to, but for what leaves no trace: a file that goes away before anybody saw it. */
class Trial implements AsyncDisposable {
  /** Numbers of lines, by the path that they were read for. */
  readonly accepted = new Map<string, number[]>()
  /** Whether a file went away that may not have been read. */
  hasDeleted = false
  readonly #folder: string
  readonly #setting: Setting
  readonly #memory = new ReadMemory(64)
  readonly #gaps: GapRecord[] = []
  #sources: FollowedPaths | undefined
  #offered: { readonly path: string; readonly event: SourceEvent }[] = []
  #cursors: readonly LogCursor[] = []
  #written = 0

  constructor(folder: string, setting: Setting) {
    this.#folder = join(folder, 'logs')
    this.#setting = setting
    mkdirSync(this.#folder)
    this.#start()
  }

  get lines(): readonly number[] {
    return Array.from({ length: this.#written }, (_, at) => at + 1)
  }

  /** What the gap records tell to be missing; Infinity where they do not know how much. */
  get toldBytes(): number {
    return this.#gaps.reduce((sum, { bytes = Infinity }) => sum + bytes, 0)
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case 'write':
        this.#write(step.lines)
        return
      case 'look':
        await this.#look(step)
        return
      case 'accept':
        this.#accept(step.events)
        return
      case 'rotate':
        if (await this.#mayGo(existsSync(this.#at(3)) || !this.#isKnown)) this.#rotate()
        return
      case 'delete':
        if (!(await this.#mayGo(true))) return
        this.hasDeleted = true
        rmSync(this.#at(0))
        return
      case 'start':
        this.#start()
        return
      case 'stop':
      case 'crash':
        await this.#stop()
        if (step.do === 'crash') this.#start()
    }
  }

  async finish(): Promise<void> {
    this.#start()
    this.#write(1)
    for (let round = 0; round < 12; round += 1) {
      await this.#look({ afterMs: round % 2 === 0 ? 12_000 : 1_000, reads: 200 })
      this.#accept(Infinity)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
  }

  get #isKnown(): boolean {
    const live = this.#at(0)
    if (this.#sources === undefined) return this.#cursors.some(({ path }) => path === live)
    return this.#sources.paths.some(({ path, isKnown }) => path === live && isKnown)
  }

  #at(rotations: number): string {
    return join(this.#folder, rotations === 0 ? 'app.log' : `app.log.${rotations}`)
  }

  #start(): void {
    this.#sources ??= new FollowedPaths({
      patterns: [
        {
          pattern: join(this.#folder, this.#setting.pattern),
          choose: (paths) => paths,
          targetOf: (path) => ({ group: 'group', stream: path }),
          format: { timestamps: 'none', timeZone: 'utc' },
        },
      ],
      cursors: this.#cursors,
      onGap: (gap) => this.#gaps.push(gap),
      cloudNow: () => Date.now(),
    })
  }

  async #stop(): Promise<void> {
    if (this.#sources === undefined) return
    this.#cursors = this.#sources.cursors
    await this.#sources[Symbol.asyncDispose]()
    this.#sources = undefined
    this.#offered = []
  }

  #write(lines: number): void {
    if (!existsSync(this.#at(0))) fileTime()
    for (let line = 0; line < lines; line += 1) {
      this.#written += 1
      appendFileSync(this.#at(0), `${this.#written}\n`)
    }
  }

  async #look({ afterMs, reads }: { readonly afterMs: number; readonly reads: number }): Promise<void> {
    this.#pass(afterMs + 1)
    if (this.#sources === undefined) return
    await this.#sources.discover()
    this.#pass(1)
    let left = reads
    for (const path of this.#sources.nextTurn()) {
      await path.look()
      const keep = (event: SourceEvent): void => {
        this.#offered.push({ path: path.path, event: keptEvent(event) })
      }
      for (let file = path.nextFile(); file !== undefined && left > 0; file = path.nextFile()) {
        left -= 1
        await file.read(this.#memory, keep, 4)
      }
    }
    this.#sources.forgetSettled()
  }

  /** The device's clock stays that of the file system. */
  #pass(ms: number): void {
    vi.advanceTimersByTime(ms)
    vi.setSystemTime(vi.getRealSystemTime())
  }

  #accept(events: number): void {
    for (const { path, event } of this.#offered.splice(0, events)) {
      event.origin?.accepted(event.position)
      this.accepted.set(path, [...(this.accepted.get(path) ?? []), Number(event.message)])
    }
  }

  /** Whether there is a file to do away with; `isLastChance`: it, or the oldest one, is to be seen before. */
  async #mayGo(isLastChance: boolean): Promise<boolean> {
    if (!existsSync(this.#at(0)) || (isLastChance && this.#sources === undefined)) return false
    if (isLastChance) await this.#look({ afterMs: 11_000, reads: 0 })
    return true
  }

  #rotate(): void {
    rmSync(this.#at(3), { force: true })
    for (const from of [2, 1]) if (existsSync(this.#at(from))) renameSync(this.#at(from), this.#at(from + 1))
    fileTime()
    if (this.#setting.rotation === 'rename') renameSync(this.#at(0), this.#at(1))
    else {
      copyFileSync(this.#at(0), this.#at(1))
      fileTime()
      truncateSync(this.#at(0))
    }
    fileTime()
  }
}
