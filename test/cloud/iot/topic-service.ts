/** What a service says to a request: the body goes to `<topic>/accepted` or `<topic>/rejected`. */
export interface TopicAnswer {
  readonly accepted: boolean
  /** For the record, as if it were HTTP. */
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Why a request is refused before the service sees it: a fault on demand, or a quota. */
export interface TopicRefusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** A service that lives on reserved topics. */
export interface TopicService {
  /** The name in records, faults and quotas. */
  readonly name: string
  readonly filters: readonly string[]
  /** Undefined for a topic that is another service's. */
  readonly requestOf: (topic: string) => { readonly action: string; readonly thingName: string } | undefined
  readonly answer: (topic: string, payload: Buffer) => TopicAnswer
  readonly refuse: (payload: Buffer, refusal: TopicRefusal) => TopicAnswer
  /** Does what time has made due. */
  readonly tick: () => void
}
