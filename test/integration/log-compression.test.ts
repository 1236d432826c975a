import { expect, test } from 'vitest'

import { createCloudWatchLogDestination } from '../../agent/aws/cloudwatch-log-destination.ts'
import { openLocalSession } from '../support/local-session.ts'
import { RecordingLog } from '../support/recording-log.ts'

const target = { group: '/aws/panorama/devices/appliance-a', stream: 'app' }

test.each(['service', 'proxy'] as const)('sends every batch where the %s refuses compressed ones', async (refuser) => {
  await using local = await openLocalSession()
  const { cloud, session } = local
  const log = new RecordingLog()
  const { clients, call } = session
  const destination = createCloudWatchLogDestination({ client: clients.logs, call, compression: 'gzip', log })
  const { signal } = new AbortController()
  await destination.createGroup(target.group, signal)
  await destination.createStream(target, signal)
  const timestampMs = cloud.now()
  const events = Array.from({ length: 500 }, (_, index) => ({
    timestampMs,
    message: `frame ${index} zażółć`,
  }))
  const warningsOfPut = async (): Promise<number> => {
    const before = log.entries.length
    expect(await destination.put(target, events, signal)).toMatchObject({ kind: 'accepted' })
    return log.entries.length - before
  }
  expect(await warningsOfPut()).toBe(0)
  cloud.logs.setCompressionRefused(refuser)
  expect(await warningsOfPut()).toBe(1)
  expect(await warningsOfPut()).toBe(0)
  expect(cloud.logs.events(target.group, target.stream).map(({ message }) => message)).toEqual(
    [...events, ...events, ...events].map(({ message }) => message),
  )
  expect(cloud.requests.count({ action: 'PutLogEvents' })).toBe(4)
})
