import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'

import { PutObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { fromNodeProviderChain } from '@aws-sdk/credential-providers'
import { Upload as MultipartUpload } from '@aws-sdk/lib-storage'

import type { PublishedManifest, ReleaseDestination, Upload, UploadOptions } from '../publishing/release-destination.ts'
import { linkedAbort } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import { createAwsCall, type AwsCall } from './aws-call.ts'
import { AwsError, translateAwsError } from './aws-errors.ts'
import { Dialer } from './dialer.ts'
import { createOperatorHandler } from './operator-handler.ts'
import { createS3ArtifactSource } from './s3-artifact-source.ts'

type OperatorCredentials = ReturnType<typeof fromNodeProviderChain>

export interface S3ReleaseDestinationOptions {
  /** The ARN. */
  readonly accessPoint: string
  /** Empty, or ends in `/`. */
  readonly prefix: string
  /** Below the prefix. */
  readonly manifestPath: string
  readonly region: string
  /** Instead of AWS's own; of a VPC endpoint or a test. */
  readonly endpoint?: string
  /** Makes the connections. Default: straight ones. */
  readonly dialer?: Dialer
}

const partBytes = 8 * 1024 * 1024
/** S3 takes 10,000. */
const maxParts = 9_000
const parallelParts = 2

const deniedHint =
  'attach config/cloud/publisher-policy.json to the role or user that publishes; under a customer managed key, allow it ' +
  'kms:GenerateDataKey and kms:Decrypt too'

const untrustedHint =
  'a proxy may replace certificates: put its root into the store of this machine, or name it in NODE_EXTRA_CA_CERTS; and check ' +
  '--endpoint and the clock'

/**
 * Publishes through an S3 access point, with the credentials of whoever runs it (the SDK's default chain: environment,
 * profiles, SSO, instance). Needs s3:PutObject, s3:GetObject, s3:ListBucket and s3:AbortMultipartUpload.
 */
export function createS3ReleaseDestination(options: S3ReleaseDestinationOptions): ReleaseDestination & Disposable {
  const client = createClient(options)
  const call = createAwsCall({
    credentials: { currentKeyId: () => undefined, invalidate: () => undefined },
    onConnectionFailure: () => undefined,
  })
  const parts = { ...options, client, call }
  const source = createS3ArtifactSource(parts)
  return {
    readManifest: (maxBytes, signal) =>
      forOperators(async () => {
        const found = await source.readSmall(options.manifestPath, { signal, maxBytes })
        if (found === 'unchanged')
          throw new AgentError('S3 answered a condition that was not made', { retryable: true })
        return found
      }),
    sizesBelow: (folder, signal) =>
      forOperators(async () => {
        const below = createS3ArtifactSource({ ...parts, prefix: `${options.prefix}${folder}` })
        const objects = await below.list(signal)
        return new Map(objects.map(({ path, sizeBytes }) => [`${folder}${path}`, sizeBytes]))
      }),
    upload: (upload, how) => forOperators(() => putFile(parts, upload, how)),
    replaceManifest: (bytes, etag, signal) => forOperators(() => putManifest(parts, { bytes, etag }, signal)),
    [Symbol.dispose]() {
      client.destroy()
    },
  }
}

interface Parts extends S3ReleaseDestinationOptions {
  readonly client: S3Client
  readonly call: AwsCall
}

function createClient({ region, endpoint, dialer = new Dialer() }: S3ReleaseDestinationOptions): S3Client {
  const requestHandler = createOperatorHandler(dialer)
  return new S3Client({
    region,
    credentials: operatorCredentials({ region, requestHandler }),
    useArnRegion: true,
    maxAttempts: 5, // nobody else tries again
    ...(endpoint === undefined ? {} : { endpoint }),
    requestHandler,
  })
}

/** STS and SSO, where they come from there, are asked the same way. */
function operatorCredentials(
  clientConfig: Pick<S3ClientConfig, 'requestHandler'> & { region: string },
): OperatorCredentials {
  const find = fromNodeProviderChain({ clientConfig })
  return async (identity) => {
    try {
      return await find(identity)
    } catch (error) {
      throw new AgentError('there are no AWS credentials to publish with', {
        hint: 'run aws configure, or aws sso login, or set AWS_PROFILE; or run it where a role is attached',
        cause: error,
      })
    }
  }
}

async function putFile(
  { client, accessPoint, prefix }: Parts,
  upload: Upload,
  { signal, onBytes }: UploadOptions,
): Promise<void> {
  const key = `${prefix}${upload.key}`
  using link = linkedAbort(signal)
  const transfer = new MultipartUpload({
    client,
    params: {
      Bucket: accessPoint,
      Key: key,
      Body: Readable.from(checkedContent(upload), { objectMode: false }),
      ChecksumAlgorithm: 'SHA256',
    },
    partSize: Math.max(partBytes, Math.ceil(upload.sizeBytes / maxParts)),
    queueSize: parallelParts,
    abortController: link.controller,
  })
  let told = 0
  transfer.on('httpUploadProgress', ({ loaded = 0 }) => {
    onBytes(loaded - told)
    told = loaded
  })
  try {
    await transfer.done()
  } catch (error) {
    signal.throwIfAborted()
    const resource = `${accessPoint}/object/${key}`
    throw translateAwsError(error, { service: 's3', operation: 'PutObject', resource, hint: deniedHint })
  }
}

/** An operator's machine has no identity.rootCa, of which the appliance's hint speaks. */
async function forOperators<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof AwsError) || error.failure !== 'certificate') throw error
    throw new AgentError('S3 is not trusted on this machine', { hint: untrustedHint, cause: error })
  }
}

/** Fails at its end, before the last byte was sent off, when the file is not what it was when it was looked at. */
async function* checkedContent({ file, sizeBytes, sha256 }: Upload): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) {
    if (!Buffer.isBuffer(chunk)) continue
    hash.update(chunk)
    bytes += chunk.length
    yield chunk
  }
  if (bytes === sizeBytes && hash.digest('hex') === sha256) return
  throw new AgentError(`${file} changed while it was published`, { hint: 'publish again when nothing writes to it' })
}

interface ManifestVersion {
  readonly bytes: Uint8Array
  readonly etag: string | undefined
}

async function putManifest(
  parts: Parts,
  { bytes, etag }: ManifestVersion,
  signal: AbortSignal,
): Promise<'replaced' | 'changed'> {
  const { client, call, accessPoint, prefix, manifestPath } = parts
  const key = `${prefix}${manifestPath}`
  const command = new PutObjectCommand({
    Bucket: accessPoint,
    Key: key,
    Body: bytes,
    ContentType: 'application/jose',
    ...(etag === undefined ? { IfNoneMatch: '*' } : { IfMatch: etag }),
  })
  const resource = `${accessPoint}/object/${key}`
  const request = { service: 's3', operation: 'PutObject', resource, signal, hint: deniedHint } as const
  try {
    await call({ ...request, withinMs: 600_000 }, (abortSignal) => client.send(command, { abortSignal }))
    return 'replaced'
  } catch (error) {
    if (!(error instanceof AwsError) || !isOvertaken(error)) throw error
    // the SDK tries again when an answer is lost: then it was this very manifest that was in the way
    const found = await readBack(parts, bytes.length, signal)
    return found !== 'absent' && Buffer.from(found.bytes).equals(bytes) ? 'replaced' : 'changed'
  }
}

async function readBack(parts: Parts, maxBytes: number, signal: AbortSignal): Promise<PublishedManifest | 'absent'> {
  const found = await createS3ArtifactSource(parts)
    .readSmall(parts.manifestPath, { signal, maxBytes })
    .catch((error: unknown) => {
      signal.throwIfAborted()
      if (error instanceof AwsError) throw error
      return 'absent' as const // it is larger than ours
    })
  return found === 'unchanged' ? 'absent' : found
}

/** Replaced, removed, or just being written by another (409). */
function isOvertaken({ failure, code }: AwsError): boolean {
  return failure === 'precondition' || code === 'NoSuchKey' || code === 'ConditionalRequestConflict'
}
