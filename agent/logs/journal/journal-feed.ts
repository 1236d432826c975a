import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { sleep } from '../../lib/sleep.ts'
import { hintOf, type Journalctl, type StartJournalctl } from './journal-child.ts'
import { journalFields, parseJournalEntry, type JournalEntry } from './journal-entry.ts'
import { JournalLines } from './journal-lines.ts'

export interface JournalRequest {
  readonly bootId: string
  /** The entry to begin with, if it is there still, else the one after its place. */
  readonly cursor: string | undefined
  /** Whether to go on with what will be written. */
  readonly follow: boolean
}

/** An entry, or the size of a line that is none, or none that could be kept. */
export type FeedItem = { readonly entry: JournalEntry } | { readonly lostBytes: number }

const maxLineBytes = 4 * 1_048_576
const maxQueuedBytes = 1_048_576
/** What journalctl's own remarks in its output begin with. */
const remark = '-- '
/** How long output that is on its way may take. */
const arrivalMs = 50

/** The entries of one run of journalctl at a time, in bounded memory: when nobody takes them, journalctl waits. */
export class JournalFeed implements AsyncDisposable {
  readonly #start: StartJournalctl
  #child: Journalctl | undefined
  #run = 0
  #queue: { readonly item: FeedItem; readonly bytes: number }[] = []
  #head = 0
  #queuedBytes = 0
  #isPaused = false
  #wasHeldBack = false
  #end: { readonly error: AgentError | undefined } | undefined
  #arrivedAtMs = -Infinity
  #onArrival: () => void = () => undefined

  constructor(start: StartJournalctl) {
    this.#start = start
  }

  /** Whether a run is on, or something of one is left to be taken. */
  get isOn(): boolean {
    return this.#child !== undefined && !(this.#end !== undefined && this.peek() === undefined)
  }

  /** How the run ended; told when everything of it was taken. */
  get end(): { readonly error: AgentError | undefined } | undefined {
    return this.peek() === undefined ? this.#end : undefined
  }

  /** Whether journalctl had to wait in this run: then files may have gone before it came to them. */
  get wasHeldBack(): boolean {
    return this.#wasHeldBack
  }

  /** What keeps a run that goes on from showing everything. */
  get fault(): AgentError | undefined {
    const hint = this.#child === undefined ? undefined : hintOf(this.#child.complaint)
    return hint === undefined ? undefined : new AgentError('not all of the journal can be read', { hint })
  }

  /** Ends the run before, if there is one, and drops what was not taken of it. */
  async begin({ bootId, cursor, follow }: JournalRequest): Promise<void> {
    await this.stop()
    // A run that follows is bound to this boot by journalctl, which has to be told which one: it may not be able to read that.
    const boot = follow ? ['--follow', `--boot=${bootId}`] : [`_BOOT_ID=${bootId}`]
    const from = cursor === undefined ? [] : [`--cursor=${cursor}`]
    const lines = new JournalLines(maxLineBytes)
    const run = this.#run
    this.#child = this.#start({
      args: ['--no-tail', `--output-fields=${journalFields.join(',')}`, ...from, ...boot],
      onOutput: (chunk) => {
        if (run === this.#run) this.#take(lines, chunk)
      },
      onEnd: (error) => {
        if (run !== this.#run) return
        this.#end = { error: error ?? (follow ? endedEarly() : undefined) }
        this.#onArrival()
      },
    })
    this.#arrivedAtMs = monotonicMs()
  }

  /** The next item; it stays until `shift`. */
  peek(): FeedItem | undefined {
    return this.#queue[this.#head]?.item
  }

  shift(): void {
    this.#queuedBytes -= this.#queue[this.#head]?.bytes ?? 0
    this.#head += 1
    if (this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    if (this.#isPaused && this.#queuedBytes < maxQueuedBytes / 2) {
      this.#isPaused = false
      this.#child?.resume()
    }
  }

  /** Waits for what is on its way, a moment at most. Answers whether there is anything now, the end included. */
  async more(signal: AbortSignal): Promise<boolean> {
    if (this.peek() === undefined && this.#end === undefined && monotonicMs() - this.#arrivedAtMs < arrivalMs) {
      const arrived = new Promise<undefined>((resolve) => {
        this.#onArrival = () => {
          resolve(undefined)
        }
      })
      await Promise.race([arrived, sleep(arrivalMs, signal).catch(() => undefined)])
    }
    return this.peek() !== undefined || this.#end !== undefined
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    this.#run += 1
    this.#queue = []
    this.#head = 0
    this.#queuedBytes = 0
    this.#isPaused = false
    this.#wasHeldBack = false
    this.#end = undefined
    await child?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #take(lines: JournalLines, chunk: Buffer): void {
    for (const line of lines.push(chunk)) {
      if ('tooLongBytes' in line) this.#add({ lostBytes: line.tooLongBytes }, 0)
      else if (!line.text.startsWith(remark)) {
        const entry = parseJournalEntry(line.text)
        if (entry === undefined) this.#add({ lostBytes: line.bytes }, 0)
        else this.#add({ entry }, line.bytes)
      }
    }
    this.#arrivedAtMs = monotonicMs()
    if (this.#queuedBytes >= maxQueuedBytes) {
      this.#isPaused = true
      this.#wasHeldBack = true
      this.#child?.pause()
    }
    this.#onArrival()
  }

  #add(item: FeedItem, bytes: number): void {
    const held = bytes + 200 // what an object costs beside its text
    this.#queue.push({ item, bytes: held })
    this.#queuedBytes += held
  }
}

function endedEarly(): AgentError {
  return new AgentError('journalctl ended although it was to follow the journal', { retryable: true })
}
