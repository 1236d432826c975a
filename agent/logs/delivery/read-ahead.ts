import { monotonicMs } from '../../lib/monotonic.ts'

/** What a stream tells of itself. Sizes are as PutLogEvents counts them. */
export interface ReadingStream {
  readonly heldBytes: number
  /** Of a full batch. */
  readonly batchBytes: number
  readonly isSending: boolean
  /** Whether its last batch failed, so that nobody knows when it lets go of what it holds. */
  readonly isFailing: boolean
  /** Whether a batch of it was ever accepted. */
  readonly isProven: boolean
}

/** How much is read ahead for a stream. */
export interface ReadAheadRule {
  /** Whether more may be read for it now. One that is told no waits for its turn. */
  hasRoom(stream: ReadingStream): boolean
  /** About how much more that is. */
  roomBytes(stream: ReadingStream): number
  /** Whether it waits for its turn, so that what it holds would be no full batch. */
  isWaiting(stream: ReadingStream): boolean
  /** Whether it is to send what it holds, full or not, because others wait and nothing else makes room. */
  isToGiveWay(stream: ReadingStream): boolean
  /** A batch of it went, well or badly: its turn is over. */
  sent(stream: ReadingStream): void
}

const mib = 1_048_576
/** Each stream may always hold so much. */
const little = { leastBytes: 16_384, mostBytes: 262_144, togetherBytes: 4 * mib }
/** What streams may hold together beyond that: those that are sending well; those that fail, or never had a batch accepted. */
const pools = { sound: 5.5 * mib, doubtful: 3.5 * mib }
/** A second batch, while the first is on its way, leaves room in the pool for two streams more. */
const leftForOthersBytes = 2 * mib
const leastReadBytes = 16_384
/** A stream that did not ask for so long no longer waits. */
const waitsMs = 10_000

/**
 * Shares memory among streams so that batches are full however many have a backlog: a few hold a batch each, by turns, while the
 * others hold a little and wait in a line. Streams that fail, or may, have a pool of their own: what they hold is stuck, and shall not
 * be what the others lack. Together streams hold 9 MiB and the little of each at most, and a read more for each.
 */
export class ReadAhead implements ReadAheadRule {
  readonly #streamCount: () => number
  /** Those that hold more than a little, or would. */
  readonly #large = new Set<ReadingStream>()
  readonly #inTurn = new Set<ReadingStream>()
  /** Who waits, longest first, and when each asked last. */
  readonly #line = new Map<ReadingStream, number>()

  constructor(streamCount: () => number) {
    this.#streamCount = streamCount
  }

  hasRoom(stream: ReadingStream): boolean {
    if (stream.heldBytes < this.#littleBytes) return true
    if (stream.isFailing) return false
    this.#prune(stream)
    this.#large.add(stream)
    const hasRoom = this.#mayGrow(stream)
    // One that holds a full batch waits for nobody.
    if (hasRoom || stream.heldBytes >= stream.batchBytes) this.#line.delete(stream)
    else this.#line.set(stream, monotonicMs())
    return hasRoom
  }

  roomBytes(stream: ReadingStream): number {
    const { heldBytes, batchBytes } = stream
    const limits = [this.#littleBytes, ...(this.#inTurn.has(stream) ? [batchBytes, 2 * batchBytes] : [])]
    const next = limits.find((bytes) => bytes > heldBytes) ?? heldBytes
    return Math.max(leastReadBytes, next - heldBytes)
  }

  isWaiting(stream: ReadingStream): boolean {
    const askedAtMs = this.#line.get(stream)
    return askedAtMs !== undefined && monotonicMs() - askedAtMs < waitsMs
  }

  isToGiveWay(stream: ReadingStream): boolean {
    if (this.#line.size === 0 || stream.isFailing || !this.#large.has(stream)) return false
    const peers = this.#peersOf(stream)
    if (!peers.some((peer) => this.isWaiting(peer))) return false
    const able = peers.filter(({ isFailing }) => !isFailing)
    if (able.some(({ isSending, heldBytes, batchBytes }) => isSending || heldBytes >= batchBytes)) return false
    if (able.some((peer) => this.isWaiting(peer) && this.#fits(peer, peers))) return false
    return able.every(({ heldBytes }) => heldBytes <= stream.heldBytes)
  }

  sent(stream: ReadingStream): void {
    this.#inTurn.delete(stream)
    this.#line.delete(stream)
  }

  get #littleBytes(): number {
    const fairBytes = Math.floor(little.togetherBytes / Math.max(1, this.#streamCount()))
    return Math.max(little.leastBytes, Math.min(fairBytes, little.mostBytes))
  }

  #mayGrow(stream: ReadingStream): boolean {
    const { heldBytes, batchBytes } = stream
    const peers = this.#peersOf(stream)
    const poolBytes = poolBytesOf(stream)
    if (heldBytes < batchBytes && this.#inTurn.has(stream)) return this.#usedBytes(peers) < poolBytes
    const isNext = !this.#isBehindOthers(stream, peers)
    if (heldBytes >= batchBytes) {
      const hasNext = heldBytes >= 2 * batchBytes
      return isNext && !hasNext && this.#usedBytes(peers) < poolBytes - leftForOthersBytes
    }
    if (!isNext || !this.#fits(stream, peers)) return false
    this.#inTurn.add(stream)
    return true
  }

  /** Whether there is room for a full batch of it. */
  #fits(stream: ReadingStream, peers: readonly ReadingStream[]): boolean {
    const { heldBytes, batchBytes } = stream
    const neededBytes = Math.max(0, batchBytes - Math.max(heldBytes, this.#littleBytes))
    const fitsAll = this.#usedBytes([...this.#large]) + neededBytes <= pools.sound + pools.doubtful
    return fitsAll && this.#usedBytes(peers) + neededBytes <= poolBytesOf(stream)
  }

  /** What they hold beyond the little that each may. */
  #usedBytes(streams: readonly ReadingStream[]): number {
    const littleBytes = this.#littleBytes
    return streams.reduce((sum, { heldBytes }) => sum + Math.max(0, heldBytes - littleBytes), 0)
  }

  /** Whether others were waiting before it. */
  #isBehindOthers(stream: ReadingStream, peers: readonly ReadingStream[]): boolean {
    for (const other of this.#line.keys()) {
      if (other === stream) return false
      if (this.isWaiting(other) && peers.includes(other)) return true
    }
    return false
  }

  /** Those that share a pool with it, itself among them. */
  #peersOf(stream: ReadingStream): readonly ReadingStream[] {
    return [...this.#large].filter((other) => isSound(other) === isSound(stream))
  }

  /** Forgets those that hold but a little and do not ask for more. */
  #prune(asking: ReadingStream): void {
    const littleBytes = this.#littleBytes
    for (const stream of this.#large) {
      if (stream === asking || stream.heldBytes >= littleBytes) continue
      this.#large.delete(stream)
      this.#inTurn.delete(stream)
      this.#line.delete(stream)
    }
  }
}

/** For the few streams that never wait for others. */
export function upTo(maxBytes: number): ReadAheadRule {
  return {
    hasRoom: ({ heldBytes }) => heldBytes < maxBytes,
    roomBytes: ({ heldBytes }) => Math.max(leastReadBytes, maxBytes - heldBytes),
    isWaiting: () => false,
    isToGiveWay: () => false,
    sent: () => undefined,
  }
}

function isSound({ isProven, isFailing }: ReadingStream): boolean {
  return isProven && !isFailing
}

function poolBytesOf(stream: ReadingStream): number {
  return isSound(stream) ? pools.sound : pools.doubtful
}
