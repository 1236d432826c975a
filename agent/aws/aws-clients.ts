import { CloudWatchLogsClient } from '@aws-sdk/client-cloudwatch-logs'
import { S3Client } from '@aws-sdk/client-s3'
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager'

import type { Config } from '../config/config-schema.ts'
import type { ObservingRequestHandler } from './request-handler.ts'
import type { SdkCredentials } from './sdk-credentials.ts'

export interface AwsClientsOptions {
  readonly region: string
  readonly endpoints: Config['endpoints']
  readonly credentials: SdkCredentials
  readonly requestHandler: ObservingRequestHandler
  /** What to add to the system clock when signing. */
  readonly clockOffsetMs: () => number
}

export interface AwsClients extends Disposable {
  readonly s3: S3Client
  readonly secretsManager: SecretsManagerClient
  readonly logs: CloudWatchLogsClient
}

/** One client per service. All share credentials, sockets and clock. */
export function createAwsClients(options: AwsClientsOptions): AwsClients {
  const { endpoints, requestHandler } = options
  const s3 = new S3Client({
    ...common(options, endpoints.s3),
    useArnRegion: true,
    responseChecksumValidation: 'WHEN_SUPPORTED',
  })
  const secretsManager = new SecretsManagerClient(common(options, endpoints.secretsManager))
  const logs = new CloudWatchLogsClient(common(options, endpoints.logs))
  for (const { config } of [s3, secretsManager, logs]) followClock(config, options.clockOffsetMs)
  return {
    s3,
    secretsManager,
    logs,
    [Symbol.dispose]() {
      for (const client of [s3, secretsManager, logs]) client.destroy()
      requestHandler.destroy()
    },
  }
}

/**
 * Makes a client sign with the agent's one clock. The SDK keeps an offset of its own in each client and samples it
 * from every answer; two clocks could disagree, so its writes are dropped.
 */
function followClock(config: { systemClockOffset: number }, clockOffsetMs: () => number): void {
  Object.defineProperty(config, 'systemClockOffset', {
    get: clockOffsetMs,
    set: () => undefined,
    enumerable: true,
    configurable: true,
  })
}

function common(options: AwsClientsOptions, endpoint: string | undefined) {
  const { region, endpoints, credentials, requestHandler } = options
  return {
    region,
    credentials,
    requestHandler,
    useDualstackEndpoint: endpoints.dualStack,
    useFipsEndpoint: endpoints.fips,
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}
