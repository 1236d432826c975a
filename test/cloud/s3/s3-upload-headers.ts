import { createHash } from 'node:crypto'

import type { CloudRequest } from '../contract.ts'
import { notImplemented, S3Fault } from './s3-faults.ts'
import {
  checksumAlgorithms,
  checksumOf,
  multipartTypes,
  type ChecksumAlgorithm,
  type ChecksumType,
} from './object-checksum.ts'

const checksumHeaders: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  checksumAlgorithms.map((algorithm) => [`x-amz-checksum-${algorithm.toLowerCase()}`, algorithm]),
)

/** What an upload may carry without changing what is stored, beside what is read here. */
const known: ReadonlySet<string> = new Set([
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-expected-bucket-owner',
  'x-amz-sdk-checksum-algorithm',
  'x-amz-security-token',
  'x-amz-user-agent',
  'x-amz-checksum-algorithm',
  'x-amz-checksum-type',
])

/** Refuses headers that would change what is stored in a way that is not modelled. */
export function onlyKnownHeaders({ headers }: CloudRequest): void {
  if (headers['content-encoding']?.includes('aws-chunked') === true) throw notImplemented('aws-chunked')
  for (const name of Object.keys(headers)) {
    if (!name.startsWith('x-amz-') || name.startsWith('x-amz-meta-')) continue
    if (!known.has(name) && !checksumHeaders.has(name)) throw notImplemented(name)
  }
}

/** Checks the checksums that came with a body (PutObject, "x-amz-checksum-*"), and answers which one S3 keeps. */
export async function checkBody({ headers, body }: CloudRequest): Promise<ChecksumAlgorithm | undefined> {
  const md5 = headers['content-md5']
  if (md5 !== undefined && md5 !== createHash('md5').update(body).digest('base64')) throw badDigest('Content-MD5')
  const [given, ...others] = [...checksumHeaders].filter(([name]) => headers[name] !== undefined)
  if (others.length > 0) {
    throw new S3Fault([400, 'InvalidRequest'], 'Expecting a single x-amz-checksum- header.')
  }
  if (given === undefined) return undefined
  const [name, algorithm] = given
  const { value } = await checksumOf([body], { algorithm, multipart: false })
  if (headers[name] !== value) throw badDigest(algorithm)
  return algorithm
}

/** The checksum that a multipart upload is to have; CRC64NVME of the whole object unless one is named. */
export function checksumAlgorithmOf({ headers }: CloudRequest): ChecksumAlgorithm {
  const name = headers['x-amz-checksum-algorithm'] ?? 'CRC64NVME'
  const algorithm = checksumAlgorithms.find((each) => each === name)
  if (algorithm === undefined) throw notImplemented(`x-amz-checksum-algorithm: ${name}`)
  return algorithm
}

/** What that checksum is to be of (CreateMultipartUpload, "x-amz-checksum-type"). */
export function checksumTypeOf({ headers }: CloudRequest, algorithm: ChecksumAlgorithm): ChecksumType {
  const types = multipartTypes[algorithm]
  const name = headers['x-amz-checksum-type'] ?? types[0]
  const type = types.find((each) => each === name)
  if (type !== undefined) return type
  throw new S3Fault(
    [400, 'InvalidRequest'],
    `The ${name} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
  )
}

export function metadataOf({ headers }: CloudRequest): Readonly<Record<string, string>> {
  const prefix = 'x-amz-meta-'
  const own = Object.entries(headers).filter(([name]) => name.startsWith(prefix))
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]))
}

function badDigest(algorithm: string): S3Fault {
  return new S3Fault([400, 'BadDigest'], `The ${algorithm} you specified did not match the calculated checksum.`)
}
