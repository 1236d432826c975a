import { open } from 'node:fs/promises'

import type { CloudRequest, CloudResponse } from '../contract.ts'
import { parseByteRange, type ByteRange } from './byte-range.ts'
import { decodeKey, onlyParameters } from './s3-address.ts'
import { findKeyRefusal, findRefusal, type S3Door } from './s3-authorization.ts'
import { checkConditions } from './s3-conditions.ts'
import { commonHeaders, invalidArgument, S3Fault } from './s3-faults.ts'
import type { ObjectVersion, S3Store, StoredObject } from './s3-store.ts'

/**
 * GetObject and HeadObject. The body of a GET is a stream of the file: whoever gets it must read it to its end or
 * destroy it. Throws an S3Fault to refuse, and answers 304 as a response, because it is no error to HTTP.
 */
export async function answerGetObject(request: CloudRequest, door: S3Door, store: S3Store): Promise<CloudResponse> {
  onlyParameters(request, ['versionId'])
  const key = decodeKey(request.rawPath)
  const versionId = request.query.get('versionId') ?? undefined
  const object = findObject({ door, store, key, versionId })
  const keyRefusal = findKeyRefusal(door, key, object)
  if (keyRefusal !== undefined) throw keyRefusal

  const headers = { ...commonHeaders(request), ...objectHeaders(object, door) }
  const condition = checkConditions(request.headers, object)
  switch (condition.kind) {
    case 'not-modified':
      return { status: 304, headers }
    case 'failed':
      throw new S3Fault([412, 'PreconditionFailed'], 'At least one of the pre-conditions you specified did not hold', {
        details: { Condition: condition.header },
      })
    case 'met':
      return await answerBody(request, object, headers)
  }
}

/**
 * The version that the request may see. Reading a named version needs s3:GetObjectVersion in place of s3:GetObject;
 * without s3:ListBucket a missing key looks forbidden (GetObject, "Permissions").
 */
function findObject({ door, store, key, versionId }: FindOptions): StoredObject {
  const named = versionId === undefined ? undefined : { 's3:VersionId': versionId }
  const access = named === undefined ? { action: 's3:GetObject' } : { action: 's3:GetObjectVersion', context: named }
  const refusal = findRefusal(door, { ...access, key })
  if (refusal !== undefined) throw refusal
  if (versionId !== undefined && !/^(null|[A-Za-z0-9._-]{32})$/.test(versionId)) {
    throw invalidArgument('Invalid version id specified', 'versionId', versionId)
  }
  const versions = store.versions(door.bucket.name, key)
  const version = versionId === undefined ? versions[0] : versions.find((each) => each.versionId === versionId)
  if (version?.kind === 'object') return version
  throw missing({ door, store, key, versionId }, version)
}

interface FindOptions {
  readonly door: S3Door
  readonly store: S3Store
  readonly key: string
  readonly versionId: string | undefined
}

function missing({ door, key, versionId }: FindOptions, version: ObjectVersion | undefined): S3Fault {
  const marker = version === undefined ? {} : markerHeaders(version)
  const hidden = findRefusal(door, { action: 's3:ListBucket' })
  if (hidden !== undefined) return hidden
  if (versionId === undefined) {
    const options = { details: { Key: key }, headers: marker }
    return new S3Fault([404, 'NoSuchKey'], 'The specified key does not exist.', options)
  }
  if (version === undefined) {
    const details = { Key: key, VersionId: versionId }
    return new S3Fault([404, 'NoSuchVersion'], 'The specified version does not exist.', { details })
  }
  return new S3Fault([405, 'MethodNotAllowed'], 'The specified method is not allowed against this resource.', {
    details: { Method: 'GET', ResourceType: 'DeleteMarker' },
    headers: { ...marker, allow: 'DELETE' },
  })
}

function markerHeaders(version: ObjectVersion): Readonly<Record<string, string>> {
  return { 'x-amz-delete-marker': 'true', 'x-amz-version-id': version.versionId }
}

function objectHeaders(object: StoredObject, { bucket }: S3Door): Readonly<Record<string, string>> {
  const metadata = Object.entries(object.metadata).map(([name, value]): [string, string] => [
    `x-amz-meta-${name.toLowerCase()}`,
    value,
  ])
  return {
    etag: object.etag,
    'last-modified': new Date(object.modifiedAtMs).toUTCString(),
    'accept-ranges': 'bytes',
    ...(bucket.versioned ? { 'x-amz-version-id': object.versionId } : {}),
    ...(object.kmsKeyArn === undefined
      ? { 'x-amz-server-side-encryption': 'AES256' }
      : {
          'x-amz-server-side-encryption': 'aws:kms',
          'x-amz-server-side-encryption-aws-kms-key-id': object.kmsKeyArn,
        }),
    ...Object.fromEntries(metadata),
  }
}

async function answerBody(
  request: CloudRequest,
  object: StoredObject,
  headers: Readonly<Record<string, string>>,
): Promise<CloudResponse> {
  const range = parseByteRange(request.headers['range'], object.sizeBytes)
  const answer = { ...headers, 'content-type': object.contentType }
  switch (range.kind) {
    case 'unsatisfiable':
      throw new S3Fault([416, 'InvalidRange'], 'The requested range is not satisfiable', {
        details: { RangeRequested: request.headers['range'] ?? '', ActualObjectSize: object.sizeBytes },
      })
    case 'part':
      return {
        status: 206,
        headers: {
          ...answer,
          'content-length': String(range.end - range.start + 1),
          'content-range': `bytes ${range.start}-${range.end}/${object.sizeBytes}`,
        },
        ...(await bodyOf(request, object, range)),
      }
    case 'whole':
      return {
        status: 200,
        headers: { ...answer, 'content-length': String(object.sizeBytes), ...checksumHeaders(request, object) },
        ...(await bodyOf(request, object, range)),
      }
  }
}

/** Only on request, and never for a range: S3 has no checksum of arbitrary bytes. */
function checksumHeaders(request: CloudRequest, { checksum }: StoredObject): Readonly<Record<string, string>> {
  if (request.headers['x-amz-checksum-mode']?.toUpperCase() !== 'ENABLED') return {}
  return {
    [`x-amz-checksum-${checksum.algorithm.toLowerCase()}`]: checksum.value,
    'x-amz-checksum-type': checksum.type,
  }
}

async function bodyOf(
  request: CloudRequest,
  object: StoredObject,
  range: ByteRange,
): Promise<Pick<CloudResponse, 'body'>> {
  if (request.method === 'HEAD') return {}
  if (object.sizeBytes === 0) return { body: '' }
  // The file is opened here, not when the stream is first read: an object replaced meanwhile keeps its bytes.
  const file = await open(object.path).catch(replacedMeanwhile)
  return { body: file.createReadStream(range.kind === 'part' ? { start: range.start, end: range.end } : {}) }
}

function replacedMeanwhile(): never {
  throw new S3Fault([500, 'InternalError'], 'We encountered an internal error. Please try again.')
}
