import { parseArgs } from 'node:util'

import { createArtifactWorker } from '../../agent/artifacts/artifact-worker.ts'
import { Transfers } from '../../agent/artifacts/transfer/transfers.ts'
import { createAwsCall } from '../../agent/aws/aws-call.ts'
import { createAwsClients } from '../../agent/aws/aws-clients.ts'
import { ObservingRequestHandler } from '../../agent/aws/request-handler.ts'
import { createS3ArtifactSource } from '../../agent/aws/s3-artifact-source.ts'
import { sdkCredentials } from '../../agent/aws/sdk-credentials.ts'
import { createLog } from '../../agent/lib/log.ts'

/** One pass of one artifact, with the pieces that the agent is made of, against a server on loopback. */
const { values } = parseArgs({
  options: {
    endpoint: { type: 'string', default: '' },
    'access-point': { type: 'string', default: '' },
    prefix: { type: 'string', default: '' },
    folder: { type: 'string', default: '' },
  },
})
const log = createLog({ level: 'info', sinks: [({ text }) => process.stdout.write(`${text}\n`)] })
const keys = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'bench', sessionToken: 'bench' }
const requestHandler = new ObservingRequestHandler({
  trust: () => Promise.reject(new Error('nothing here speaks TLS')),
  onDate: () => undefined,
})
using clients = createAwsClients({
  region: 'us-west-2',
  endpoints: { credentials: 'unused', dualStack: false, fips: false, s3: values.endpoint },
  credentials: sdkCredentials(() => Promise.resolve({ ...keys, lifetimeMs: 3_600_000 })),
  requestHandler,
  clockOffsetMs: () => 0,
})
const call = createAwsCall({
  credentials: { currentKeyId: () => undefined, invalidate: () => undefined },
  onConnectionFailure: () => undefined,
})
const accessPoint = values['access-point']
const { worker } = createArtifactWorker({
  artifact: { name: 'bench', accessPoint, prefix: values.prefix, pollSeconds: 300, keepReleases: 2, trustedKeys: [] },
  source: createS3ArtifactSource({ client: clients.s3, call, accessPoint, prefix: values.prefix }),
  folder: values.folder,
  log,
  transfers: new Transfers({
    limits: { windows: [], minFreeBytes: 0, maxInFlightBytes: 64 * 1024 * 1024 },
    artifacts: 1,
    cloudNow: Date.now,
  }),
})
const stop = new AbortController()
const requested = worker.requestPass()
const ended = worker.supervise(stop.signal)
await requested.finally(() => {
  stop.abort()
})
await ended
