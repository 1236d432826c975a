import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'

import { sleep } from '../../../agent/lib/sleep.ts'
import type { Faults } from '../faults.ts'
import type { RequestLog } from '../request-log.ts'

/** The service's name in records, faults and quotas. */
export const iotService = 'iot'

/** What faults do to one packet. */
export interface PacketFaults {
  /** It is as if the packet had never arrived. */
  readonly swallowed: boolean
  /** It is refused with this reason code. */
  readonly reasonCode: number | undefined
}

export interface PacketRecord {
  /** Connect, Publish, Subscribe, Receive or Disconnect. */
  readonly action: string
  /** The client id, topic or filter. */
  readonly path: string
  /** 200, the reason code of a refusal, or 0 where there was no answer. */
  readonly status: number
  readonly bytes: number
  readonly thingName: string | undefined
}

export interface IotTrafficOptions {
  readonly now: () => number
  readonly faults: Faults
  readonly requests: RequestLog
  readonly reset: (remotePort: number | undefined) => void
}

/** Faults and records of MQTT packets, in the terms that HTTP requests have. */
export class IotTraffic {
  readonly #options: IotTrafficOptions

  constructor(options: IotTrafficOptions) {
    this.#options = options
  }

  /**
   * Takes the faults that hit this packet: `latency` holds it up (and what comes after it), `error` refuses it with
   * `status` as the reason code, `stall` swallows it, `reset` resets the connection. Rejects when the signal aborts.
   */
  async faultsOf(action: string, client: Socket, signal: AbortSignal): Promise<PacketFaults> {
    const hits = this.#options.faults.takeForRequest(iotService, action)
    for (const fault of hits) if (fault.kind === 'latency') await sleep(fault.delayMs, signal)
    const reset = hits.some(({ kind }) => kind === 'reset')
    if (reset) this.#options.reset(client.remotePort)
    const error = hits.find((fault) => fault.kind === 'error')
    return { swallowed: reset || hits.some(({ kind }) => kind === 'stall'), reasonCode: error?.status }
  }

  record({ action, path, status, bytes, thingName }: PacketRecord): void {
    this.#options.requests.add({
      id: randomUUID(),
      service: iotService,
      action,
      atMs: this.#options.now(),
      status,
      requestBytes: action === 'Receive' ? 0 : bytes,
      responseBytes: action === 'Receive' ? bytes : 0,
      host: 'localhost',
      path,
      thingName,
      callerArn: undefined,
    })
  }
}
