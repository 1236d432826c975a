import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import type { LogSenders } from '../../../../agent/logs/delivery/log-senders.ts'
import type { LogStreamSender } from '../../../../agent/logs/delivery/log-stream-sender.ts'
import { ReadAhead, type ReadingStream } from '../../../../agent/logs/delivery/read-ahead.ts'
import { useFakeClock } from '../log-appliance.ts'
import { SendParts } from '../send-parts.ts'
import { sourceEvent } from '../source-events.ts'

const mib = 1_048_576
const lineBytes = 1_024
const { signal } = new AbortController()

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

describe('twenty streams that are behind', () => {
  it('send full batches only, by turns, in bounded memory', async () => {
    const backlog = await Backlog.of(20, 5 * mib)
    await backlog.sendAll()
    const { triedBytes } = backlog.parts.destination
    const full = triedBytes.filter((bytes) => bytes >= 0.9 * mib)
    // The last of each stream is what is left of its backlog.
    expect(triedBytes.length - full.length).toBeLessThanOrEqual(20)
    expect(full.length).toBeGreaterThanOrEqual(20 * 4)
    expect(backlog.mostHeldBytes).toBeLessThan(13 * mib)
    expect(backlog.mostTurnsBehind).toBeLessThanOrEqual(3)
  })

  it('send full batches as well once some of them fail, which get no more memory than the others lack', async () => {
    const backlog = await Backlog.of(20, 5 * mib)
    for (let at = 0; at < 10; at += 1) backlog.parts.destination.failures.set(`s${at}`, new AgentError('denied'))
    await backlog.sendAll()
    const sound = Array.from({ length: 10 }, (_, at) => backlog.sender(at + 10))
    expect(sound.every(({ queue }) => queue.length === 0)).toBe(true)
    const full = backlog.parts.destination.triedBytes.filter((bytes) => bytes >= 0.9 * mib)
    expect(full.length).toBeGreaterThanOrEqual(10 * 3)
    expect(backlog.mostHeldBytes).toBeLessThan(13 * mib)
  })

  it('lose nothing of what they had accepted already when all of them fail for a while', async () => {
    const backlog = await Backlog.of(20, 3 * mib)
    for (let round = 0; round < 5; round += 1) await backlog.round()
    for (let at = 0; at < 20; at += 1) backlog.parts.destination.failures.set(`s${at}`, new AgentError('no network'))
    for (let round = 0; round < 50; round += 1) await backlog.round()
    expect(backlog.mostHeldBytes).toBeLessThan(13 * mib)
    backlog.parts.destination.failures.clear()
    await backlog.sendAll()
    for (let at = 0; at < 20; at += 1) {
      const lines = backlog.parts.destination.messages(backlog.sender(at).target)
      expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(Array.from({ length: lines.length }, (_, n) => n))
      expect(lines).toHaveLength((3 * mib) / lineBytes)
    }
  })
})

describe('ReadAhead', () => {
  it('gives one stream two batches, and each of a thousand a little', () => {
    const alone = new Stream()
    fill(new ReadAhead(() => 1), alone)
    expect(alone.heldBytes).toBe(2 * mib)
    const many = new ReadAhead(() => 1_000)
    const streams = Array.from({ length: 1_000 }, () => new Stream())
    for (const stream of streams) fill(many, stream)
    expect(streams.filter(({ heldBytes }) => heldBytes >= mib)).toHaveLength(4)
    expect(streams.at(-1)?.heldBytes).toBe(16_384)
  })

  it('gives turns in the order that was asked in, but not to those that no longer ask', () => {
    const rule = new ReadAhead(() => 40)
    const streams = Array.from({ length: 20 }, () => new Stream())
    for (const stream of streams) fill(rule, stream)
    const [full] = streams.filter(({ heldBytes }) => heldBytes === mib)
    const [gone, next, last] = streams.filter(({ heldBytes }) => heldBytes < mib)
    if (full === undefined || gone === undefined || next === undefined || last === undefined) throw new Error('no room')
    vi.advanceTimersByTime(11_000)
    expect([next, last].map((stream) => rule.hasRoom(stream))).toEqual([false, false])
    full.heldBytes = 0
    rule.sent(full)
    expect([gone, next, last].map((stream) => rule.isWaiting(stream))).toEqual([false, true, true])
    expect(rule.hasRoom(last)).toBe(false)
    expect(rule.hasRoom(next)).toBe(true)
    expect(rule.isWaiting(next)).toBe(false)
  })

  it('has the fullest of those that share it give way when none of them can fill a batch', () => {
    const rule = new ReadAhead(() => 40)
    const streams = Array.from({ length: 20 }, () => new Stream())
    // As the journal does it: a bit for each in turn, and none goes on without the others.
    let stuck: Stream | undefined
    while (stuck === undefined) {
      for (const stream of streams) {
        if (!rule.hasRoom(stream)) {
          stuck = stream
          break
        }
        stream.heldBytes += 8 * lineBytes
      }
    }
    expect(rule.isWaiting(stuck)).toBe(true)
    const giving = streams.filter((stream) => rule.isToGiveWay(stream))
    expect(giving.length).toBeGreaterThan(0)
    const mostBytes = Math.max(...streams.map(({ heldBytes }) => heldBytes))
    expect(giving.every(({ heldBytes }) => heldBytes === mostBytes)).toBe(true)
    for (const stream of giving) {
      stream.heldBytes = 0
      rule.sent(stream)
    }
    expect(rule.hasRoom(stuck)).toBe(true)
  })
})

class Stream implements ReadingStream {
  heldBytes = 0
  batchBytes = mib
  isSending = false
  isFailing = false
  isProven = true
}

function fill(rule: ReadAhead, stream: Stream): void {
  while (rule.hasRoom(stream)) stream.heldBytes += lineBytes
}

/** Streams with so much to send each, read by turns as files are. */
class Backlog {
  readonly parts = new SendParts()
  readonly senders: LogSenders = this.parts.senders()
  mostHeldBytes = 0
  /** How many batches the stream that had the fewest accepted was behind the one that had the most, at most. */
  mostTurnsBehind = 0
  readonly #read: number[]
  readonly #lines: number
  #turn = 0

  private constructor(streams: number, bytes: number) {
    this.#lines = bytes / lineBytes
    this.#read = Array.from({ length: streams }, () => 0)
  }

  static async of(streams: number, bytes: number): Promise<Backlog> {
    const backlog = new Backlog(streams, bytes)
    await backlog.parts.make(...Array.from({ length: streams }, (_, at) => `s${at}`))
    return backlog
  }

  sender(at: number): LogStreamSender {
    return this.senders.of({ group: 'g', stream: `s${at}` })
  }

  /** Until nothing more is accepted. */
  async sendAll(): Promise<void> {
    for (let idle = 0; idle < 200;) {
      const { accepted } = this.parts.tally.totals
      await this.round()
      idle = this.parts.tally.totals.accepted > accepted ? 0 : idle + 1
    }
  }

  async round(): Promise<void> {
    const streams = this.#read.length
    this.#turn += 1
    for (let step = 0; step < streams; step += 1) this.#readSome((step + this.#turn) % streams)
    const held = this.senders.all.reduce((sum, { heldBytes }) => sum + heldBytes, 0)
    this.mostHeldBytes = Math.max(this.mostHeldBytes, held)
    this.senders.dispatch(signal, () => undefined)
    await this.senders.settled()
    const sent = this.#read.map((lines, at) => lines - this.sender(at).queue.length)
    this.mostTurnsBehind = Math.max(this.mostTurnsBehind, ((Math.max(...sent) - Math.min(...sent)) * lineBytes) / mib)
    vi.advanceTimersByTime(5_000) // a slow line: a turn comes later than a flush would
  }

  #readSome(at: number): void {
    const sender = this.sender(at)
    for (let next = this.#read[at] ?? 0; next < this.#lines && !sender.isFull; next += 1) {
      sender.offer(sourceEvent(`${next} `.padEnd(lineBytes - 26, 'x'), { atMs: performance.now() }))
      this.#read[at] = next + 1
    }
  }
}
