import { z } from 'zod'

import { ServiceFault } from '../contract.ts'
import {
  authorizeAtEndpoint,
  authorizeEverywhere,
  authorizeKey,
  authorizeSecret,
  type SecretAccess,
} from './secret-access.ts'
import { scheduledForDeletion, type Secret, secretNotFound, type SecretStore } from './secret-store.ts'
import { findStage, type SecretValue, type SecretVersion } from './secret-versions.ts'

export interface SecretAction {
  readonly store: SecretStore
  readonly access: SecretAccess
  /** The parsed JSON of the request. */
  readonly input: unknown
}

/** The API of Secrets Manager that the appliance and its operators need; each throws a ServiceFault to refuse. */
export const secretActions: ReadonlyMap<string, (action: SecretAction) => object> = new Map([
  ['GetSecretValue', getSecretValue],
  ['BatchGetSecretValue', batchGetSecretValue],
  ['DescribeSecret', describeSecret],
  ['PutSecretValue', putSecretValue],
])

const secretId = z.string().min(1).max(2048)
const versionId = z.string().min(32).max(64)
const stage = z.string().min(1).max(256)
const maxValueBytes = 65_536

const getInput = z.object({ SecretId: secretId, VersionId: versionId.optional(), VersionStage: stage.optional() })
const batchInput = z.object({ SecretIdList: z.array(secretId).min(1).max(20) })
const describeInput = z.object({ SecretId: secretId })
const putInput = z.object({
  SecretId: secretId,
  ClientRequestToken: versionId,
  SecretString: z.string().min(1).optional(),
  SecretBinary: z.base64().min(1).optional(),
  VersionStages: z.array(stage).min(1).max(20).optional(),
})

function getSecretValue({ store, access, input }: SecretAction): object {
  const wanted = parseInput(getInput, input)
  const secret = store.visible(wanted.SecretId)
  authorizeAtEndpoint(access, [{ secretId: wanted.SecretId, secret }])
  authorizeSecret(access, { action: 'GetSecretValue', secretId: wanted.SecretId, secret })
  return readValue(access, secret, wanted)
}

/** Always AWSCURRENT. What fails for one secret stands in Errors, beside the values of the others. */
function batchGetSecretValue({ store, access, input }: SecretAction): object {
  if (isObject(input) && ['Filters', 'MaxResults', 'NextToken'].some((name) => name in input)) {
    throw invalidParameter('The local cloud serves BatchGetSecretValue by SecretIdList only.')
  }
  const { SecretIdList } = parseInput(batchInput, input)
  authorizeEverywhere(access, 'BatchGetSecretValue')
  authorizeAtEndpoint(
    access,
    SecretIdList.map((secretId) => ({ secretId, secret: store.visible(secretId) })),
  )
  const values: object[] = []
  const errors: object[] = []
  for (const SecretId of SecretIdList) {
    try {
      values.push(getSecretValue({ store, access, input: { SecretId } }))
    } catch (error) {
      if (!(error instanceof ServiceFault)) throw error
      errors.push({ SecretId, ErrorCode: error.code, Message: error.message })
    }
  }
  return { SecretValues: values, Errors: errors }
}

/** Answers for a secret that is scheduled for deletion too, and needs no key. */
function describeSecret({ store, access, input }: SecretAction): object {
  const { SecretId } = parseInput(describeInput, input)
  const secret = store.visible(SecretId)
  authorizeSecret(access, { action: 'DescribeSecret', secretId: SecretId, secret })
  if (secret === undefined) throw secretNotFound()
  const labelled = secret.versions.filter(({ stages }) => stages.length > 0)
  return {
    ARN: secret.arn,
    Name: secret.name,
    ...(secret.kmsKeyArn === undefined ? {} : { KmsKeyId: secret.kmsKeyArn }),
    CreatedDate: toSeconds(secret.createdMs),
    LastChangedDate: toSeconds(secret.changedMs),
    ...(secret.deletionMs === undefined ? {} : { DeletedDate: toSeconds(secret.deletionMs) }),
    VersionIdsToStages: Object.fromEntries(labelled.map(({ id, stages }) => [id, stages])),
  }
}

function putSecretValue({ store, access, input }: SecretAction): object {
  const { SecretId, ClientRequestToken, SecretString, SecretBinary, VersionStages } = parseInput(putInput, input)
  const visible = store.visible(SecretId)
  authorizeSecret(access, { action: 'PutSecretValue', secretId: SecretId, secret: visible })
  const value = parseValue(SecretString, SecretBinary)
  const secret = store.newest(SecretId)
  authorizeKey(access, 'GenerateDataKey', secret)
  authorizeKey(access, 'Decrypt', secret)
  const version = store.putVersion(SecretId, {
    value,
    versionId: ClientRequestToken,
    ...(VersionStages === undefined ? {} : { stages: VersionStages }),
  })
  return { ARN: secret.arn, Name: secret.name, VersionId: version.id, VersionStages: version.stages }
}

function readValue(
  access: SecretAccess,
  secret: Secret | undefined,
  wanted: { readonly VersionId?: string | undefined; readonly VersionStage?: string | undefined },
): object {
  if (secret === undefined) throw secretNotFound()
  if (secret.deletionMs !== undefined) throw scheduledForDeletion()
  const version = findVersion(secret.versions, wanted)
  authorizeKey(access, 'Decrypt', secret)
  if (!secret.decryptable) {
    const text = "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
    throw new ServiceFault(400, 'DecryptionFailure', text)
  }
  return {
    ARN: secret.arn,
    Name: secret.name,
    VersionId: version.id,
    ...('text' in version.value
      ? { SecretString: version.value.text }
      : { SecretBinary: Buffer.from(version.value.bytes).toString('base64') }),
    VersionStages: version.stages,
    CreatedDate: toSeconds(version.createdMs),
  }
}

function findVersion(
  versions: readonly SecretVersion[],
  { VersionId, VersionStage }: { readonly VersionId?: string | undefined; readonly VersionStage?: string | undefined },
): SecretVersion {
  const byId = versions.find(({ id }) => id === VersionId)
  const label = VersionStage ?? 'AWSCURRENT'
  const found = VersionId === undefined ? findStage(versions, label) : byId
  if (found === undefined) {
    const what = VersionId === undefined ? `staging label: ${label}` : `VersionId: ${VersionId}`
    const text = `Secrets Manager can't find the specified secret value for ${what}`
    throw new ServiceFault(400, 'ResourceNotFoundException', text)
  }
  if (VersionStage !== undefined && !found.stages.includes(VersionStage)) {
    const text = 'You provided a VersionStage that is not associated to the provided VersionId.'
    throw new ServiceFault(400, 'InvalidRequestException', text)
  }
  return found
}

function parseValue(text: string | undefined, base64: string | undefined): SecretValue {
  if ((text === undefined) === (base64 === undefined)) {
    throw new ServiceFault(400, 'InvalidRequestException', 'You must provide either SecretString or SecretBinary.')
  }
  const value = text === undefined ? { bytes: Buffer.from(base64 ?? '', 'base64') } : { text }
  const size = 'text' in value ? Buffer.byteLength(value.text) : value.bytes.length
  if (size > maxValueBytes) throw invalidParameter(`The secret value is longer than ${maxValueBytes} bytes.`)
  return value
}

function parseInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input)
  if (!parsed.success) throw invalidParameter(z.prettifyError(parsed.error))
  return parsed.data
}

function invalidParameter(message: string): ServiceFault {
  return new ServiceFault(400, 'InvalidParameterException', message)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function toSeconds(ms: number): number {
  return ms / 1000
}
