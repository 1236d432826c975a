import { HeadObjectCommand, type HeadObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3'

import type { HeldChecksum, NoChecksum, ObjectVersion } from '../artifacts/artifact-source.ts'
import type { AwsCall } from './aws-call.ts'
import { AwsError } from './aws-errors.ts'
import { beginChecksum, checksumAlgorithms } from './running-checksums.ts'

export interface HeldChecksumOptions {
  readonly client: S3Client
  readonly call: AwsCall
  readonly accessPoint: string
  readonly object: ObjectVersion
  readonly signal: AbortSignal
  /** Reads a byte of the object; throws what keeps it from that. */
  readonly tryToRead: () => Promise<'read' | 'changed'>
}

const refusedHint =
  'HeadObject needs s3:GetObject alone, which the role has: look for a proxy that lets no HEAD request through'

/**
 * Asks S3 for the checksum of a whole object (HeadObject, "x-amz-checksum-mode"); needs s3:GetObject, or s3:GetObjectVersion
 * for a versionId. S3 answers HEAD without a body, so what it refuses has no name: credentials that ended look like a bad
 * request, a denied key like anything else that is forbidden. A read then says what it is, or that HEAD alone is refused.
 */
export async function readHeldChecksum(options: HeldChecksumOptions): Promise<HeldChecksum | NoChecksum | 'changed'> {
  const first = await head(options)
  if (first === 'changed') return first
  if (!(first instanceof AwsError)) return checksumIn(first)
  if ((await options.tryToRead()) === 'changed') return 'changed'
  const second = await head(options)
  if (second === 'changed') return second
  return second instanceof AwsError ? { kind: 'refused', error: second } : checksumIn(second)
}

/** Throws what another try may mend; answers an error when HEAD is refused. */
async function head(options: HeldChecksumOptions): Promise<HeadObjectCommandOutput | AwsError | 'changed'> {
  const { client, call, accessPoint, object, signal } = options
  const { key, etag, versionId } = object
  const command = new HeadObjectCommand({
    Bucket: accessPoint,
    Key: key,
    IfMatch: etag,
    VersionId: versionId,
    ChecksumMode: 'ENABLED',
  })
  const resource = `${accessPoint}/object/${key}`
  const request = { service: 's3', operation: 'HeadObject', resource, signal, hint: refusedHint } as const
  try {
    return await call(request, (abortSignal) => client.send(command, { abortSignal }))
  } catch (error) {
    if (!(error instanceof AwsError)) throw error
    if (error.status === 404 || error.status === 412) return 'changed'
    if (isRefusal(error)) return error
    throw error
  }
}

function isRefusal({ failure, status }: AwsError): boolean {
  return failure === 'access-denied' || failure === 'invalid' || status === 501
}

function checksumIn(output: HeadObjectCommandOutput): HeldChecksum | NoChecksum {
  for (const algorithm of checksumAlgorithms) {
    const value = output[`Checksum${algorithm}`]
    if (value === undefined) continue
    if (output.ChecksumType === 'COMPOSITE' || value.includes('-')) {
      return { kind: 'none', why: `its ${algorithm} checksum is one of its parts' checksums, not of its bytes` }
    }
    return { kind: 'held', algorithm, value, begin: () => beginChecksum(algorithm) }
  }
  return { kind: 'none', why: 'S3 holds none of an algorithm that is known here' }
}
