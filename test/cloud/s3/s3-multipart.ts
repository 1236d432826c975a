import { randomBytes } from 'node:crypto'

import type { CloudRequest, CloudResponse } from '../contract.ts'
import { checksumOf, etagOf, type ChecksumAlgorithm, type ChecksumType } from './object-checksum.ts'
import { decodeKey, onlyParameters } from './s3-address.ts'
import { findRefusal, type S3Door } from './s3-authorization.ts'
import { commonHeaders, invalidArgument, S3Fault, xmlContent, xmlDeclaration } from './s3-faults.ts'
import { mayWrite } from './s3-put-object.ts'
import type { S3Store } from './s3-store.ts'
import { checkBody, checksumAlgorithmOf, checksumTypeOf, metadataOf, onlyKnownHeaders } from './s3-upload-headers.ts'
import { checkWriteConditions } from './s3-write-conditions.ts'
import { xmlElement, xmlTextElement } from './xml-text.ts'

interface Part {
  readonly etag: string
  readonly checksum: string
  readonly body: Uint8Array
}

interface Upload {
  readonly bucket: string
  readonly key: string
  readonly checksum: ChecksumAlgorithm
  readonly checksumType: ChecksumType
  readonly contentType: string | undefined
  readonly metadata: Readonly<Record<string, string>>
  readonly parts: Map<number, Part>
}

const minPartBytes = 5 * 1024 * 1024
const maxPartNumber = 10_000

/** The multipart uploads that were begun and neither completed nor aborted; parts are held in memory. */
export class MultipartUploads {
  readonly #uploads = new Map<string, Upload>()

  /** The keys that have one. */
  keys(bucket: string): readonly string[] {
    return [...this.#uploads.values()].filter((upload) => upload.bucket === bucket).map(({ key }) => key)
  }

  /** CreateMultipartUpload */
  create(request: CloudRequest, door: S3Door): CloudResponse {
    onlyParameters(request, ['uploads'])
    const key = decodeKey(request.rawPath)
    mayWrite(request, door, key)
    onlyKnownHeaders(request)
    const uploadId = randomBytes(48).toString('base64url')
    const bucket = door.bucket.name
    const checksum = checksumAlgorithmOf(request)
    const checksumType = checksumTypeOf(request, checksum)
    const contentType = request.headers['content-type']
    const metadata = metadataOf(request)
    this.#uploads.set(uploadId, { bucket, key, checksum, checksumType, contentType, metadata, parts: new Map() })
    const headers = { 'x-amz-checksum-algorithm': checksum, 'x-amz-checksum-type': checksumType }
    const content = [xmlTextElement('Bucket', bucket), xmlTextElement('Key', key), xmlTextElement('UploadId', uploadId)]
    return answer(request, xmlElement('InitiateMultipartUploadResult', content.join('')), headers)
  }

  /** UploadPart */
  async put(request: CloudRequest, door: S3Door): Promise<CloudResponse> {
    onlyParameters(request, ['partNumber', 'uploadId'])
    const { upload } = this.#find(request, door)
    mayWrite(request, door, upload.key)
    onlyKnownHeaders(request)
    const number = Number(request.query.get('partNumber'))
    if (!Number.isInteger(number) || number < 1 || number > maxPartNumber) {
      const message = `Part number must be an integer between 1 and ${maxPartNumber}, inclusive`
      throw invalidArgument(message, 'partNumber', request.query.get('partNumber') ?? '')
    }
    const algorithm = (await checkBody(request)) ?? upload.checksum
    if (algorithm !== upload.checksum) throw invalidRequest('Checksum Type mismatch occurred')
    const encrypted = door.bucket.kmsKeyArn !== undefined
    const etag = etagOf([request.body], { multipart: false, encrypted })
    const { value } = await checksumOf([request.body], { algorithm, multipart: false })
    upload.parts.set(number, { etag, checksum: value, body: request.body })
    const headers = { etag, [`x-amz-checksum-${algorithm.toLowerCase()}`]: value }
    return { status: 200, headers: { ...commonHeaders(request), ...headers } }
  }

  /** CompleteMultipartUpload, conditions included. */
  async complete(request: CloudRequest, door: S3Door, store: S3Store): Promise<CloudResponse> {
    onlyParameters(request, ['uploadId'])
    const { uploadId, upload } = this.#find(request, door)
    const { bucket, key, checksum, checksumType, contentType, metadata } = upload
    mayWrite(request, door, key)
    const object = await store.putObject({
      bucket,
      key,
      body: chosenParts(request, upload),
      checksum,
      checksumType,
      metadata,
      ...(contentType === undefined ? {} : { contentType }),
      onlyIf: (current) => {
        checkWriteConditions(request, current)
      },
    })
    this.#uploads.delete(uploadId)
    const content = [
      xmlTextElement('Bucket', bucket),
      xmlTextElement('Key', key),
      xmlTextElement('ETag', object.etag),
      xmlTextElement(`Checksum${checksum}`, object.checksum.value),
      xmlTextElement('ChecksumType', object.checksum.type),
    ]
    const headers = door.bucket.versioned ? { 'x-amz-version-id': object.versionId } : {}
    return answer(request, xmlElement('CompleteMultipartUploadResult', content.join('')), headers)
  }

  /** AbortMultipartUpload */
  abort(request: CloudRequest, door: S3Door): CloudResponse {
    onlyParameters(request, ['uploadId'])
    const { uploadId, upload } = this.#find(request, door)
    const refusal = findRefusal(door, { action: 's3:AbortMultipartUpload', key: upload.key })
    if (refusal !== undefined) throw refusal
    this.#uploads.delete(uploadId)
    return { status: 204, headers: commonHeaders(request) }
  }

  #find(request: CloudRequest, door: S3Door): { readonly uploadId: string; readonly upload: Upload } {
    const uploadId = request.query.get('uploadId') ?? ''
    const upload = this.#uploads.get(uploadId)
    const isHere = upload?.bucket === door.bucket.name && upload.key === decodeKey(request.rawPath)
    if (upload !== undefined && isHere) return { uploadId, upload }
    const message =
      'The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been ' +
      'aborted or completed.'
    throw new S3Fault([404, 'NoSuchUpload'], message, { details: { UploadId: uploadId } })
  }
}

function chosenParts(request: CloudRequest, { parts, checksum, checksumType }: Upload): readonly Uint8Array[] {
  const wanted = readPartList(Buffer.from(request.body).toString(), checksum)
  if (wanted.length === 0) throw malformed()
  if (wanted.some(({ number }, index) => number <= (wanted[index - 1]?.number ?? 0))) {
    throw new S3Fault([400, 'InvalidPartOrder'], 'The list of parts was not in ascending order.')
  }
  return wanted.map(({ number, etag, partChecksum }, index) => {
    const part = parts.get(number)
    // a composite checksum is made of the parts' own, which S3 wants to hear again
    if (checksumType === 'COMPOSITE' && partChecksum === undefined) {
      throw invalidRequest(
        `The upload was created using a ${checksum.toLowerCase()} checksum. The complete request must include the ` +
          `checksum for each part. It was missing for part ${number} in the request.`,
      )
    }
    if (part?.etag !== etag || (partChecksum !== undefined && partChecksum !== part.checksum)) {
      const message = 'One or more of the specified parts could not be found.'
      throw new S3Fault([400, 'InvalidPart'], message, { details: { PartNumber: number, ETag: etag } })
    }
    if (part.body.length < minPartBytes && index < wanted.length - 1) {
      const message = 'Your proposed upload is smaller than the minimum allowed size'
      const details = { ProposedSize: part.body.length, MinSizeAllowed: minPartBytes, PartNumber: number, ETag: etag }
      throw new S3Fault([400, 'EntityTooSmall'], message, { details })
    }
    return part.body
  })
}

interface NamedPart {
  readonly number: number
  readonly etag: string
  readonly partChecksum: string | undefined
}

function readPartList(xml: string, checksum: ChecksumAlgorithm): readonly NamedPart[] {
  return [...xml.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => {
    const number = Number(/<PartNumber>(\d+)<\/PartNumber>/.exec(part)?.[1])
    const etag = /<ETag>(.*?)<\/ETag>/.exec(part)?.[1]?.replaceAll('&quot;', '"')
    if (!Number.isInteger(number) || etag === undefined) throw malformed()
    const partChecksum = new RegExp(`<Checksum${checksum}>(.*?)</Checksum${checksum}>`).exec(part)?.[1]
    return { number, etag, partChecksum }
  })
}

function answer(request: CloudRequest, content: string, headers: Readonly<Record<string, string>>): CloudResponse {
  return {
    status: 200,
    headers: { ...commonHeaders(request), ...xmlContent, ...headers },
    body: xmlDeclaration + content,
  }
}

function malformed(): S3Fault {
  return new S3Fault([400, 'MalformedXML'], 'The XML you provided was not well-formed or did not validate')
}

function invalidRequest(message: string): S3Fault {
  return new S3Fault([400, 'InvalidRequest'], message)
}
