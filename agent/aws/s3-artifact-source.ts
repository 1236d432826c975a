import { addAbortSignal, Readable } from 'node:stream'

import {
  GetObjectCommand,
  ListObjectsV2Command,
  type GetObjectCommandOutput,
  type ListObjectsV2Output,
  type S3Client,
} from '@aws-sdk/client-s3'

import type {
  ArtifactSource,
  ByteRange,
  ObjectBody,
  ObjectVersion,
  OpenOptions,
  ReadSmallOptions,
  SmallObject,
  SourceObject,
} from '../artifacts/artifact-source.ts'
import { withDeadline } from '../lib/abort.ts'
import { AgentError } from '../lib/errors.ts'
import type { AwsCall } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'
import { readHeldChecksum } from './s3-held-checksum.ts'

export interface S3ArtifactSourceOptions {
  readonly client: S3Client
  readonly call: AwsCall
  /** The ARN. */
  readonly accessPoint: string
  /** Empty, or ends in `/`. */
  readonly prefix: string
}

const maxObjects = 250_000
/** How long a body that is read here may go without a byte. */
const silenceMs = 30_000

const deniedHint =
  'allow it for the appliance role in the access point policy, then in the bucket policy (delegate the bucket to its ' +
  'access points), then kms:Decrypt on the key that encrypts the objects'

/**
 * Objects below a prefix, read through an S3 access point. Needs s3:ListBucket and s3:GetObject on it, and
 * s3:GetObjectVersion for objects with a versionId.
 */
export function createS3ArtifactSource(options: S3ArtifactSourceOptions): ArtifactSource {
  return {
    list: (signal) => listObjects(options, signal),
    open: (object, how) => openObject(options, object, how),
    heldChecksum: (object, signal) => {
      const tryToRead = (): Promise<'read' | 'changed'> => readOneByte(options, object, signal)
      return readHeldChecksum({ ...options, object, signal, tryToRead })
    },
    readSmall: (path, how) => readSmallObject(options, path, how),
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
  options: S3ArtifactSourceOptions,
  object: ObjectVersion,
  { signal, range }: OpenOptions,
): Promise<ObjectBody | 'changed'> {
  const { key, etag, versionId } = object
  const command = new GetObjectCommand({
    Bucket: options.accessPoint,
    Key: key,
    IfMatch: etag,
    VersionId: versionId,
    // whatever the client's default, the SDK checks what S3 holds a checksum for; that is of the whole object only
    ...(range === undefined ? { ChecksumMode: 'ENABLED' } : { Range: `bytes=${range.start}-${range.end - 1}` }),
  })
  try {
    const { stream, output, resource } = await getObject(options, { command, key, signal })
    if (range !== undefined && !isAnswerFor(output, { range, object })) {
      stream.destroy()
      throw new AgentError(`${resource} came without the range that was asked for`, { retryable: true })
    }
    return objectBody(stream, { resource, signal, etag: output.ETag ?? etag ?? '' })
  } catch (error) {
    if (error instanceof AwsError && isGone(error)) return 'changed'
    throw error
  }
}

async function readOneByte(
  options: S3ArtifactSourceOptions,
  object: ObjectVersion,
  signal: AbortSignal,
): Promise<'read' | 'changed'> {
  const range = object.sizeBytes === 0 ? {} : { range: { start: 0, end: 1 } }
  const body = await openObject(options, object, { signal, ...range })
  if (body === 'changed') return body
  await body[Symbol.asyncDispose]()
  return 'read'
}

async function readSmallObject(
  options: S3ArtifactSourceOptions,
  path: string,
  { signal, etag, maxBytes }: ReadSmallOptions,
): Promise<SmallObject | 'unchanged' | 'absent'> {
  const key = `${options.prefix}${path}`
  const command = new GetObjectCommand({ Bucket: options.accessPoint, Key: key, IfNoneMatch: etag })
  try {
    const { stream, output, resource } = await getObject(options, { command, key, signal })
    await using body = objectBody(stream, { resource, signal, etag: output.ETag ?? '' })
    if ((output.ContentLength ?? 0) > maxBytes) throw tooLarge(resource, maxBytes)
    return { etag: body.etag, bytes: await readAll(body, { resource, signal, maxBytes }) }
  } catch (error) {
    if (error instanceof AwsError && error.status === 304) return 'unchanged'
    if (error instanceof AwsError && error.code === 'NoSuchKey') return 'absent'
    throw error
  }
}

interface GetObject {
  readonly command: GetObjectCommand
  readonly key: string
  readonly signal: AbortSignal
}

interface Got {
  /** Ends with the signal. */
  readonly stream: Readable
  readonly output: GetObjectCommandOutput
  readonly resource: string
}

async function getObject(
  { client, call, accessPoint }: S3ArtifactSourceOptions,
  { command, key, signal }: GetObject,
): Promise<Got> {
  const resource = `${accessPoint}/object/${key}`
  const request = { service: 's3', operation: 'GetObject', resource, signal, hint: deniedHint } as const
  const { body, output } = await call(request, async (abortSignal) => {
    const answer = await client.send(command, { abortSignal })
    const { Body } = answer
    // in Node the SDK's body is a Readable; it comes typed for browsers too
    if (!(Body instanceof Readable)) throw new AgentError(`${resource} came without a body`, { retryable: true })
    if (abortSignal.aborted) Body.destroy()
    abortSignal.throwIfAborted()
    return { body: Body, output: answer }
  })
  return { stream: addAbortSignal(signal, body), output, resource }
}

/** Replaced, removed, or a version that was deleted for good. */
function isGone({ failure, code }: AwsError): boolean {
  return failure === 'precondition' || code === 'NoSuchKey' || code === 'NoSuchVersion'
}

/** Something that ignores Range answers with the whole object, or with another part of a cached one. */
function isAnswerFor(
  { ContentRange }: GetObjectCommandOutput,
  { range, object }: { readonly range: ByteRange; readonly object: ObjectVersion },
): boolean {
  return ContentRange === `bytes ${range.start}-${range.end - 1}/${object.sizeBytes}`
}

async function readAll(
  body: ObjectBody,
  {
    resource,
    signal,
    maxBytes,
  }: { readonly resource: string; readonly signal: AbortSignal; readonly maxBytes: number },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const iterator = body[Symbol.asyncIterator]()
  for (;;) {
    const deadline = { signal, withinMs: silenceMs, what: `the next byte of ${resource}` }
    const next = await withDeadline(deadline, async () => await iterator.next())
    if (next.done === true) return Buffer.concat(chunks)
    bytes += next.value.byteLength
    if (bytes > maxBytes) throw tooLarge(resource, maxBytes)
    chunks.push(next.value)
  }
}

function tooLarge(resource: string, maxBytes: number): AgentError {
  return new AgentError(`${resource} has more than the ${maxBytes} bytes that are read of it`, {
    hint: 'publish fewer and larger files',
  })
}

function objectBody(
  stream: Readable,
  { resource, signal, etag }: { readonly resource: string; readonly signal: AbortSignal; readonly etag: string },
): ObjectBody {
  stream.on('error', () => undefined) // the reader gets it; with nobody reading it must not end the process
  return {
    etag,
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
