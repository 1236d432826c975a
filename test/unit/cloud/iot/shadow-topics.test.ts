import { beforeEach, describe, expect, it } from 'vitest'

import { createShadowTopics, updateMessages } from '../../../cloud/iot/shadows/shadow-topics.ts'
import { Shadows, type ShadowUpdateResult } from '../../../cloud/iot/shadows/shadows.ts'
import type { TopicAnswer } from '../../../cloud/iot/topic-service.ts'

const thingName = 'dock-1'
const timestamp = 1_700_000_000

describe('requests to named shadows', () => {
  let updates: ShadowUpdateResult[]
  let ask: (request: string, body?: unknown, shadow?: string) => TopicAnswer

  beforeEach(() => {
    updates = []
    const shadows = new Shadows(
      () => timestamp,
      (_thing, _shadow, result) => updates.push(result),
    )
    const service = createShadowTopics({
      shadows,
      nowSeconds: () => timestamp,
      thingExists: (name) => name === thingName,
    })
    ask = (request, body = '', shadow = 'panorama-agent') => {
      const payload = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
      return service.answer(`$aws/things/${thingName}/shadow/name/${shadow}/${request}`, payload)
    }
  })

  it('answers an update with what was asked, when, and the version', () => {
    expect(ask('update', { state: { reported: { a: 1, b: null } }, clientToken: 'abc' })).toEqual({
      accepted: true,
      status: 200,
      body: {
        state: { reported: { a: 1, b: null } },
        metadata: { reported: { a: { timestamp } } },
        version: 1,
        timestamp,
        clientToken: 'abc',
      },
    })
  })

  it('answers get with state, delta, metadata and version', () => {
    ask('update', { state: { desired: { a: 1, b: 2 }, reported: { a: 1 } } })

    expect(ask('get', { clientToken: 'abc' }).body).toEqual({
      state: { desired: { a: 1, b: 2 }, reported: { a: 1 }, delta: { b: 2 } },
      metadata: { desired: { a: { timestamp }, b: { timestamp } }, reported: { a: { timestamp } } },
      version: 1,
      timestamp,
      clientToken: 'abc',
    })
  })

  it('announces documents of every update, and a delta while there is one', () => {
    ask('update', { state: { desired: { a: 1 } }, clientToken: 'abc' })
    ask('update', { state: { reported: { a: 1 } } })
    const [first, second] = updates.map((update) => updateMessages(update, timestamp))

    expect(first).toEqual({
      documents: {
        previous: { state: {}, metadata: {}, version: 0 },
        current: { state: { desired: { a: 1 } }, metadata: { desired: { a: { timestamp } } }, version: 1 },
        timestamp,
        clientToken: 'abc',
      },
      delta: { state: { a: 1 }, metadata: { a: { timestamp } }, version: 1, timestamp, clientToken: 'abc' },
    })
    expect(second?.delta).toBeUndefined()
  })

  it('deletes, and counts versions on afterwards', () => {
    ask('update', { state: { reported: { a: 1 } } })

    expect(ask('delete').body).toEqual({ version: 1, timestamp })
    expect(ask('get')).toMatchObject({ accepted: false, body: { code: 404 } })
    expect(ask('update', { state: { reported: { a: 1 } } }).body).toMatchObject({ version: 2 })
  })

  it('takes the version that it has, and no other', () => {
    ask('update', { state: { reported: { a: 1 } } })

    expect(ask('update', { state: { reported: { a: 2 } }, version: 1 }).accepted).toBe(true)
    expect(ask('update', { state: { reported: { a: 3 } }, version: 1 }).body).toMatchObject({ code: 409 })
    expect(ask('delete', { version: 1 }).body).toMatchObject({ code: 409 })
  })

  const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) })

  it.each<[string, number, string, unknown, string?]>([
    ['no JSON', 400, 'update', '{'],
    ['no bytes', 400, 'update', ''],
    ['no object', 400, 'update', '[]'],
    ['no state', 400, 'update', {}],
    ['a state that is no object', 400, 'update', { state: 1 }],
    ['another section', 400, 'update', { state: { delta: {} } }],
    ['a section that is no object', 400, 'update', { state: { reported: [] } }],
    ['a null in an array', 400, 'update', { state: { reported: { a: [null] } } }],
    ['nine levels', 400, 'update', { state: { reported: nested(9) } }],
    ['a version that is no number', 400, 'update', { state: {}, version: 'x' }],
    ['a bad name', 400, 'get', '', 'a b'],
    ['a name of 65 characters', 400, 'get', '', 'a'.repeat(65)],
    ['a shadow that is not there', 404, 'get', ''],
    ['a shadow to delete that is not there', 404, 'delete', ''],
    ['more than 8 KB', 413, 'update', { state: { reported: { a: 'x'.repeat(8192) } } }],
  ])('rejects %s with %i', (_what, code, request, body, shadow) => {
    expect(ask(request, body, shadow)).toMatchObject({ accepted: false, status: code, body: { code, timestamp } })
  })

  it('takes eight levels, and no more than 8 KB in all', () => {
    expect(ask('update', { state: { reported: nested(8) } }).accepted).toBe(true)
    expect(ask('update', { state: { reported: { b: 'x'.repeat(5000) } } }).accepted).toBe(true)
    expect(ask('update', { state: { reported: { c: 'x'.repeat(5000) } } }).body).toMatchObject({ code: 413 })
  })
})
