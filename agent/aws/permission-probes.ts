import { PutLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { BatchGetSecretValueCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager'

import type { Permissions } from '../doctor/permission-check.ts'
import type { LogDestination } from '../logs/log-destination.ts'
import type { AwsCall, AwsCallOptions } from './aws-call.ts'
import type { AwsClients } from './aws-clients.ts'
import { AwsError } from './aws-errors.ts'
import { deniedHint } from './s3-artifact-source.ts'

export interface PermissionProbesDeps {
  readonly clients: AwsClients
  readonly call: AwsCall
  readonly credentials: Permissions['credentials']
  readonly ofApplication: Permissions['ofApplication']
  readonly destination: Pick<LogDestination, 'createStream' | 'createGroup'>
  readonly cloudNow: () => number
}

/** Never made, so that nothing is ever stored. */
const streamThatIsNotThere = 'panorama-agent-doctor'
/** That of the agent's own log, which it makes itself. */
const ownStream = 'occ_log'
const withinMs = 10_000

/**
 * Asks for each action in a way that changes nothing. It is taken for granted that AWS decides whether a caller may do a thing
 * before it looks whether what it names is there. GetObject is documented so (403 in the place of 404 for who may not list),
 * CloudWatch Logs and Secrets Manager are not. So a refusal because something is not there, or is
 * there already, says that the action is allowed.
 */
export function createPermissionProbes(deps: PermissionProbesDeps): Permissions {
  const { clients, call, credentials, ofApplication, destination, cloudNow } = deps
  return {
    credentials,
    ofApplication,
    list: async ({ accessPoint, prefix }, signal) => {
      const command = new ListObjectsV2Command({ Bucket: accessPoint, Prefix: prefix, MaxKeys: 1 })
      const options = { ...s3('ListObjectsV2', accessPoint), signal }
      const { Contents: [first] = [] } = await call(options, (abortSignal) => clients.s3.send(command, { abortSignal }))
      return first?.Key
    },
    get: async ({ accessPoint }, key, signal) => {
      const command = new GetObjectCommand({ Bucket: accessPoint, Key: key, Range: 'bytes=0-0' })
      try {
        await call({ ...s3('GetObject', accessPoint), signal }, async (abortSignal) => {
          const { Body: body } = await clients.s3.send(command, { abortSignal })
          await body?.transformToByteArray()
        })
        return 'read'
      } catch (error) {
        if (error instanceof AwsError && error.code === 'NoSuchKey') return 'not-there'
        if (error instanceof AwsError && error.code === 'InvalidRange') return 'read' // an empty object
        throw error
      }
    },
    secret: async (secretId, signal) => {
      const command = new GetSecretValueCommand({ SecretId: secretId })
      const options = { ...secret('GetSecretValue', secretId), signal }
      const answer = await call(options, (abortSignal) => clients.secretsManager.send(command, { abortSignal }))
      return answer.SecretString
    },
    secretBatch: async (secretId, signal) => {
      const command = new BatchGetSecretValueCommand({ SecretIdList: [secretId] })
      const options = { ...secret('BatchGetSecretValue', '*'), signal }
      await call(options, (abortSignal) => clients.secretsManager.send(command, { abortSignal }))
    },
    putLogEvents: async (group, signal) => {
      const logEvents = [{ timestamp: Math.floor(cloudNow()), message: 'panorama-agent doctor' }]
      const names = { logGroupName: group, logStreamName: streamThatIsNotThere }
      const command = new PutLogEventsCommand({ ...names, logEvents })
      const resource = `${group}:log-stream:${streamThatIsNotThere}`
      const options = { service: 'logs', operation: 'PutLogEvents', resource, signal, withinMs } as const
      await call(options, (abortSignal) => clients.logs.send(command, { abortSignal })).catch((error: unknown) => {
        if (!(error instanceof AwsError) || error.failure !== 'not-found') throw error
      })
    },
    createLogStream: (group, signal) => destination.createStream({ group, stream: ownStream }, signal),
    createLogGroup: (group, signal) => destination.createGroup(group, signal),
  }
}

function s3(operation: string, resource: string): Omit<AwsCallOptions, 'signal'> {
  return { service: 's3', operation, resource, hint: deniedHint, withinMs }
}

function secret(operation: string, resource: string): Omit<AwsCallOptions, 'signal'> {
  const hint =
    `allow secretsmanager:${operation} on ${resource} in the appliance role's policy` +
    (resource === '*' ? '' : ', and kms:Decrypt if the secret has a customer managed key')
  return { service: 'secretsmanager', operation, resource, hint, withinMs }
}
