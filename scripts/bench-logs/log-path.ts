import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { createAwsCall } from '../../agent/aws/aws-call.ts'
import { createAwsClients } from '../../agent/aws/aws-clients.ts'
import { createCloudWatchLogDestination } from '../../agent/aws/cloudwatch-log-destination.ts'
import { ObservingRequestHandler } from '../../agent/aws/request-handler.ts'
import { sdkCredentials } from '../../agent/aws/sdk-credentials.ts'
import { createServiceTrust } from '../../agent/aws/trust.ts'
import { createLog } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { createLogSources } from '../../agent/logs/log-sources.ts'
import { createLogWorker, type LogWorker } from '../../agent/logs/log-worker.ts'

export interface LogPathOptions {
  /** Absolute, with wildcards. */
  readonly pattern: string
  readonly stateFolder: string
  /** In memory, as on a device. */
  readonly cursorCopy: string
  readonly compression: 'gzip' | 'none'
  /** Of the logs endpoint on loopback. */
  readonly port: number
  readonly certificate: string
}

/** What the agent makes of one configuration to send log files, and nothing else of it. */
export function openLogPath(options: LogPathOptions): LogWorker {
  const { pattern, stateFolder, cursorCopy, compression, port, certificate } = options
  const log = createLog({ level: 'info', sinks: [({ text }) => process.stderr.write(`${text}\n`)] })
  const keys = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'bench', sessionToken: 'bench' }
  const clients = createAwsClients({
    region: 'us-west-2',
    endpoints: { credentials: 'unused', dualStack: false, fips: false, logs: `https://logs.localhost:${port}` },
    credentials: sdkCredentials(() => Promise.resolve({ ...keys, lifetimeMs: 3_600_000 })),
    requestHandler: new ObservingRequestHandler({
      trust: createServiceTrust(() => Promise.resolve(certificate)),
      onDate: () => undefined,
    }),
    clockOffsetMs: () => 0,
  })
  const call = createAwsCall({
    credentials: { currentKeyId: () => undefined, invalidate: () => undefined },
    onConnectionFailure: () => undefined,
  })
  const group = '/aws/panorama/devices/bench'
  const files = {
    sources: [
      {
        kind: 'file' as const,
        path: pattern,
        group,
        stream: '{file}',
        timestamps: 'auto' as const,
        timeZone: 'local' as const,
      },
    ],
    maxBacklogBytes: 1_073_741_824,
  }
  return createLogWorker({
    config: { flushSeconds: 15, maxBacklogHours: 312, minLevelWhenBehind: 'debug' },
    sources: (context) =>
      createLogSources({ config: files, device: { id: 'bench', name: 'bench', thing: 'bench' } }, context),
    group,
    destination: createCloudWatchLogDestination({ client: clients.logs, call, compression, log }),
    ring: new LogRing(),
    folder: stateFolder,
    cursorCopy,
    cloudNow: Date.now,
    deviceClock: () => ({ offsetMs: 0, isKnown: true }),
    log,
  })
}

/** How far the cursors got that are on the disk. */
export async function savedBytes(stateFolder: string): Promise<number> {
  const text = await readFile(join(stateFolder, 'cursors.json'), 'utf8')
  const { files } = JSON.parse(text) as { files: readonly { positionBytes: number }[] }
  return files.reduce((sum, { positionBytes }) => sum + positionBytes, 0)
}
