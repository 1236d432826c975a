import { randomUUID } from 'node:crypto'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { openSdNotify } from '../../../agent/lib/sd-notify.ts'
import { listenForNotify } from '../../support/notify-socket.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('sends the assignments of a call as one datagram to a path', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'notify')
  using listener = listenForNotify(path)
  using notify = openSdNotify(path)
  expect(notify.send('READY=1', 'STATUS=Gr\u00fc\u00df Gott')).toBe(true)
  expect(notify.send('WATCHDOG=1')).toBe(true)
  expect(listener.take()).toEqual([['READY=1', 'STATUS=Gr\u00fc\u00df Gott'], ['WATCHDOG=1']])
})

test('sends to a name in the abstract namespace', () => {
  const name = `@panorama-agent-test-${randomUUID()}`
  using listener = listenForNotify(name)
  using notify = openSdNotify(name)
  expect(notify.send('STOPPING=1')).toBe(true)
  expect(listener.take()).toEqual([['STOPPING=1']])
})

test('lets no text make an assignment of its own', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'notify')
  using listener = listenForNotify(path)
  using notify = openSdNotify(path)
  notify.send('STATUS=first line\nMAINPID=1')
  expect(listener.take()).toEqual([['STATUS=first line MAINPID=1']])
})

test('answers false, and does not wait, when nobody reads any more or nobody listens', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'notify')
  using notify = openSdNotify(path)
  expect(notify.send('READY=1')).toBe(false)
  using listener = listenForNotify(path)
  let taken = 0
  while (taken < 100_000 && notify.send('WATCHDOG=1')) taken += 1
  expect(taken).toBeLessThan(100_000)
  expect(listener.take()).toHaveLength(taken)
  expect(notify.send('WATCHDOG=1')).toBe(true)
})

test.each(['', 'relative', 'vsock:2:1234', '@', '/', `/${'x'.repeat(107)}`])('refuses the address "%s"', (address) => {
  expect(() => openSdNotify(address)).toThrow('NOTIFY_SOCKET is no address that the agent knows')
})
