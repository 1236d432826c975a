import { expect, test } from 'vitest'
import { z } from 'zod'

import { event, group, hourMs, startLogs, startMs, stream, type Answer } from './logs-fixture.ts'

const names = { logGroupName: group, logStreamName: stream }

test('describes streams by name, with their times, page by page', async () => {
  const { send, put, logs, clock } = startLogs()
  logs.createStream(group, 'kern_log')
  clock.nowMs += 5
  await put([event('a', startMs - 10), event('b')])
  const first = await send('DescribeLogStreams', { logGroupName: group, limit: 1 })
  const second = await send('DescribeLogStreams', { logGroupName: group, limit: 1, nextToken: first.body['nextToken'] })
  expect(field(first, 'logStreams', 'logStreamName')).toEqual(['kern_log'])
  expect(rows(second, 'logStreams')).toEqual([
    {
      logStreamName: stream,
      creationTime: startMs,
      firstEventTimestamp: startMs - 10,
      lastEventTimestamp: startMs,
      lastIngestionTime: startMs + 5,
      arn: `arn:aws:logs:us-west-2:123456789012:log-group:${group}:log-stream:${stream}`,
      storedBytes: 0,
    },
  ])
  expect(second.body).not.toHaveProperty('nextToken')
})

test('describes streams by prefix, by last event and backwards', async () => {
  const { send, put, logs } = startLogs()
  for (const name of ['a-1', 'a-2', 'b']) logs.createStream(group, name)
  await put([event('x')])
  const listed = async (input: object): Promise<readonly unknown[]> =>
    field(await send('DescribeLogStreams', { logGroupName: group, ...input }), 'logStreams', 'logStreamName')
  expect(await listed({ logStreamNamePrefix: 'a' })).toEqual(['a-1', 'a-2'])
  expect(await listed({ descending: true })).toEqual([stream, 'b', 'a-2', 'a-1'])
  expect((await listed({ orderBy: 'LastEventTime', descending: true }))[0]).toBe(stream)
})

test('refuses to order a prefix by last event', async () => {
  const { send } = startLogs()
  const input = { logGroupName: group, orderBy: 'LastEventTime', logStreamNamePrefix: 'a' }
  expect((await send('DescribeLogStreams', input)).body['message']).toBe(
    'Cannot order by LastEventTime with a logStreamNamePrefix.',
  )
})

test('describes groups by prefix, with their retention', async () => {
  const { send, logs } = startLogs()
  logs.createGroup('/other')
  logs.setRetentionDays('/other', 3)
  expect(field(await send('DescribeLogGroups', {}), 'logGroups', 'logGroupName')).toEqual([group, '/other'])
  const [other] = rows(await send('DescribeLogGroups', { logGroupNamePrefix: '/o' }), 'logGroups')
  expect(other).toMatchObject({ logGroupName: '/other', retentionInDays: 3, creationTime: startMs })
})

test('gives events from the head forwards, until the token leads nowhere', async () => {
  const { send, put } = startLogs()
  await put(['a', 'b', 'c'].map((message) => event(message)))
  const get = (input: object): Promise<Answer> => send('GetLogEvents', { ...names, limit: 2, ...input })
  const first = await get({ startFromHead: true })
  const second = await get({ nextToken: first.body['nextForwardToken'] })
  const third = await get({ nextToken: second.body['nextForwardToken'] })
  expect([first, second, third].map((answer) => field(answer, 'events', 'message'))).toEqual([['a', 'b'], ['c'], []])
  expect(third.body['nextForwardToken']).toBe(second.body['nextForwardToken'])
})

test('gives the latest events first and then goes backwards', async () => {
  const { send, put } = startLogs()
  await put(['a', 'b', 'c'].map((message) => event(message)))
  const last = await send('GetLogEvents', { ...names, limit: 2 })
  const before = await send('GetLogEvents', { ...names, limit: 2, nextToken: last.body['nextBackwardToken'] })
  expect([last, before].map((answer) => field(answer, 'events', 'message'))).toEqual([['b', 'c'], ['a']])
  expect(rows(last, 'events')[0]).toEqual({ timestamp: startMs, message: 'b', ingestionTime: startMs })
})

test('ends before endTime in GetLogEvents and with it in FilterLogEvents', async () => {
  const { send, put } = startLogs()
  await put([event('a', startMs - 2), event('b', startMs - 1), event('c')])
  const window = { ...names, startTime: startMs - 1, endTime: startMs }
  expect(field(await send('GetLogEvents', window), 'events', 'message')).toEqual(['b'])
  expect(field(await send('FilterLogEvents', window), 'events', 'message')).toEqual(['b', 'c'])
})

test('filters the events of several streams by terms, in order of time, page by page', async () => {
  const { send, put, logs } = startLogs()
  logs.createStream(group, 'kern_log')
  await put([event('ERROR disk full', startMs - hourMs), event('INFO fine'), event('ERROR disk slow')])
  const kernel = { logGroupName: group, logStreamName: 'kern_log', logEvents: [event('ERROR disk gone', startMs - 5)] }
  await send('PutLogEvents', kernel)
  const filter = (input: object): Promise<Answer> => send('FilterLogEvents', { logGroupName: group, ...input })
  const first = await filter({ filterPattern: 'ERROR disk', limit: 2 })
  const second = await filter({ filterPattern: 'ERROR disk', limit: 2, nextToken: first.body['nextToken'] })
  expect(field(first, 'events', 'logStreamName')).toEqual([stream, 'kern_log'])
  expect(field(second, 'events', 'message')).toEqual(['ERROR disk slow'])
  expect(field(await filter({ filterPattern: '"disk g"' }), 'events', 'message')).toEqual(['ERROR disk gone'])
  expect(field(await filter({ logStreamNames: ['kern_log'] }), 'events', 'message')).toEqual(['ERROR disk gone'])
  expect(field(await filter({ logStreamNamePrefix: 'occ' }), 'events', 'logStreamName')).toEqual([
    stream,
    stream,
    stream,
  ])
  const ids = field(await filter({}), 'events', 'eventId')
  expect(new Set(ids).size).toBe(4)
})

test.each([
  ['GetLogEvents', { limit: 10_001 }],
  ['GetLogEvents', { limit: 0 }],
  ['GetLogEvents', { nextToken: 'x' }],
  ['DescribeLogStreams', { limit: 51 }],
  ['DescribeLogStreams', { nextToken: 'f/1' }],
  ['FilterLogEvents', { filterPattern: '{ $.level = "x" }' }],
  ['FilterLogEvents', { logStreamNames: [stream], logStreamNamePrefix: 'a' }],
])('refuses %s with %j', async (action, input) => {
  const { send } = startLogs()
  expect((await send(action, { ...names, ...input })).body['__type']).toBe('InvalidParameterException')
})

function rows({ body }: Answer, member: string): readonly Readonly<Record<string, unknown>>[] {
  return z.array(z.record(z.string(), z.unknown())).parse(body[member])
}

function field(answer: Answer, member: string, name: string): readonly unknown[] {
  return rows(answer, member).map((row) => row[name])
}
