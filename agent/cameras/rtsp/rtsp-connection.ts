import type { Socket } from 'node:net'

import { RtspFault } from './rtsp-fault.ts'
import { RtspReader, type RtspAnswer } from './rtsp-reader.ts'

export interface RtspRequest {
  readonly method: 'OPTIONS' | 'DESCRIBE'
  /** In ASCII, without spaces and control characters. */
  readonly url: string
  readonly cseq: number
  /** Values have one character per byte (latin1), and no line ends. */
  readonly headers: Readonly<Record<string, string>>
}

interface Waiting {
  readonly cseq: number
  readonly resolve: (answer: RtspAnswer) => void
  readonly reject: (fault: unknown) => void
}

/** Answers to nothing that was asked, such as 100 Continue, before the connection is given up. */
const maxStrayAnswers = 16

/** One request after the other over a socket that is connected. It owns the socket; on abort it destroys it at once. */
export class RtspConnection implements Disposable {
  readonly #socket: Socket
  readonly #signal: AbortSignal
  readonly #reader = new RtspReader()
  #waiting: Waiting | undefined
  #strayAnswers = 0
  #fault: unknown

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
    const onEnd = (cause?: unknown): void => {
      this.#end(endedFault(this.#reader.hasPart, cause))
    }
    socket.on('data', (bytes: Buffer) => {
      this.#read(bytes)
    })
    socket.on('error', onEnd)
    socket.once('end', onEnd)
    socket.once('close', onEnd)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
    else if (socket.destroyed) onEnd()
  }

  get isOpen(): boolean {
    return this.#fault === undefined
  }

  /**
   * Sends a request, and answers the head of its answer; the body, if any, is skipped. Throws an RtspFault when there
   * is none, or the signal's reason. Not concurrent.
   */
  async request({ method, url, cseq, headers }: RtspRequest): Promise<RtspAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<RtspAnswer>()
    this.#waiting = { cseq, resolve, reject }
    if (this.#fault !== undefined) reject(this.#fault)
    const all = { CSeq: String(cseq), 'User-Agent': 'panorama-agent', ...headers }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
    this.#socket.write([`${method} ${url} RTSP/1.0`, ...lines, '', ''].join('\r\n'), 'latin1')
    return await promise
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#end(endedFault(false, undefined))
  }

  readonly #onAbort = (): void => {
    this.#end(this.#signal.reason)
  }

  #read(bytes: Buffer): void {
    if (this.#fault !== undefined) return
    try {
      this.#reader.push(bytes)
      for (let answer = this.#reader.next(); answer !== undefined; answer = this.#reader.next()) this.#take(answer)
    } catch (fault) {
      this.#end(fault)
      return
    }
    if (this.#reader.isOver) this.#end(endedFault(this.#waiting !== undefined, undefined))
  }

  /** Without a CSeq it is taken for the answer: some cameras leave it out where they refuse. */
  #take(answer: RtspAnswer): void {
    const waiting = this.#waiting
    const isFinal = answer.status >= 200
    if (waiting !== undefined && isFinal && (answer.cseq ?? waiting.cseq) === waiting.cseq) {
      this.#waiting = undefined
      waiting.resolve(answer)
      return
    }
    this.#strayAnswers += 1
    if (this.#strayAnswers > maxStrayAnswers) {
      throw new RtspFault('it sends answers to what was not asked', { outcome: 'unclear' })
    }
  }

  #end(fault: unknown): void {
    if (this.#fault !== undefined) return
    this.#fault = fault
    this.#socket.destroy()
    this.#waiting?.reject(fault)
    this.#waiting = undefined
  }
}

function endedFault(hasPart: boolean, cause: unknown): RtspFault {
  return hasPart
    ? new RtspFault('the connection ended within its answer', { outcome: 'unclear', cause })
    : new RtspFault('the connection ended before its answer', { outcome: 'unreachable', isWithoutAnswer: true, cause })
}
