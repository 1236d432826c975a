import { releasedAtMs } from '../../build-info.ts'
import type { Config } from '../../config/config-schema.ts'
import { clockWorker, readLastKnown } from '../../credentials/clock-state.ts'
import { ServerClock } from '../../credentials/server-clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Worker } from '../../lib/worker.ts'
import { ClockStep } from '../../root-requests/clock-step.ts'
import { RequestFiles } from '../../root-requests/request-files.ts'
import type { RootRequests } from '../../root-requests/root-requests.ts'

/** Cloud time, kept on the disk and, where root allows it, brought to the system clock. */
export interface SessionClock {
  readonly clock: ServerClock
  readonly clockStep: ClockStep
  /** The only one: another would take this one's requests for left over. */
  readonly rootRequests: RootRequests
  readonly workers: readonly Worker[]
}

export interface SessionClockOptions {
  readonly paths: Config['paths']
  readonly log: Log
  /** The time before which no server is believed; default that of the build. */
  readonly releasedAtMs?: number | undefined
}

export async function createSessionClock({ paths, log, ...options }: SessionClockOptions): Promise<SessionClock> {
  const lastKnownMs = await readLastKnown({ folder: paths.state, log })
  const clockLog = log.child({ worker: 'clock' })
  const clock = new ServerClock({ releasedAtMs: options.releasedAtMs ?? releasedAtMs, lastKnownMs, log: clockLog })
  const rootRequests = new RequestFiles({ runtimeFolder: paths.runtime })
  const clockStep = new ClockStep({
    clock: { now: () => clock.now(), offsetMs: () => clock.offsetMs(), lastKnownMs: () => clock.lastKnownMs() },
    requests: rootRequests,
    log: clockLog,
  })
  return {
    clock,
    clockStep,
    rootRequests,
    workers: [clockWorker({ folder: paths.state, log, clock }), clockStep.worker],
  }
}
