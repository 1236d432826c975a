import type { mqtt5 } from 'aws-iot-device-sdk-v2'

import { AgentError } from '../lib/errors.ts'
import { sleep } from '../lib/sleep.ts'
import { waitOutConnectQuota } from './connect-quota.ts'
import { lookAtConnection } from './connection-check.ts'
import { defaultPort, IotConnection, type IotConnectionOptions } from './iot-connection.ts'

const lookEveryMs = 50

/**
 * Connects once, does something with the connection, and disconnects; resolves when AWS IoT takes the next connection of that client
 * id. Throws why the first attempt failed, what `use` throws, or the signal's reason; nothing is left open.
 */
export async function tryConnection<T>(
  options: IotConnectionOptions,
  use: (client: mqtt5.Mqtt5Client) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  await using connection = new IotConnection(options)
  const client = await connection.client()
  await connection.expectConnected(signal).catch(() => undefined) // has it look at the way if the client takes long
  for (;;) {
    const { state, error } = connection.status()
    if (state === 'connected') {
      const [used] = await Promise.all([use(client), waitOutConnectQuota(signal)])
      return used
    }
    if (state === 'down') throw (await lookAtConnection({ ...options, defaultPort })) ?? error ?? cannotBeMade()
    await sleep(lookEveryMs, signal)
  }
}

function cannotBeMade(): AgentError {
  return new AgentError('the connection cannot be made')
}
