import { AgentError } from '../../agent/lib/errors.ts'
import type { JournalBounds } from '../../agent/logs/journal/journal-jumps.ts'
import type { JournalFile } from '../../agent/logs/journal/journal-files.ts'
import type { Journalctl, JournalctlRun, StartJournalctl } from '../../agent/logs/journal/journal-child.ts'

export interface FakeEntry {
  /** Default: the boot of the entry before. */
  readonly boot?: string
  readonly fields: Readonly<Record<string, unknown>>
}

interface StoredEntry {
  readonly number: number
  readonly boot: string
  readonly fields: Readonly<Record<string, unknown>>
}

export const thisBoot = 'b'.repeat(32)
export const bootBefore = 'a'.repeat(32)

const sequence = '0'.repeat(32)

/** A journal in memory and the journalctl that shows it: one boot at a time when it follows, an absent cursor's place when it is gone. */
export class FakeJournalctl {
  /** The arguments of each run. */
  readonly runs: (readonly string[])[] = []
  /** How each run to come ends at once; none: it works. */
  readonly failures: AgentError[] = []
  complaint = ''
  /** Its files, by their paths: the numbers of the first and the last entry of each. */
  readonly files = new Map<string, readonly [number, number]>()
  /** Of those that cannot be read any more. */
  readonly brokenFiles = new Set<string>()
  #entries: StoredEntry[] = []
  #numbered = 0
  readonly #running = new Set<FakeRun>()

  readonly start: StartJournalctl = (run) => {
    this.runs.push(run.args)
    const failure = this.failures.shift()
    const running = new FakeRun(run, () => this.complaint)
    const end = (): void => {
      this.#running.delete(running)
    }
    running.onDispose = end
    this.#running.add(running)
    queueMicrotask(() => {
      if (failure !== undefined) running.end(failure)
      else this.#show(running)
    })
    return running
  }

  /** The number of the entry written last. */
  get written(): number {
    return this.#numbered
  }

  get runningCount(): number {
    return this.#running.size
  }

  get isPaused(): boolean {
    return [...this.#running].some(({ isPaused }) => isPaused)
  }

  /** Writes entries; what follows the journal shows them. */
  write(...entries: readonly FakeEntry[]): void {
    for (const { boot = this.#entries.at(-1)?.boot ?? thisBoot, fields } of entries) {
      this.#numbered += 1
      const entry = { number: this.#numbered, boot, fields }
      this.#entries.push(entry)
      for (const { run } of this.#running) {
        if (run.args.includes('--follow')) run.onOutput(lineOf(entry))
      }
    }
  }

  /** Writes messages of a unit. */
  say(unit: string, ...messages: readonly string[]): void {
    this.write(
      ...messages.map((MESSAGE) => ({ fields: { MESSAGE, PRIORITY: '6', _SYSTEMD_UNIT: unit, _TRANSPORT: 'stdout' } })),
    )
  }

  /** Output that is no entry. */
  print(text: string): void {
    for (const { run } of this.#running) run.onOutput(Buffer.from(text))
  }

  /** Removes all but the newest `kept` entries. */
  vacuum(kept: number): void {
    this.#entries = this.#entries.slice(this.#entries.length - kept)
  }

  /** Lets entries go that were never shown. */
  skip(count: number): void {
    this.#numbered += count
  }

  /** The files with what their headers tell, each entry of `entryBytes`. */
  headers(entryBytes: number): readonly JournalFile[] {
    return [...this.files].flatMap(([path, [from, to]]) => {
      const entries = this.#entries.filter(({ number }) => number >= from && number <= to)
      const [first, last] = [entries[0], entries.at(-1)]
      if (first === undefined || last === undefined) return []
      return {
        path,
        usedBytes: entries.length * entryBytes,
        serials: { id: sequence, first: first.number, last: last.number },
        firstUs: fakeRealtimeUs(first.number),
        lastUs: fakeRealtimeUs(last.number),
        lastBootId: last.boot,
        lastMonotonicUs: fakeMonotonicUs(last.number),
      }
    })
  }

  /** Ends what runs. */
  die(error: AgentError | undefined): void {
    for (const running of this.#running) running.end(error)
  }

  #show(running: FakeRun): void {
    const { args } = running.run
    if (args.includes('--field=_BOOT_ID')) {
      running.run.onOutput(
        Buffer.from([...new Set(this.#entries.map(({ boot }) => boot))].map((boot) => `${boot}\n`).join('')),
      )
      running.end(undefined)
      return
    }
    const value = (name: string): string | undefined =>
      args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1)
    if (this.brokenFiles.has(value('--file') ?? '')) {
      running.end(new AgentError('journalctl ended with exit code 1: Bad message', { retryable: true }))
      return
    }
    const [first, last] = this.files.get(value('--file') ?? '') ?? [0, Infinity]
    const boot = value('--boot') ?? value('_BOOT_ID')
    const from = /;i=([0-9a-f]+)(?:;|$)/.exec(value('--cursor') ?? '')?.[1]
    for (const entry of this.#entries) {
      const { number } = entry
      if (boot !== undefined && entry.boot !== boot) continue
      if (number < first || number > last) continue
      if (number >= Number.parseInt(from ?? '0', 16)) running.run.onOutput(lineOf(entry))
    }
    if (!args.includes('--follow')) running.end(undefined)
  }
}

class FakeRun implements Journalctl {
  readonly run: JournalctlRun
  isPaused = false
  onDispose: () => void = () => undefined
  readonly #complaint: () => string
  #hasEnded = false

  constructor(run: JournalctlRun, complaint: () => string) {
    this.run = run
    this.#complaint = complaint
  }

  get complaint(): string {
    return this.#complaint()
  }

  end(error: AgentError | undefined): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.run.onEnd(error)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.onDispose()
    this.end(undefined)
    return Promise.resolve()
  }
}

/** For sources whose journal is never too far behind. */
export const noJournalBounds: JournalBounds = {
  maxBacklogBytes: Infinity,
  oldestMs: () => undefined,
  files: () => Promise.resolve([]),
}

/** The cursor of the entry with that number. */
export function fakeCursor(number: number, boot = thisBoot): string {
  const hex = number.toString(16)
  return `s=${sequence};i=${hex};b=${boot};m=${fakeMonotonicUs(number).toString(16)};t=${fakeRealtimeUs(number).toString(16)};x=${hex}`
}

export function fakeMonotonicUs(number: number): number {
  return 5_000_000 + number * 1_000
}

export function fakeRealtimeUs(number: number): number {
  return 1_700_000_000_000_000 + number * 1_000
}

function lineOf({ number, boot, fields }: StoredEntry): Buffer {
  const entry = {
    ...fields,
    __CURSOR: fakeCursor(number, boot),
    __REALTIME_TIMESTAMP: String(fakeRealtimeUs(number)),
    __MONOTONIC_TIMESTAMP: String(fakeMonotonicUs(number)),
    _BOOT_ID: boot,
  }
  return Buffer.from(`${JSON.stringify(entry)}\n`)
}
