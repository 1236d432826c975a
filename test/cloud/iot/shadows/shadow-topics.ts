import type { TopicAnswer, TopicService } from '../topic-service.ts'
import {
  deltaOf,
  metadataOf,
  pickMetadata,
  sections,
  type ShadowChange,
  type ShadowDocument,
  type ShadowState,
} from './shadow-document.ts'
import {
  checkShadowName,
  checkUpdate,
  checkVersion,
  parseShadowJson,
  parseShadowTopic,
  shadowFilters,
  ShadowRejection,
  shadowTokenOf,
  type ShadowTopic,
} from './shadow-requests.ts'
import { notFound, type Shadows, type ShadowUpdateResult } from './shadows.ts'

type Message = Readonly<Record<string, unknown>>

export interface ShadowTopicsOptions {
  readonly shadows: Shadows
  readonly nowSeconds: () => number
  readonly thingExists: (thingName: string) => boolean
}

/** AWS IoT's named shadows on their reserved topics. In records, faults and quotas it is `iot-shadow`. */
export function createShadowTopics(options: ShadowTopicsOptions): TopicService {
  const stamp = (payload: Buffer): Message => {
    const clientToken = shadowTokenOf(payload)
    return { timestamp: options.nowSeconds(), ...(clientToken === undefined ? {} : { clientToken }) }
  }
  const rejected = (payload: Buffer, code: number, message: string): TopicAnswer => ({
    accepted: false,
    status: code,
    body: { code, message, ...stamp(payload) },
  })
  return {
    name: 'iot-shadow',
    filters: shadowFilters,
    requestOf: parseShadowTopic,
    answer: (topic, payload) => {
      try {
        const body = answerShadowRequest(parseShadowTopic(topic), payload, options)
        return { accepted: true, status: 200, body: { ...body, ...stamp(payload) } }
      } catch (error) {
        if (!(error instanceof ShadowRejection)) throw error
        return rejected(payload, error.code, error.message)
      }
    },
    refuse: (payload, { status, message }) => rejected(payload, status, message),
    tick: () => undefined,
  }
}

/** What is published of an update besides its answer, by the last level of the topic. */
export function updateMessages(
  { previous, current, delta, clientToken }: ShadowUpdateResult,
  timestamp: number,
): Readonly<Record<'documents' | 'delta', Message | undefined>> {
  const stamp = { timestamp, ...(clientToken === undefined ? {} : { clientToken }) }
  return {
    documents: { previous, current, ...stamp },
    delta:
      delta === undefined
        ? undefined
        : {
            state: delta,
            metadata: pickMetadata(current.metadata.desired ?? {}, delta),
            version: current.version,
            ...stamp,
          },
  }
}

function answerShadowRequest(
  topic: ShadowTopic | undefined,
  payload: Buffer,
  { shadows, nowSeconds, thingExists }: ShadowTopicsOptions,
): Message {
  if (topic === undefined) throw new ShadowRejection(400, 'Invalid topic')
  checkShadowName(topic)
  const { thingName, shadowName, action } = topic
  if (!thingExists(thingName)) throw new ShadowRejection(404, `No thing exists with name: '${thingName}'`)
  const json = parseShadowJson(payload, { mayBeEmpty: action !== 'UpdateThingShadow' })
  switch (action) {
    case 'GetThingShadow': {
      const shadow = shadows.get(thingName, shadowName)
      if (shadow === undefined) throw notFound(thingName, shadowName)
      return withDelta(shadow)
    }
    case 'UpdateThingShadow': {
      const { change, version } = checkUpdate(json)
      const { current } = shadows.update(thingName, shadowName, {
        change,
        version,
        clientToken: shadowTokenOf(payload),
      })
      return { state: change, metadata: metadataOfChange(change, nowSeconds()), version: current.version }
    }
    case 'DeleteThingShadow':
      return { version: shadows.delete(thingName, shadowName, checkVersion(json)) }
  }
}

function withDelta({ state, metadata, version }: ShadowDocument): Message {
  const delta = deltaOf(state.desired ?? {}, state.reported ?? {})
  return { state: delta === undefined ? state : { ...state, delta }, metadata, version }
}

function metadataOfChange(change: ShadowChange, timestamp: number): ShadowState {
  return Object.fromEntries(
    sections.flatMap((section) => {
      const part = change[section]
      return part === undefined || part === null ? [] : [[section, metadataOf(part, timestamp)]]
    }),
  )
}
