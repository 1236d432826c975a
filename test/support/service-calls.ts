import type { ArtifactSource } from '../../agent/artifacts/artifact-source.ts'
import { createCloudWatchLogDestination } from '../../agent/aws/cloudwatch-log-destination.ts'
import { createS3ArtifactSource } from '../../agent/aws/s3-artifact-source.ts'
import { createSecretsManagerReader } from '../../agent/aws/secrets-manager-reader.ts'
import type { SecretReader } from '../../agent/cameras/secret-reader.ts'
import type { LogDestination } from '../../agent/logs/log-destination.ts'
import type { Session } from '../../agent/composition/session/session.ts'
import { RecordingLog } from './recording-log.ts'

/** The services that the three workers use, by the adapters that they use. */
export interface ServiceAdapters {
  readonly artifacts: ArtifactSource
  readonly secrets: SecretReader
  readonly logs: LogDestination
}

export function adaptersOf({ clients, call }: Session, accessPoint: string): ServiceAdapters {
  const log = new RecordingLog()
  return {
    artifacts: createS3ArtifactSource({ client: clients.s3, call, accessPoint, prefix: '' }),
    secrets: createSecretsManagerReader({ client: clients.secretsManager, call }),
    logs: createCloudWatchLogDestination({ client: clients.logs, call, compression: 'gzip', log }),
  }
}
