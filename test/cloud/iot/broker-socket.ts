import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { errorCode } from '../../../agent/lib/errors.ts'
import { sleep } from '../../../agent/lib/sleep.ts'

const againMs = 10

/**
 * Connects to the broker. Its queue for connections is short, and AWS's is not: whoever finds it full tries again. Rejects with what
 * else goes wrong, and when the signal aborts.
 */
export async function openBrokerSocket(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect(path)
    try {
      await once(socket, 'connect', { signal })
      return socket
    } catch (error) {
      socket.destroy()
      if (errorCode(error) !== 'EAGAIN') throw error
    }
    await sleep(againMs, signal)
  }
}
