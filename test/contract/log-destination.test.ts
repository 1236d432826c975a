import { describe } from 'vitest'

import { createCloudWatchLogDestination } from '../../agent/aws/cloudwatch-log-destination.ts'
import type { LogDestination, LogEvent, LogTarget } from '../../agent/logs/log-destination.ts'
import type { Cloud } from '../cloud/cloud.ts'
import { FakeLogDestination } from '../support/fake-log-destination.ts'
import { openLocalSession } from '../support/local-session.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { testLogDestination } from './log-destination.ts'

const group = '/aws/panorama/devices/appliance-a'

describe('the fake log destination', () => {
  testLogDestination(async () => {
    const destination = new FakeLogDestination()
    return await Promise.resolve({
      destination,
      cloudNow: Date.now,
      group,
      read: (target: LogTarget) => Promise.resolve(destination.events(target)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  })
})

describe.each(['gzip', 'none'] as const)('the log destination on CloudWatch Logs, compression %s', (compression) => {
  testLogDestination(async () => {
    const local = await openLocalSession()
    const { cloud, session } = local
    const destination: LogDestination = createCloudWatchLogDestination({
      client: session.clients.logs,
      call: session.call,
      compression,
      log: new RecordingLog(),
    })
    return {
      destination,
      cloudNow: cloud.now,
      group,
      read: (target) => Promise.resolve(eventsIn(cloud, target)),
      [Symbol.asyncDispose]: () => local[Symbol.asyncDispose](),
    }
  })
})

function eventsIn({ logs }: Cloud, target: LogTarget): readonly LogEvent[] {
  return logs.events(target.group, target.stream).map(({ timestamp, message }) => ({ timestampMs: timestamp, message }))
}
