import { setTimeout as delay } from 'node:timers/promises'
import type { LookupFunction } from 'node:net'

import { expect, it } from 'vitest'

import { Dialer } from '../../agent/aws/dialer.ts'
import { startSlowServer } from '../support/slow-to-accept.ts'

/** Nothing listens at the second. */
const twoAddresses: LookupFunction = (_host, _options, callback) => {
  process.nextTick(() => {
    const found = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
    callback(null, found)
  })
}

it('waits for a server a long way off although its name has another address, where nothing answers', async () => {
  await using server = await startSlowServer()
  const dialer = new Dialer({ lookup: twoAddresses })
  const dialled = dialer.dial({ host: 'far.example', port: server.port }, AbortSignal.timeout(10_000))
  await Promise.race([delay(700), dialled]) // longer than Node gives an address by itself
  server.wake()
  const socket = await dialled
  expect(socket.remoteAddress).toBe('127.0.0.1')
  socket.destroy()
})
