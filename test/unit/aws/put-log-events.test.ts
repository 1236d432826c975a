import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'

import { CloudWatchLogsClient, PutLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs'
import type { NodeHttpHandler } from '@smithy/node-http-handler'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { createAwsCall } from '../../../agent/aws/aws-call.ts'
import { compressBody } from '../../../agent/aws/put-log-events-body.ts'
import { createPutLogEvents } from '../../../agent/aws/put-log-events.ts'
import type { LogEvent } from '../../../agent/logs/log-destination.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const target = { group: '/aws/panorama/devices/test', stream: 'app' }
const options = { service: 'logs', operation: 'PutLogEvents', resource: 'app', signal: AbortSignal.any([]) } as const
const small = Array.from({ length: 20 }, () => ({ timestampMs: 1, message: 'one and the same' }))
const large = Array.from({ length: 200 }, (_, index) => ({ timestampMs: index, message: `frame ${index} zażółć` }))

/** Lone surrogates included. */
const codeUnit = fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code))

test('sends what the SDK would send', async () => {
  const events = fc.array(
    fc.record({
      timestampMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      message: fc.oneof(
        fc.string(),
        fc.string({ unit: 'binary' }),
        fc.string({ unit: codeUnit }),
        fc.constant('__proto__'),
      ),
    }),
  )
  await fc.assert(
    fc.asyncProperty(events, fc.constantFrom('gzip', 'none'), async (batch, compression) => {
      const server = startServer()
      await server.put(batch, compression)
      const logEvents = batch.map(({ timestampMs, message }) => ({ timestamp: timestampMs, message }))
      const input = { logGroupName: target.group, logStreamName: target.stream, logEvents }
      await server.client.send(new PutLogEventsCommand(input))
      const [ours, theirs] = server.requests
      expect(ours?.json).toEqual(theirs?.json)
      expect(namesOf(ours?.headers)).toEqual(expect.arrayContaining([...namesOf(theirs?.headers)]))
    }),
  )
})

test('compresses a batch and signs its encoding', async () => {
  const server = startServer()
  await server.put(large, 'gzip')
  const [request] = server.requests
  expect(request?.headers).toMatchObject({
    'content-encoding': 'gzip',
    'content-length': String(request?.bytes.length),
  })
  expect(request?.headers['authorization']).toMatch(/SignedHeaders=\S+;content-encoding;content-length;/)
  expect(request?.bytes.length).toBeLessThan(JSON.stringify(request?.json).length / 4)
})

test.each([
  ['a batch under 4 KiB', small, 'gzip'],
  ['any batch when compression is off', large, 'none'],
] as const)('sends %s as it is', async (_, events, compression) => {
  const server = startServer()
  await server.put(events, compression)
  expect(server.requests[0]?.headers).not.toHaveProperty('content-encoding')
  expect(server.requests[0]?.headers['content-length']).toBe(String(server.requests[0]?.bytes.length))
})

test('leaves a body as it is that does not shrink', async () => {
  const bytes = randomBytes(8_192)
  expect(await compressBody(bytes)).toEqual({ bytes, encoding: undefined })
})

test('signs each try of the SDK', async () => {
  const server = startServer((_, index) => (index === 0 ? answer(500, {}) : answer(200, {})))
  await server.put(large, 'gzip')
  const [first, second] = server.requests
  expect(second?.bytes).toEqual(first?.bytes)
  expect(second?.headers['authorization']).toBeDefined()
})

test.each([
  ['by the service', answer(400, { __type: 'SerializationException' })],
  ['in words', answer(400, { __type: 'InvalidParameterException', message: 'Unsupported Content-Encoding: gzip' })],
  ['by a proxy', answer(400, '<html>400 Bad Request</html>')],
  ['for its type', answer(415, { __type: 'UnsupportedMediaType' })],
])('sends a batch that is refused %s once more as it is, and no other compressed', async (_, refusal) => {
  const server = startServer(({ headers }) => ('content-encoding' in headers ? refusal : answer(200, {})))
  const put = server.opened('gzip')
  await put(options, { target, events: large })
  await put(options, { target, events: large })
  expect(server.encodings()).toEqual(['gzip', undefined, undefined])
  expect(server.requests[1]?.json).toEqual(server.requests[0]?.json)
  expect(server.log.messages('warn')).toEqual([
    'log batches are sent uncompressed from now on: compressed ones are refused',
  ])
})

test.each(['gzip', 'none'] as const)(
  'takes up the memory of a body again once that was taken (%s)',
  async (compression) => {
    const full = Array.from({ length: 3 }, (_, index) => ({ timestampMs: index, message: `${index}`.repeat(300_000) }))
    const failing = { of: 1 }
    const server = startServer((_, index) => (index === failing.of ? answer(400, {}) : answer(200, {})))
    const put = server.opened(compression)
    for (const change of ['one', 'two', 'three', 'four']) {
      const events = [{ timestampMs: 0, message: change }, ...full]
      const sent = put(options, { target, events })
      if (change === 'two') await expect(sent).rejects.toThrow()
      else await sent
    }
    expect(server.requests.map(({ json }) => json)).toEqual(
      ['one', 'two', 'three', 'four'].map((change) => ({
        logGroupName: target.group,
        logStreamName: target.stream,
        logEvents: [{ timestampMs: 0, message: change }, ...full].map(({ timestampMs, message }) => ({
          timestamp: timestampMs,
          message,
        })),
      })),
    )
    if (compression === 'gzip') return
    const [one, two, three, four] = server.requests.map(({ memory }) => memory)
    expect([two === one, three === two, four === three]).toEqual([true, false, true])
  },
)

test('reads no event once its signal has aborted: what it is in may be in use for others', async () => {
  const events = { length: 1, [Symbol.iterator]: () => expect.unreachable('an event is read') }
  const aborted = { ...options, signal: AbortSignal.abort(new Error('too late')) }
  await expect(startServer().opened('none')(aborted, { target, events })).rejects.toThrow('too late')
})

test('says once what several batches at a time found out', async () => {
  const refusal = answer(400, { __type: 'SerializationException' })
  const server = startServer(({ headers }) => ('content-encoding' in headers ? refusal : answer(200, {})))
  const put = server.opened('gzip')
  await Promise.all([1, 2, 3].map(() => put(options, { target, events: large })))
  expect(server.log.messages('warn')).toHaveLength(1)
})

test('goes on compressing when a batch is refused uncompressed as well', async () => {
  const refusal = answer(400, { __type: 'InvalidParameterException', message: "Value 'gzip' is no name" })
  const server = startServer(() => refusal)
  const put = server.opened('gzip')
  for (let count = 0; count < 2; count += 1) {
    await expect(put(options, { target, events: large })).rejects.toMatchObject({ code: 'InvalidParameterException' })
  }
  expect(server.encodings()).toEqual(['gzip', undefined, 'gzip', undefined])
  expect(server.log.entries).toEqual([])
})

test.each([
  ['what has nothing to do with the encoding', large, { __type: 'ResourceNotFoundException', message: 'no stream' }],
  ['a batch that was not compressed', small, { __type: 'SerializationException' }],
])('tries %s no second time', async (_, events, body) => {
  const server = startServer(() => answer(400, body))
  await expect(server.put(events, 'gzip')).rejects.toMatchObject({ code: body.__type })
  expect(server.requests).toHaveLength(1)
})

type WireRequest = Parameters<NodeHttpHandler['handle']>[0]

interface SentRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Uint8Array
  readonly json: unknown
  /** That the body was in. */
  readonly memory: ArrayBufferLike
}

interface Answer {
  readonly statusCode: number
  readonly text: string
}

function answer(statusCode: number, body: object | string): Answer {
  return { statusCode, text: typeof body === 'string' ? body : JSON.stringify(body) }
}

/** The real SDK with `respond` in place of its connection. */
function startServer(respond: (request: SentRequest, index: number) => Answer = () => answer(200, {})) {
  const requests: SentRequest[] = []
  const log = new RecordingLog()
  const client = new CloudWatchLogsClient({
    region: 'us-west-2',
    credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
    requestHandler: {
      handle: ({ headers, body }: WireRequest) => {
        const bytes = Buffer.from(new Uint8Array(body as Uint8Array)) // of any type, says the SDK
        const text = 'content-encoding' in headers ? gunzipSync(bytes) : bytes
        const { buffer: memory } = body as Uint8Array
        const request = { headers, bytes, json: JSON.parse(text.toString()) as unknown, memory }
        requests.push(request)
        const response = respond(request, requests.length - 1)
        return Promise.resolve({
          response: { statusCode: response.statusCode, headers: {}, body: Readable.from([Buffer.from(response.text)]) },
        })
      },
      metadata: { handlerProtocol: 'http/1.1' },
    },
  })
  const credentials = { currentKeyId: () => undefined, invalidate: () => undefined }
  const call = createAwsCall({ credentials, onConnectionFailure: () => undefined })
  const opened = (compression: 'gzip' | 'none') => createPutLogEvents({ client, call, compression, log })
  return {
    client,
    log,
    requests,
    encodings: () => requests.map(({ headers }) => headers['content-encoding']),
    opened,
    put: (events: readonly LogEvent[], compression: 'gzip' | 'none') =>
      opened(compression)(options, { target, events }),
  }
}

function namesOf(headers: Readonly<Record<string, string>> = {}): readonly string[] {
  return Object.keys(headers).sort()
}
