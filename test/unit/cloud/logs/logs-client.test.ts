import { Readable } from 'node:stream'

import {
  CloudWatchLogsClient,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  DescribeLogStreamsCommand,
  GetLogEventsCommand,
  PutLogEventsCommand,
} from '@aws-sdk/client-cloudwatch-logs'
import type { NodeHttpHandler } from '@smithy/node-http-handler'
import { expect, test } from 'vitest'

import { event, hourMs, startLogs, startMs, type LogsFixture } from './logs-fixture.ts'

const names = { logGroupName: '/aws/panorama/devices/device-2', logStreamName: 'occ_log' }

test('takes events from the SDK into a group and stream that it makes, and gives them back', async () => {
  const client = clientOf(startLogs())
  await client.send(new CreateLogGroupCommand(names))
  await client.send(new CreateLogStreamCommand(names))
  const logEvents = [event('zażółć \u{1f4f7}'), event('new', startMs + 3 * hourMs)]
  const put = await client.send(new PutLogEventsCommand({ ...names, logEvents }))
  expect(put.rejectedLogEventsInfo).toEqual({ tooNewLogEventStartIndex: 1 })
  const { events = [] } = await client.send(new GetLogEventsCommand(names))
  expect(events.map(({ message }) => message)).toEqual(['zażółć \u{1f4f7}'])
  const { logStreams = [] } = await client.send(new DescribeLogStreamsCommand(names))
  expect(logStreams.map(({ lastEventTimestamp }) => lastEventTimestamp)).toEqual([startMs])
})

test('is refused in words that the SDK understands', async () => {
  const fixture = startLogs()
  const put = new PutLogEventsCommand({ ...names, logEvents: [event('x')] })
  const failure = (client: CloudWatchLogsClient): Promise<string> => client.send(put).then(() => 'no failure', String)
  expect(await failure(clientOf(fixture))).toBe('ResourceNotFoundException: The specified log group does not exist.')
  expect(await failure(clientOf(fixture, []))).toMatch(/^AccessDeniedException: User: .* no identity-based policy/)
})

type WireRequest = Parameters<NodeHttpHandler['handle']>[0]

/** The real SDK with the service in place of its connection. */
function clientOf({ send }: LogsFixture, policies?: readonly []): CloudWatchLogsClient {
  return new CloudWatchLogsClient({
    region: 'us-west-2',
    endpoint: 'https://logs.localhost',
    credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
    requestHandler: {
      handle: async ({ headers, body }: WireRequest) => {
        const action = headers['x-amz-target']?.split('.')[1] ?? ''
        if (!(body instanceof Uint8Array)) throw new TypeError('a body of bytes was expected')
        const answer = await send(action, undefined, {
          headers,
          bytes: new Uint8Array(body),
          ...(policies ? { policies } : {}),
        })
        const response = { statusCode: answer.status, headers: { ...answer.headers } }
        return { response: { ...response, body: Readable.from([Buffer.from(answer.text)]) } }
      },
      metadata: { handlerProtocol: 'http/1.1' },
    },
  })
}
