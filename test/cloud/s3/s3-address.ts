import type { CloudRequest } from '../contract.ts'
import { notImplemented, S3Fault } from './s3-faults.ts'

/** What a host name says: access points are `{name}-{account}.s3.localhost`, as the SDK builds it from an ARN. */
export type S3Address =
  { readonly kind: 'access-point'; readonly name: string; readonly account: string } | { readonly kind: 'other' }

const root = 's3.localhost'
const maxKeyBytes = 1024

export function isS3Host(host: string): boolean {
  return host === root || host.endsWith(`.${root}`)
}

export function parseS3Host(host: string): S3Address {
  const match = /^(?<name>[a-z0-9][a-z0-9-]*)-(?<account>\d{12})\.s3\.localhost$/.exec(host)?.groups
  const { name, account } = match ?? {}
  if (name === undefined || account === undefined) return { kind: 'other' }
  return { kind: 'access-point', name, account }
}

/** The API action; ones that are not offered are named too, so that records can tell them apart. */
export function s3ActionOf(request: CloudRequest): string {
  const onBucket = request.rawPath === '/' || request.rawPath === ''
  switch (request.method) {
    case 'GET':
      if (!onBucket) return 'GetObject'
      return request.query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects'
    case 'HEAD':
      return onBucket ? 'HeadBucket' : 'HeadObject'
    case 'PUT':
      if (onBucket) return 'CreateBucket'
      return request.query.has('uploadId') ? 'UploadPart' : 'PutObject'
    case 'POST':
      if (onBucket) return 'Unknown'
      if (request.query.has('uploads')) return 'CreateMultipartUpload'
      return request.query.has('uploadId') ? 'CompleteMultipartUpload' : 'Unknown'
    case 'DELETE':
      if (onBucket) return 'DeleteBucket'
      return request.query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
    default:
      return 'Unknown'
  }
}

/**
 * The key is everything after the first slash, percent-decoded once and otherwise untouched: `..`, `//`, `+` and an
 * escaped slash are part of it. Throws InvalidURI for escapes that are no UTF-8, KeyTooLongError above 1,024 bytes.
 */
export function decodeKey(rawPath: string): string {
  const key = decodeOnce(rawPath.slice(1))
  const sizeBytes = Buffer.byteLength(key)
  if (sizeBytes > maxKeyBytes) {
    const details = { Size: sizeBytes, MaxSizeAllowed: maxKeyBytes }
    throw new S3Fault([400, 'KeyTooLongError'], 'Your key is too long', { details })
  }
  return key
}

/** Refuses parameters outside `known`: an ignored one would look as if it worked. */
export function onlyParameters(request: CloudRequest, known: readonly string[]): void {
  for (const name of request.query.keys()) {
    if (name !== 'x-id' && !known.includes(name)) throw notImplemented(name)
  }
}

function decodeOnce(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Fault([400, 'InvalidURI'], "Couldn't parse the specified URI.", { details: { URI: text } })
  }
}
