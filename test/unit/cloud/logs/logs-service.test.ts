import { gzipSync } from 'node:zlib'

import { expect, test } from 'vitest'

import { ServiceFault } from '../../../cloud/contract.ts'
import { event, group, gzipped, hourMs, logsRequest, startLogs, startMs, stream, type Answer } from './logs-fixture.ts'

const errorOf = ({ status, body }: Answer): string => `${status} ${String(body['__type'])}: ${String(body['message'])}`

test('keeps what it accepts, in order of time and arrival', async () => {
  const { logs, clock, put } = startLogs()
  await put([event('b'), event('c')])
  clock.nowMs += 1000
  await put([event('a', startMs - 1), event('d')])
  expect(logs.events(group, stream).map(({ message }) => message)).toEqual(['a', 'b', 'c', 'd'])
  expect(logs.events(group, stream)[0]).toEqual({ ...event('a', startMs - 1), ingestedAtMs: startMs + 1000 })
})

test('takes the valid part of a batch, names the rest, and counts both', async () => {
  const { logs, put } = startLogs()
  const { status, body } = await put([event('now'), event('new', startMs + 3 * hourMs)])
  expect(status).toBe(200)
  expect(body['rejectedLogEventsInfo']).toEqual({ tooNewLogEventStartIndex: 1 })
  expect(logs.events(group, stream).map(({ message }) => message)).toEqual(['now'])
  expect(logs.accepted()).toEqual({ batches: 1, events: 1, bytes: 29, rejectedEvents: 1, droppedEvents: 0 })
})

test('says nothing of rejected events when there are none', async () => {
  const { put } = startLogs()
  const { body } = await put([event('now')])
  expect(body).not.toHaveProperty('rejectedLogEventsInfo')
  expect(body['nextSequenceToken']).toMatch(/^\d{56}$/)
})

test('takes nothing of a batch that it refuses', async () => {
  const { logs, put } = startLogs()
  expect(errorOf(await put([event('b'), event('a', startMs - 1)]))).toBe(
    '400 InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order.',
  )
  expect(logs.events(group, stream)).toEqual([])
  expect(logs.accepted().batches).toBe(0)
})

test('ignores sequence tokens, right or wrong', async () => {
  const { send, logs } = startLogs()
  const batch = { logGroupName: group, logStreamName: stream, logEvents: [event('x')], sequenceToken: 'wrong' }
  expect((await send('PutLogEvents', batch)).status).toBe(200)
  expect(logs.accepted().events).toBe(1)
})

test('reads a gzipped body', async () => {
  const { send, logs } = startLogs()
  const batch = { logGroupName: group, logStreamName: stream, logEvents: [event('packed')] }
  expect((await send('PutLogEvents', undefined, gzipped(batch))).status).toBe(200)
  expect(logs.events(group, stream).map(({ message }) => message)).toEqual(['packed'])
})

test('counts the inflated bytes of a gzipped body against the limit', async () => {
  const { send } = startLogs()
  const logEvents = [event('x'.repeat(600_000)), event('x'.repeat(600_000))]
  const sent = gzipped({ logGroupName: group, logStreamName: stream, logEvents })
  expect(errorOf(await send('PutLogEvents', undefined, sent))).toContain('Upload too large')
})

const batch = JSON.stringify({ logGroupName: group, logStreamName: stream, logEvents: [event('é')] })
const inflating = gzipSync(batch.padEnd(17 * 1_048_576))

test.each([
  ['gzip that is none', { headers: { 'content-encoding': 'gzip' }, bytes: Buffer.from(batch) }],
  ['gzip cut short', { headers: { 'content-encoding': 'gzip' }, bytes: gzipSync(batch).subarray(0, 40) }],
  ['gzip that inflates without end', { headers: { 'content-encoding': 'gzip' }, bytes: inflating }],
  ['an encoding that it does not know', { headers: { 'content-encoding': 'br' } }],
  ['what is no JSON', { bytes: Buffer.from('{') }],
  ['what is no UTF-8', { bytes: Buffer.from(batch, 'latin1') }],
])('refuses %s', async (_, options) => {
  const { put } = startLogs()
  expect(errorOf(await put([event('x')], options))).toMatch(/^400 SerializationException/)
})

test.each([
  ['a timestamp of text', { timestamp: 'now', message: 'x' }],
  ['a timestamp with a fraction', { timestamp: 1.5, message: 'x' }],
  ['a missing message', { timestamp: 1 }],
])('refuses %s', async (_, bad) => {
  const { put } = startLogs()
  expect(errorOf(await put([bad]))).toMatch(/^400 SerializationException: logEvents\.0\./)
})

test('says whether the group or the stream is missing', async () => {
  const { send } = startLogs()
  const put = async (logGroupName: string, logStreamName: string): Promise<string> =>
    errorOf(await send('PutLogEvents', { logGroupName, logStreamName, logEvents: [event('x')] }))
  expect(await put('/other', stream)).toBe('400 ResourceNotFoundException: The specified log group does not exist.')
  expect(await put(group, 'other')).toBe('400 ResourceNotFoundException: The specified log stream does not exist.')
})

test('makes groups and streams once', async () => {
  const { send, logs } = startLogs()
  const names = { logGroupName: '/aws/panorama/devices/device-2', logStreamName: 'kern_log' }
  expect(errorOf(await send('CreateLogStream', names))).toContain('The specified log group does not exist.')
  expect((await send('CreateLogGroup', names)).status).toBe(200)
  expect((await send('CreateLogStream', names)).status).toBe(200)
  expect(errorOf(await send('CreateLogGroup', names))).toBe(
    '400 ResourceAlreadyExistsException: The specified log group already exists',
  )
  expect(errorOf(await send('CreateLogStream', names))).toBe(
    '400 ResourceAlreadyExistsException: The specified log stream already exists',
  )
  expect(logs.groups().map(({ name }) => name)).toEqual([group, names.logGroupName])
  expect(logs.streams(names.logGroupName).map(({ name }) => name)).toEqual(['kern_log'])
})

test('does not find a new stream until it is visible, and will not make it again meanwhile', async () => {
  const { send, logs, clock } = startLogs()
  logs.setVisibleAfterMs(2000)
  const names = { logGroupName: group, logStreamName: 'late' }
  const put = async (): Promise<number> => (await send('PutLogEvents', { ...names, logEvents: [event('x')] })).status
  await send('CreateLogStream', names)
  clock.nowMs += 1999
  expect(await put()).toBe(400)
  expect(errorOf(await send('CreateLogStream', names))).toContain('ResourceAlreadyExistsException')
  expect(logs.streams(group).map(({ name }) => name)).toEqual([stream])
  clock.nowMs += 1
  expect(await put()).toBe(200)
})

test('sets aside what a shortened retention expires', async () => {
  const { put, logs } = startLogs()
  logs.setRetentionDays(group, 1)
  const { body } = await put([event('old', startMs - 25 * hourMs), event('now')])
  expect(body['rejectedLogEventsInfo']).toEqual({ expiredLogEventEndIndex: 1 })
  logs.setRetentionDays(group, undefined)
  expect((await put([event('old', startMs - 25 * hourMs)])).body).not.toHaveProperty('rejectedLogEventsInfo')
})

test('forgets the oldest batches above its bound, and counts them', async () => {
  const { put, logs } = startLogs({ maxStoredBytes: 60 })
  for (const message of ['a', 'b', 'c']) await put([event(message)])
  expect(logs.events(group, stream).map(({ message }) => message)).toEqual(['b', 'c'])
  expect(logs.accepted()).toMatchObject({ events: 3, bytes: 81, droppedEvents: 1 })
  expect(logs.streams(group)[0]?.acceptedEvents).toBe(3)
})

test('loses a deleted stream with its events, and a deleted group with its streams', async () => {
  const { put, logs } = startLogs()
  await put([event('x')])
  logs.deleteStream(group, stream)
  logs.createStream(group, stream)
  expect(logs.events(group, stream)).toEqual([])
  await put([event('y')])
  logs.deleteGroup(group)
  expect(errorOf(await put([event('z')]))).toContain('The specified log group does not exist.')
  logs.createGroup(group)
  logs.createStream(group, stream)
  expect(logs.events(group, stream)).toEqual([])
})

test.each(['PutRetentionPolicy', 'Nonsense'])('does not know the operation %s', async (action) => {
  const { send } = startLogs()
  expect(errorOf(await send(action, {}))).toContain('UnknownOperationException')
})

test('serves one host and reads the action from the target', () => {
  const { logs } = startLogs()
  expect(['logs.localhost', 's3.localhost'].map(logs.serves)).toEqual([true, false])
  expect(logs.actionOf(logsRequest('PutLogEvents', {}))).toBe('PutLogEvents')
  expect(logs.actionOf(logsRequest('', {}, { headers: { 'x-amz-target': 'Other.PutLogEvents' } }))).toBe('Unknown')
})

test('gives a refusal of the frame the shape of JSON 1.1', () => {
  const { logs } = startLogs()
  const request = logsRequest('PutLogEvents', {})
  const fault = new ServiceFault(400, 'ThrottlingException', 'Rate exceeded', { 'x-extra': '1' })
  expect(logs.formatFault(fault, request)).toEqual({
    status: 400,
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': request.id, 'x-extra': '1' },
    body: '{"__type":"ThrottlingException","message":"Rate exceeded"}',
  })
})

test('gives the metrics in events of the embedded metric format, and what is wrong with others', async () => {
  const { logs, put } = startLogs()
  const directive = {
    Namespace: 'PanoramaDeviceMetrics',
    Dimensions: [['DeviceId']],
    Metrics: [{ Name: 'DeviceActive' }],
  }
  const emf = (DeviceActive: unknown): string =>
    JSON.stringify({ _aws: { Timestamp: startMs, CloudWatchMetrics: [directive] }, DeviceId: 'device-1', DeviceActive })
  await put([event('text'), event(emf(1)), event(emf('one')), event(emf(2), startMs + 3 * hourMs)])
  expect(logs.metrics()).toMatchObject([{ group, stream, name: 'DeviceActive', values: [1] }])
  expect(logs.metricFaults()).toMatchObject([{ group, stream, message: emf('one') }])
  expect(logs.events(group, stream)).toHaveLength(3)
})

test('makes no metrics of a batch that it refuses', async () => {
  const { logs, put } = startLogs()
  await put([event('{"_aws":{}}'), event('early', startMs - 1)])
  expect(logs.metricFaults()).toEqual([])
})

test('refuses compressed bodies, and no others, while it is told to', async () => {
  const { send, put, logs } = startLogs()
  const packed = gzipped({ logGroupName: group, logStreamName: stream, logEvents: [event('packed')] })
  logs.setCompressionRefused('service')
  expect(errorOf(await send('PutLogEvents', undefined, packed))).toMatch(
    /^400 SerializationException: Content-Encoding/,
  )
  logs.setCompressionRefused('proxy')
  const { status, headers } = await send('PutLogEvents', undefined, packed)
  expect([status, headers['content-type']]).toEqual([400, 'text/html'])
  expect((await put([event('plain')])).status).toBe(200)
  logs.setCompressionRefused(undefined)
  expect((await send('PutLogEvents', undefined, packed)).status).toBe(200)
})
