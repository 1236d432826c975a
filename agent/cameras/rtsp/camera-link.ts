import { openCameraSocket, type CameraPlace } from './camera-socket.ts'
import { RtspConnection, type RtspRequest } from './rtsp-connection.ts'
import { RtspFault } from './rtsp-fault.ts'
import type { RtspAnswer } from './rtsp-reader.ts'

export interface CameraLinkOptions {
  readonly place: CameraPlace
  readonly connectMs: number
  readonly signal: AbortSignal
}

/** Requests to one camera, over a new connection whenever the camera has ended the one before. */
export class CameraLink implements Disposable {
  readonly #options: CameraLinkOptions
  #connection: RtspConnection | undefined
  #cseq = 0
  #isUsed = false

  constructor(options: CameraLinkOptions) {
    this.#options = options
  }

  /** Makes sure that there is a connection. Throws an RtspFault or the signal's reason. */
  async connect(): Promise<RtspConnection> {
    const { place, connectMs, signal } = this.#options
    signal.throwIfAborted()
    if (this.#connection?.isOpen === true) return this.#connection
    this.#connection?.[Symbol.dispose]()
    this.#connection = new RtspConnection(await openCameraSocket(place, connectMs, signal), signal)
    this.#isUsed = false
    return this.#connection
  }

  /**
   * Sends a request, and once more where a connection that had been used turns out to be over: the camera ended it
   * after its last answer, or has no other answer to give. `mayRepeat` is asked before that. Throws an RtspFault, the
   * signal's reason, or what `mayRepeat` throws.
   */
  async request(request: Omit<RtspRequest, 'cseq'>, mayRepeat: () => Promise<boolean> = always): Promise<RtspAnswer> {
    const connection = await this.connect()
    const wasUsed = this.#isUsed
    try {
      return await this.#send(connection, request)
    } catch (fault) {
      if (!wasUsed || !(fault instanceof RtspFault) || !fault.isWithoutAnswer) throw fault
      const next = await this.connect()
      if (!(await mayRepeat())) throw fault
      return await this.#send(next, request)
    }
  }

  [Symbol.dispose](): void {
    this.#connection?.[Symbol.dispose]()
  }

  async #send(connection: RtspConnection, request: Omit<RtspRequest, 'cseq'>): Promise<RtspAnswer> {
    this.#isUsed = true
    this.#cseq += 1
    return await connection.request({ ...request, cseq: this.#cseq })
  }
}

async function always(): Promise<boolean> {
  return await Promise.resolve(true)
}
