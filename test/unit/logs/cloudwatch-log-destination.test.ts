import { CloudWatchLogsServiceException, type CloudWatchLogsClient } from '@aws-sdk/client-cloudwatch-logs'
import { expect, test } from 'vitest'

import { createAwsCall } from '../../../agent/aws/aws-call.ts'
import { countRejected, createCloudWatchLogDestination } from '../../../agent/aws/cloudwatch-log-destination.ts'
import type { LogDestination } from '../../../agent/logs/log-destination.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const target = { group: '/aws/panorama/devices/test', stream: 'app' }
const events = [{ timestampMs: 1, message: 'one' }]
const { signal } = new AbortController()

test('counts each refused event once', () => {
  expect(countRejected(undefined, 3)).toEqual({ tooOld: 0, expired: 0, tooNew: 0 })
  const all = { tooOldLogEventEndIndex: 2, expiredLogEventEndIndex: 3, tooNewLogEventStartIndex: 6 }
  expect(countRejected(all, 10)).toEqual({ tooOld: 2, expired: 1, tooNew: 4 })
  expect(countRejected({ tooNewLogEventStartIndex: 0 }, 10)).toEqual({ tooOld: 0, expired: 0, tooNew: 10 })
})

test('counts what the answer says of refused events', async () => {
  const destination = answering(() => ({ rejectedLogEventsInfo: { tooOldLogEventEndIndex: 1 } }))
  const rejected = { tooOld: 1, expired: 0, tooNew: 0 }
  expect(await destination.put(target, events, signal)).toEqual({ kind: 'accepted', rejected })
})

test('tells missing and existing from failure', async () => {
  const missing = refusing('ResourceNotFoundException')
  expect(await missing.put(target, events, signal)).toEqual({ kind: 'no-stream' })
  expect(await missing.createStream(target, signal)).toBe('no-group')
  const existing = refusing('ResourceAlreadyExistsException')
  expect(await existing.createStream(target, signal)).toBe('exists')
  expect(await existing.createGroup(target.group, signal)).toBe('exists')
})

test('takes a batch that is there already for accepted', async () => {
  for (const code of ['DataAlreadyAcceptedException', 'InvalidSequenceTokenException']) {
    expect(await refusing(code).put(target, events, signal)).toMatchObject({ kind: 'accepted' })
  }
})

test('tells a batch that will never be taken as it is', async () => {
  for (const code of ['InvalidParameterException', 'SerializationException']) {
    expect(await refusing(code).put(target, events, signal)).toMatchObject({ kind: 'refused', error: { code } })
  }
  expect(await refusing('RequestTooLong', 413).put(target, events, signal)).toMatchObject({ kind: 'refused' })
})

test('throws what can be tried again as such, and a denial as one that cannot', async () => {
  const conflict = refusing('OperationAbortedException').createGroup(target.group, signal)
  await expect(conflict).rejects.toMatchObject({ retryable: true })
  const denied = refusing('AccessDeniedException').put(target, events, signal)
  await expect(denied).rejects.toMatchObject({ retryable: false, failure: 'access-denied' })
})

test('tells a batch whose connection broke from one that is throttled', async () => {
  const broken = answering(() => {
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  })
  const error = { retryable: true, failure: 'network' }
  expect(await broken.put(target, events, signal)).toMatchObject({ kind: 'cut-short', error })
  const throttled = refusing('ThrottlingException').put(target, events, signal)
  await expect(throttled).rejects.toMatchObject({ retryable: true, failure: 'throttled' })
})

function refusing(code: string, httpStatusCode = 400): LogDestination {
  return answering(() => {
    const options = { name: code, message: 'refused', $fault: 'client' as const, $metadata: { httpStatusCode } }
    throw new CloudWatchLogsServiceException(options)
  })
}

function answering(answer: (input: unknown) => unknown): LogDestination {
  const send = ({ input }: { input: unknown }): Promise<unknown> => Promise.try(answer, input)
  const client = { send } as unknown as CloudWatchLogsClient // the one method that the adapter uses
  const credentials = { currentKeyId: () => undefined, invalidate: () => undefined }
  return createCloudWatchLogDestination({
    client,
    call: createAwsCall({ credentials, onConnectionFailure: () => undefined }),
    compression: 'gzip',
    log: new RecordingLog(),
  })
}
