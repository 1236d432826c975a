import { GetSecretValueCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager'

import type { SecretReader } from '../cameras/secret-reader.ts'
import type { AwsCall } from './aws-call.ts'

export interface SecretsManagerReaderDeps {
  readonly client: SecretsManagerClient
  readonly call: AwsCall
}

const withinMs = 20_000

/** Reads secrets by GetSecretValue, stage AWSCURRENT. */
export function createSecretsManagerReader({ client, call }: SecretsManagerReaderDeps): SecretReader {
  return {
    current: async (secretId, signal) => {
      const request = {
        service: 'secretsmanager',
        operation: 'GetSecretValue',
        resource: secretId,
        signal,
        withinMs,
        hint: `allow secretsmanager:GetSecretValue on ${secretId} in the appliance role's policy, and kms:Decrypt if the secret has a customer managed key`,
      } as const
      const { VersionId: versionId = '', SecretString: text } = await call(
        request,
        async (abortSignal) => await client.send(new GetSecretValueCommand({ SecretId: secretId }), { abortSignal }),
      )
      return { versionId, text }
    },
  }
}
