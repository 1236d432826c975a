import type { Readable } from 'node:stream'

import { GetObjectCommand, ListObjectsV2Command, type ListObjectsV2Output, type S3Client } from '@aws-sdk/client-s3'

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
import type { AwsCall, AwsCallOptions } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'
import { StreamedBody } from './object-body.ts'
import { readable, S3GetObject, type GotObject } from './s3-get-object.ts'
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

/** What to do where an access point denies something. */
export const deniedHint =
  'allow it for the appliance role in the access point policy, then in the bucket policy (delegate the bucket to its ' +
  'access points), then kms:Decrypt on the key that encrypts the objects'

/**
 * Objects below a prefix, read through an S3 access point. Needs s3:ListBucket and s3:GetObject on it, and
 * s3:GetObjectVersion for objects with a versionId.
 */
export function createS3ArtifactSource(options: S3ArtifactSourceOptions): ArtifactSource {
  const parts = { ...options, getObject: new S3GetObject(options.client, options.accessPoint) }
  return {
    list: (signal) => listObjects(options, signal),
    open: (object, how) => openObject(parts, object, how),
    heldChecksum: (object, signal) => {
      const tryToRead = (): Promise<'read' | 'changed'> => readOneByte(parts, object, signal)
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

interface ReadingParts extends S3ArtifactSourceOptions {
  readonly getObject: S3GetObject
}

async function openObject(
  { call, accessPoint, getObject }: ReadingParts,
  object: ObjectVersion,
  { signal, range }: OpenOptions,
): Promise<ObjectBody | 'changed'> {
  const { key, etag, versionId } = object
  const asked = { key, versionId, ifMatch: etag, range: range && `bytes=${range.start}-${range.end - 1}` }
  const request = getObjectCall(accessPoint, key, signal)
  const { resource } = request
  try {
    const { body, ...got } = await call(request, async (abortSignal) =>
      whileWanted(await getObject.get(asked, abortSignal), abortSignal),
    )
    if (range !== undefined && !isAnswerFor(got, { range, object })) {
      body.destroy()
      throw new AgentError(`${resource} came without the range that was asked for`, { retryable: true })
    }
    return new StreamedBody(body, { resource, signal, etag: got.etag ?? etag ?? '', checksum: got.checksum })
  } catch (error) {
    if (error instanceof AwsError && isGone(error)) return 'changed'
    throw error
  }
}

async function readOneByte(
  parts: ReadingParts,
  object: ObjectVersion,
  signal: AbortSignal,
): Promise<'read' | 'changed'> {
  const range = object.sizeBytes === 0 ? {} : { range: { start: 0, end: 1 } }
  const body = await openObject(parts, object, { signal, ...range })
  if (body === 'changed') return body
  await body[Symbol.asyncDispose]()
  return 'read'
}

async function readSmallObject(
  { client, call, accessPoint, prefix }: S3ArtifactSourceOptions,
  path: string,
  { signal, etag, maxBytes }: ReadSmallOptions,
): Promise<SmallObject | 'unchanged' | 'absent'> {
  const key = `${prefix}${path}`
  const command = new GetObjectCommand({ Bucket: accessPoint, Key: key, IfNoneMatch: etag })
  const request = getObjectCall(accessPoint, key, signal)
  const { resource } = request
  try {
    const { got, output } = await call(request, async (abortSignal) => {
      const answer = await client.send(command, { abortSignal })
      return { got: whileWanted({ body: readable(answer.Body) }, abortSignal), output: answer }
    })
    await using body = new StreamedBody(got.body, { resource, signal, etag: output.ETag ?? '' })
    if ((output.ContentLength ?? 0) > maxBytes) throw tooLarge(resource, maxBytes)
    return { etag: body.etag, bytes: await readAll(body, { resource, signal, maxBytes }) }
  } catch (error) {
    if (error instanceof AwsError && error.status === 304) return 'unchanged'
    if (error instanceof AwsError && error.code === 'NoSuchKey') return 'absent'
    throw error
  }
}

function getObjectCall(accessPoint: string, key: string, signal: AbortSignal): AwsCallOptions {
  return {
    service: 's3',
    operation: 'GetObject',
    resource: `${accessPoint}/object/${key}`,
    signal,
    hint: deniedHint,
  }
}

/** An answer that comes when nobody wants it any more must not keep its connection. */
function whileWanted<T extends { readonly body: Readable }>(got: T, abortSignal: AbortSignal): T {
  if (abortSignal.aborted) got.body.destroy()
  abortSignal.throwIfAborted()
  return got
}

/** Replaced, removed, or a version that was deleted for good. */
function isGone({ failure, code }: AwsError): boolean {
  return failure === 'precondition' || code === 'NoSuchKey' || code === 'NoSuchVersion'
}

/** Something that ignores Range answers with the whole object, or with another part of a cached one. */
function isAnswerFor(
  { contentRange }: Pick<GotObject, 'contentRange'>,
  { range, object }: { readonly range: ByteRange; readonly object: ObjectVersion },
): boolean {
  return contentRange === `bytes ${range.start}-${range.end - 1}/${object.sizeBytes}`
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

function notAListing(options: S3ArtifactSourceOptions): AgentError {
  return new AgentError(`what came as the listing of ${describe(options)} is not a whole one`, { retryable: true })
}

function describe({ accessPoint, prefix }: S3ArtifactSourceOptions): string {
  return `${accessPoint}/object/${prefix}`
}
