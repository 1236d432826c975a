import { describe } from 'vitest'

import { testLogDestination } from '../../contract/log-destination.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'

describe('the fake log destination', () => {
  testLogDestination(() => {
    const destination = new FakeLogDestination()
    return Promise.resolve({
      destination,
      group: '/aws/panorama/devices/test',
      cloudNow: Date.now,
      read: (target) => Promise.resolve(destination.events(target)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  })
})
