import {
  BatchGetSecretValueCommand,
  GetSecretValueCommand,
  type BatchGetSecretValueCommandOutput,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager'

import type { BatchOutcome, SecretOutcome, SecretReader, SecretVersion } from '../cameras/secret-reader.ts'
import type { AwsCall } from './aws-call.ts'
import { AwsError, failureOfCode, type AwsRequest } from './aws-errors.ts'

export interface SecretsManagerReaderDeps {
  readonly client: SecretsManagerClient
  readonly call: AwsCall
}

const withinMs = 20_000

/** Reads secrets by BatchGetSecretValue and GetSecretValue. */
export function createSecretsManagerReader({ client, call }: SecretsManagerReaderDeps): SecretReader {
  const get = async (
    secretId: string,
    stage: 'AWSCURRENT' | 'AWSPREVIOUS',
    signal: AbortSignal,
  ): Promise<SecretVersion> => {
    const command = new GetSecretValueCommand({ SecretId: secretId, VersionStage: stage })
    const { VersionId: versionId = '', SecretString: text } = await call(
      { ...requestFor(secretId), signal, withinMs },
      async (abortSignal) => await client.send(command, { abortSignal }),
    )
    return { versionId, text }
  }
  return {
    batch: async (secretIds, signal) => {
      const command = new BatchGetSecretValueCommand({ SecretIdList: [...secretIds] })
      try {
        const answer = await call(
          { ...batchRequest(secretIds), signal, withinMs },
          async (abortSignal) => await client.send(command, { abortSignal }),
        )
        return { kind: 'answered', outcomes: outcomesOf(secretIds, answer) }
      } catch (error) {
        return deniedBatch(error)
      }
    },
    current: async (secretId, signal) => await get(secretId, 'AWSCURRENT', signal),
    previous: async (secretId, signal) => {
      try {
        return await get(secretId, 'AWSPREVIOUS', signal)
      } catch (error) {
        if (error instanceof AwsError && error.failure === 'not-found') return undefined
        throw error
      }
    },
  }
}

function requestFor(secretId: string): AwsRequest {
  return {
    service: 'secretsmanager',
    operation: 'GetSecretValue',
    resource: secretId,
    hint: `allow secretsmanager:GetSecretValue on ${secretId} in the appliance role's policy, and kms:Decrypt if the secret has a customer managed key`,
  }
}

function batchRequest(secretIds: readonly string[]): AwsRequest {
  return {
    service: 'secretsmanager',
    operation: 'BatchGetSecretValue',
    resource: secretIds.length === 1 ? (secretIds[0] ?? '') : `${secretIds.length} secrets`,
    hint: "allow secretsmanager:BatchGetSecretValue on * in the appliance role's policy, and every one of the secrets in that of the VPC endpoint if there is one",
  }
}

/** A customer managed key that is not there, or an absent secret, are told in the batch's answer; this is the call. */
function deniedBatch(error: unknown): BatchOutcome {
  if (error instanceof AwsError && error.failure === 'access-denied') return { kind: 'denied', error }
  throw error
}

/**
 * The answer does not say which of the ids that were asked for is which: values are found by ARN or name, and so are
 * errors. An id in neither list has no outcome.
 */
function outcomesOf(
  secretIds: readonly string[],
  { SecretValues: values = [], Errors: errors = [] }: BatchGetSecretValueCommandOutput,
): ReadonlyMap<string, SecretOutcome> {
  const outcomes = new Map<string, SecretOutcome>()
  for (const secretId of secretIds) {
    const value = values.find(({ ARN, Name }) => ARN === secretId || Name === secretId)
    const fault = errors.find(({ SecretId }) => SecretId === secretId)
    if (value?.VersionId !== undefined) {
      const version = { versionId: value.VersionId, text: value.SecretString }
      outcomes.set(secretId, { kind: 'read', version })
    } else if (fault !== undefined) {
      outcomes.set(secretId, { kind: 'failed', error: asError(secretId, fault) })
    }
  }
  return outcomes
}

/** As if the secret had been read by itself. */
function asError(secretId: string, { ErrorCode: code = 'unknown', Message: text = '' }: BatchFault): AwsError {
  return new AwsError({ ...requestFor(secretId), failure: failureOfCode(code), code, status: undefined, text })
}

interface BatchFault {
  readonly ErrorCode?: string | undefined
  readonly Message?: string | undefined
}
