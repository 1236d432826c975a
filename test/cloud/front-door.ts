import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'

import { sleep } from '../../agent/lib/sleep.ts'
import { ServiceFault, type CloudRequest, type CloudResponse } from './contract.ts'
import type { Fault, Faults } from './faults.ts'
import { readRequest } from './read-request.ts'
import type { RequestLog, RequestRecord } from './request-log.ts'
import { writeResponse } from './write-response.ts'

/** What answers a request, once it is known whose it is. */
export interface Target {
  readonly service: string
  readonly action: string
  /** Throws a ServiceFault to refuse. */
  readonly answer: (request: CloudRequest, tell: TellCaller) => Promise<CloudResponse> | CloudResponse
  readonly formatFault: (fault: ServiceFault, request: CloudRequest) => CloudResponse
}

/** Says for the record who the caller turned out to be. */
export type TellCaller = (caller: { readonly thingName?: string | undefined; readonly callerArn?: string }) => void

/** The connection side of a front door. */
interface Connections {
  readonly isBlackhole: boolean
  reset(remotePort: number | undefined): void
}

export interface FrontDoorOptions {
  readonly route: (request: CloudRequest) => Target
  readonly now: () => number
  readonly faults: Faults
  readonly requests: RequestLog
  readonly connections: () => Connections
  /** Gets what a service threw that is no ServiceFault: a defect of the cloud itself. */
  readonly onDefect: (error: unknown) => void
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * What is the same for every service: reading, faults, records, the shape of refusals, the cloud's Date. A request is
 * on record before the first byte of its answer leaves.
 */
export class FrontDoor implements AsyncDisposable {
  readonly #options: FrontDoorOptions
  readonly #open = new Set<Promise<void>>()

  constructor(options: FrontDoorOptions) {
    this.#options = options
  }

  readonly handler: RequestListener = (incoming, outgoing) => {
    const exchange = this.#serve(incoming, outgoing)
    this.#open.add(exchange)
    void exchange.finally(() => this.#open.delete(exchange))
  }

  /** Waits for the exchanges in flight; their connections must be gone by then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open)
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const gone = new AbortController()
    outgoing.once('close', () => {
      gone.abort()
    })
    outgoing.on('error', () => {
      gone.abort()
    })
    try {
      await this.#exchange(incoming, outgoing, gone.signal)
    } catch (error) {
      if (!gone.signal.aborted) this.#options.onDefect(error)
      outgoing.destroy()
    }
  }

  async #exchange(incoming: IncomingMessage, outgoing: ServerResponse, signal: AbortSignal): Promise<void> {
    const { now, faults, requests, connections, route } = this.#options
    const { remotePort } = incoming.socket
    const arrived = await readRequest(incoming).catch(() => undefined)
    if (arrived === undefined || connections().isBlackhole) return
    const { request, tooLarge } = arrived
    const target = route(request)
    const record = newRecord(request, target, now())
    const hits = faults.takeForRequest(target.service, target.action)
    for (const fault of hits) if (fault.kind === 'latency') await sleep(fault.delayMs, signal)
    if (hits.some(({ kind }) => kind === 'reset')) {
      requests.add(record)
      connections().reset(remotePort)
      return
    }
    const response = await this.#respond({ request, target, record, refusal: refusalOf(hits, tooLarge) })
    if (connections().isBlackhole) return
    record.status = response.status
    requests.add(record)
    await writeResponse(outgoing, withId(response, request, target), {
      signal,
      nowMs: now(),
      faults: hits,
      onBytes: (bytes) => {
        record.responseBytes += bytes
      },
    })
  }

  async #respond(options: {
    readonly request: CloudRequest
    readonly target: Target
    readonly record: Mutable<RequestRecord>
    readonly refusal: ServiceFault | undefined
  }): Promise<CloudResponse> {
    const { request, target, record, refusal } = options
    try {
      if (refusal !== undefined) throw refusal
      return await target.answer(request, ({ thingName, callerArn }) => {
        record.thingName = thingName
        record.callerArn = callerArn
      })
    } catch (error) {
      if (error instanceof ServiceFault) return target.formatFault(error, request)
      this.#options.onDefect(error)
      return target.formatFault(new ServiceFault(500, 'InternalFailure', 'The local cloud has a defect'), request)
    }
  }
}

function newRecord(request: CloudRequest, target: Target, atMs: number): Mutable<RequestRecord> {
  return {
    id: request.id,
    service: target.service,
    action: target.action,
    atMs,
    status: 0,
    requestBytes: request.body.length,
    responseBytes: 0,
    host: request.host,
    path: request.rawPath,
    thingName: undefined,
    callerArn: undefined,
  }
}

function refusalOf(faults: readonly Fault[], tooLarge: boolean): ServiceFault | undefined {
  for (const fault of faults) {
    if (fault.kind === 'error') {
      return new ServiceFault(fault.status, fault.code, fault.message ?? `${fault.code} on demand`, fault.headers)
    }
  }
  return tooLarge ? new ServiceFault(413, 'RequestEntityTooLarge', 'The request is too large') : undefined
}

function withId(response: CloudResponse, request: CloudRequest, { service }: Target): CloudResponse {
  const name = service === 's3' ? 'x-amz-request-id' : 'x-amzn-requestid'
  const named = Object.keys(response.headers ?? {}).some((header) => header.toLowerCase() === name)
  return named ? response : { ...response, headers: { ...response.headers, [name]: request.id } }
}
