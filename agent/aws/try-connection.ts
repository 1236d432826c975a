import { AgentError } from '../lib/errors.ts'
import { sleep } from '../lib/sleep.ts'
import { IotConnection, type IotConnectionOptions } from './iot-connection.ts'

const lookEveryMs = 50

/** Connects once and disconnects. Throws why the first attempt failed, or the signal's reason; nothing is left open. */
export async function tryConnection(options: IotConnectionOptions, signal: AbortSignal): Promise<void> {
  await using connection = new IotConnection(options)
  await connection.client()
  for (;;) {
    const { state, error } = connection.status()
    if (state === 'connected') return
    if (state === 'down') throw error ?? new AgentError('the connection cannot be made')
    await sleep(lookEveryMs, signal)
  }
}
