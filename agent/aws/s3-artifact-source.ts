import { addAbortSignal, Readable } from 'node:stream'

import { GetObjectCommand, ListObjectsV2Command, type ListObjectsV2Output, type S3Client } from '@aws-sdk/client-s3'

import type { ArtifactSource, ObjectBody, SourceObject } from '../artifacts/artifact-source.ts'
import { AgentError } from '../lib/errors.ts'
import type { AwsCall } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'

export interface S3ArtifactSourceOptions {
  readonly client: S3Client
  readonly call: AwsCall
  /** The ARN. */
  readonly accessPoint: string
  /** Empty, or ends in `/`. */
  readonly prefix: string
}

const maxObjects = 250_000

const deniedHint =
  'allow it for the appliance role in the access point policy, then in the bucket policy (delegate the bucket to its ' +
  'access points), then kms:Decrypt on the key that encrypts the objects'

/** Objects below a prefix, read through an S3 access point. Needs s3:ListBucket and s3:GetObject on it. */
export function createS3ArtifactSource(options: S3ArtifactSourceOptions): ArtifactSource {
  return {
    list: (signal) => listObjects(options, signal),
    open: (object, signal) => openObject(options, object, signal),
  }
}

async function listObjects(options: S3ArtifactSourceOptions, signal: AbortSignal): Promise<readonly SourceObject[]> {
  const objects: SourceObject[] = []
  let token: string | undefined
  do {
    const page = await listPage(options, token, signal)
    objects.push(...objectsOf(page, options))
    token = nextToken(page, { token, options })
    if (objects.length > maxObjects) {
      throw new AgentError(`${describe(options)} holds more than ${maxObjects} objects`, {
        hint: 'choose a longer prefix, or publish fewer and larger files',
      })
    }
  } while (token !== undefined)
  return objects
}

async function listPage(
  { client, call, accessPoint, prefix }: S3ArtifactSourceOptions,
  token: string | undefined,
  signal: AbortSignal,
): Promise<ListObjectsV2Output> {
  const command = new ListObjectsV2Command({
    Bucket: accessPoint,
    Prefix: prefix,
    ContinuationToken: token,
    EncodingType: 'url', // XML 1.0 cannot carry every character that a key may hold
  })
  const request = {
    service: 's3',
    operation: 'ListObjectsV2',
    resource: accessPoint,
    signal,
    hint: deniedHint,
  } as const
  return await call(request, (abortSignal) => client.send(command, { abortSignal }))
}

/** Throws unless the page is a whole one, so that an answer of something that is not S3 never passes for "nothing". */
function objectsOf(page: ListObjectsV2Output, options: S3ArtifactSourceOptions): readonly SourceObject[] {
  const contents = page.Contents ?? []
  if (page.KeyCount !== contents.length) throw notAListing(options)
  return contents.map(({ Key, ETag, Size }) => {
    if (Key === undefined || ETag === undefined || Size === undefined) throw notAListing(options)
    const key = page.EncodingType === 'url' ? decodeKey(Key) : Key
    if (!key.startsWith(options.prefix)) throw notAListing(options)
    return { key, path: key.slice(options.prefix.length), etag: ETag, sizeBytes: Size }
  })
}

/** ListObjectsV2 encodes keys as forms do, with `+` for a space. */
function decodeKey(encoded: string): string {
  return decodeURIComponent(encoded.replaceAll('+', ' '))
}

function nextToken(
  page: ListObjectsV2Output,
  { token, options }: { readonly token: string | undefined; readonly options: S3ArtifactSourceOptions },
): string | undefined {
  if (page.IsTruncated !== true) return undefined
  const next = page.NextContinuationToken
  if (next === undefined || next === token) throw notAListing(options)
  return next
}

async function openObject(
  { client, call, accessPoint }: S3ArtifactSourceOptions,
  { key, etag }: SourceObject,
  signal: AbortSignal,
): Promise<ObjectBody | 'changed'> {
  const command = new GetObjectCommand({
    Bucket: accessPoint,
    Key: key,
    IfMatch: etag,
    ChecksumMode: 'ENABLED', // whatever the client's default, the SDK checks what S3 holds a checksum for
  })
  const resource = `${accessPoint}/object/${key}`
  try {
    const request = { service: 's3', operation: 'GetObject', resource, signal, hint: deniedHint } as const
    const body = await call(request, async (abortSignal) => {
      const { Body } = await client.send(command, { abortSignal })
      // in Node the SDK's body is a Readable; it comes typed for browsers too
      if (!(Body instanceof Readable)) throw new AgentError(`${resource} came without a body`, { retryable: true })
      if (abortSignal.aborted) Body.destroy()
      abortSignal.throwIfAborted()
      return Body
    })
    return objectBody(addAbortSignal(signal, body), { resource, signal })
  } catch (error) {
    if (error instanceof AwsError && (error.failure === 'precondition' || error.code === 'NoSuchKey')) return 'changed'
    throw error
  }
}

function objectBody(
  stream: Readable,
  { resource, signal }: { readonly resource: string; readonly signal: AbortSignal },
): ObjectBody {
  stream.on('error', () => undefined) // the reader gets it; with nobody reading it must not end the process
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const chunk of stream) yield chunk as Uint8Array // a Readable in byte mode
      } catch (error) {
        signal.throwIfAborted()
        throw new AgentError(`the body of ${resource} broke off`, { retryable: true, cause: error })
      }
    },
    async [Symbol.asyncDispose]() {
      stream.destroy()
      await Promise.resolve()
    },
  }
}

function notAListing(options: S3ArtifactSourceOptions): AgentError {
  return new AgentError(`what came as the listing of ${describe(options)} is not a whole one`, { retryable: true })
}

function describe({ accessPoint, prefix }: S3ArtifactSourceOptions): string {
  return `${accessPoint}/object/${prefix}`
}
