import type { CloudRequest, CloudResponse } from '../contract.ts'
import { decodeKey, onlyParameters } from './s3-address.ts'
import { findKeyRefusal, findRefusal, type S3Door } from './s3-authorization.ts'
import { commonHeaders } from './s3-faults.ts'
import type { S3Store, StoredObject } from './s3-store.ts'
import { checkBody, metadataOf, onlyKnownHeaders } from './s3-upload-headers.ts'
import { checkWriteConditions } from './s3-write-conditions.ts'

/** PutObject, conditional writes included. Throws an S3Fault to refuse; nothing is stored then. */
export async function answerPutObject(request: CloudRequest, door: S3Door, store: S3Store): Promise<CloudResponse> {
  onlyParameters(request, [])
  const key = decodeKey(request.rawPath)
  mayWrite(request, door, key)
  onlyKnownHeaders(request)
  const checksum = await checkBody(request)
  const contentType = request.headers['content-type']
  const object = await store.putObject({
    bucket: door.bucket.name,
    key,
    body: request.body,
    metadata: metadataOf(request),
    ...(checksum === undefined ? {} : { checksum }),
    ...(contentType === undefined ? {} : { contentType }),
    onlyIf: (current) => {
      checkWriteConditions(request, current)
    },
  })
  return { status: 200, headers: { ...commonHeaders(request), ...writtenHeaders(object, door) } }
}

/**
 * Throws unless the caller may write the key: s3:PutObject, s3:GetObject too for If-Match, which tells whether an ETag is
 * right, and kms:GenerateDataKey where the bucket encrypts with a customer managed key (PutObject, "Permissions").
 */
export function mayWrite({ headers }: CloudRequest, door: S3Door, key: string): void {
  const actions = ['s3:PutObject', ...(headers['if-match'] === undefined ? [] : ['s3:GetObject'])]
  for (const action of actions) {
    const refusal = findRefusal(door, { action, key })
    if (refusal !== undefined) throw refusal
  }
  const keyRefusal = findKeyRefusal(door, key, door.bucket, 'kms:GenerateDataKey')
  if (keyRefusal !== undefined) throw keyRefusal
}

function writtenHeaders(object: StoredObject, { bucket }: S3Door): Readonly<Record<string, string>> {
  return {
    etag: object.etag,
    [`x-amz-checksum-${object.checksum.algorithm.toLowerCase()}`]: object.checksum.value,
    'x-amz-checksum-type': object.checksum.type,
    ...(bucket.versioned ? { 'x-amz-version-id': object.versionId } : {}),
  }
}
