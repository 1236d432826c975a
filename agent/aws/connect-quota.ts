import { sleep } from '../lib/sleep.ts'

/** A second, and some for the way there, which is not equally long each time. */
const spacingMs = 1_200

/**
 * To be called after a connection, by who makes way for another one of the same client id: AWS IoT takes one CONNECT per second and client
 * id ("AWS IoT Core message broker and protocol limits and quotas") and turns the next one away. Rejects with the signal's reason.
 */
export async function waitOutConnectQuota(signal: AbortSignal): Promise<void> {
  await sleep(spacingMs, signal)
}
