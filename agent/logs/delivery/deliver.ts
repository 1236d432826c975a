import { AgentError } from '../../lib/errors.ts'
import type { LogDestination, LogEvents, LogTarget, PutOutcome } from '../log-destination.ts'

export interface Delivery {
  readonly destination: LogDestination
  readonly target: LogTarget
  readonly events: LogEvents
  /** Called before each PutLogEvents. */
  readonly onPut: () => void
}

export type DeliveryOutcome = Exclude<PutOutcome, { kind: 'no-stream' }>

/** PutLogEvents first: stream and group are made only when it says that they are missing. */
export async function deliver(delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
  const { destination, target, events, onPut } = delivery
  onPut()
  const outcome = await destination.put(target, events, signal)
  if (outcome.kind !== 'no-stream') return outcome
  if ((await destination.createStream(target, signal)) === 'no-group') {
    await destination.createGroup(target.group, signal)
    await destination.createStream(target, signal)
  }
  signal.throwIfAborted() // the events may be gone
  onPut()
  const second = await destination.put(target, events, signal)
  if (second.kind !== 'no-stream') return second
  throw new AgentError(`log stream ${target.stream} of ${target.group} is missing right after it was made`, {
    retryable: true,
  })
}
