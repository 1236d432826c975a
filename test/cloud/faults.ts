/** What can be made to go wrong. Offsets and times are in milliseconds. */
export type Fault =
  | { readonly kind: 'latency'; readonly delayMs: number }
  | {
      readonly kind: 'error'
      /** Of MQTT packets, the reason code. */
      readonly status: number
      /** Such as `SlowDown`; it is put in the shape of the service's protocol. */
      readonly code: string
      readonly message?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** The connection is reset before an answer. */
  | { readonly kind: 'reset' }
  /** The answer's body ends after so many bytes, and the connection with it. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The answer's body stops after so many bytes, and the connection stays open. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** The Date header is off by so much. */
  | { readonly kind: 'clock'; readonly offsetMs: number }
  /** Names are not resolved. `service` is not looked at; `host` restricts it to one name. */
  | { readonly kind: 'dns'; readonly code: 'ENOTFOUND' | 'EAI_AGAIN'; readonly host?: string }

export interface FaultOptions {
  /**
   * `credentials`, `s3`, `secretsmanager`, `logs` or `sts`; `iot` for MQTT packets (Connect, Publish, Subscribe, Receive),
   * `iot-jobs`, `iot-shadow` and `iot-provisioning` for requests by topic. Default: all of them.
   */
  readonly service?: string
  readonly action?: string
  /** Gone after so many hits. Default: lasts until disposed. */
  readonly count?: number
}

/** A fault that is on until it is disposed of or used up. */
export interface ActiveFault extends Disposable {
  readonly hits: number
}

interface Entry extends FaultOptions {
  readonly fault: Fault
  hits: number
}

/** The faults that are on. Several can hit one request. */
export class Faults {
  readonly #entries = new Set<Entry>()

  inject(fault: Fault, options: FaultOptions = {}): ActiveFault {
    const entry: Entry = { ...options, fault, hits: 0 }
    this.#entries.add(entry)
    return {
      get hits() {
        return entry.hits
      },
      [Symbol.dispose]: () => {
        this.#entries.delete(entry)
      },
    }
  }

  /** Ends every fault. */
  clear(): void {
    this.#entries.clear()
  }

  /** The faults that hit this request; each is counted as a hit. */
  takeForRequest(service: string, action: string): readonly Fault[] {
    return this.#take(
      (entry) =>
        entry.fault.kind !== 'dns' && (entry.service ?? service) === service && (entry.action ?? action) === action,
    )
  }

  /** The code with which a name fails to resolve, if it does. */
  takeForLookup(host: string): 'ENOTFOUND' | 'EAI_AGAIN' | undefined {
    const [fault] = this.#take(({ fault }) => fault.kind === 'dns' && (fault.host ?? host) === host)
    return fault?.kind === 'dns' ? fault.code : undefined
  }

  #take(hit: (entry: Entry) => boolean): readonly Fault[] {
    const taken = [...this.#entries].filter(hit)
    for (const entry of taken) {
      entry.hits += 1
      if (entry.hits >= (entry.count ?? Infinity)) this.#entries.delete(entry)
    }
    return taken.map(({ fault }) => fault)
  }
}
