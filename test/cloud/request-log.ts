/** One request as the cloud saw it. */
export interface RequestRecord {
  readonly id: string
  readonly service: string
  readonly action: string
  /** The cloud's time in milliseconds when the request had arrived. */
  readonly atMs: number
  /** 0 when the connection ended without an answer. A refused MQTT packet has its reason code. */
  readonly status: number
  readonly requestBytes: number
  /** Bytes of the answer's body that were handed to the connection so far. */
  readonly responseBytes: number
  readonly host: string
  /** Still percent-encoded, without the query. */
  readonly path: string
  readonly thingName: string | undefined
  readonly callerArn: string | undefined
}

export type RequestFilter = Partial<
  Pick<RequestRecord, 'service' | 'action' | 'status' | 'host' | 'path' | 'thingName' | 'callerArn'>
> & {
  /** Only requests that arrived at this time of the cloud or later. */
  readonly sinceMs?: number
}

/** Every request, the newest `maxRecords` of them in full. */
export class RequestLog {
  readonly #maxRecords: number
  #records: RequestRecord[] = []
  #dropped = 0

  constructor(maxRecords = 100_000) {
    this.#maxRecords = maxRecords
  }

  /** How many of the oldest records had to go. While it is not 0, counts are too low. */
  get dropped(): number {
    return this.#dropped
  }

  add(record: RequestRecord): void {
    this.#records.push(record)
    if (this.#records.length <= this.#maxRecords) return
    const surplus = Math.ceil(this.#maxRecords / 10)
    this.#records = this.#records.slice(surplus)
    this.#dropped += surplus
  }

  /** Oldest first, in the order in which they were answered. */
  list(filter: RequestFilter = {}): readonly RequestRecord[] {
    return this.#records.filter((record) => matches(record, filter))
  }

  count(filter: RequestFilter = {}): number {
    return this.list(filter).length
  }

  /** Counts by `service:action`, for what an appliance costs. */
  countByAction(filter: RequestFilter = {}): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { service, action } of this.list(filter)) {
      const key = `${service}:${action}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return counts
  }

  clear(): void {
    this.#records = []
    this.#dropped = 0
  }
}

function matches(record: RequestRecord, { sinceMs = -Infinity, ...wanted }: RequestFilter): boolean {
  if (record.atMs < sinceMs) return false
  return (
    (wanted.service ?? record.service) === record.service &&
    (wanted.action ?? record.action) === record.action &&
    (wanted.status ?? record.status) === record.status &&
    (wanted.host ?? record.host) === record.host &&
    (wanted.path ?? record.path) === record.path &&
    (wanted.thingName ?? record.thingName) === record.thingName &&
    (wanted.callerArn ?? record.callerArn) === record.callerArn
  )
}
